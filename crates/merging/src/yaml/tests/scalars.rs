//! Scalars, against what PyYAML 6 gives for `yaml.safe_load`.

use super::super::{Kind, Scalar};

/// Expected values; `Text` is a string with the text that was written.
#[derive(Debug)]
enum Expected {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
    Timestamp,
}
use Expected::*;

#[test]
fn plain_scalars_mean_what_they_mean_in_pyyaml() {
    #[rustfmt::skip]
    let table = [
        ("~", Null),
        ("null", Null),
        ("Null", Null),
        ("NULL", Null),
        ("nULL", Text),
        ("none", Text),
        ("true", Bool(true)),
        ("True", Bool(true)),
        ("TRUE", Bool(true)),
        ("tRUE", Text),
        ("yes", Bool(true)),
        ("Yes", Bool(true)),
        ("YES", Bool(true)),
        ("yES", Text),
        ("no", Bool(false)),
        ("No", Bool(false)),
        ("NO", Bool(false)),
        ("on", Bool(true)),
        ("On", Bool(true)),
        ("ON", Bool(true)),
        ("off", Bool(false)),
        ("Off", Bool(false)),
        ("OFF", Bool(false)),
        ("oFF", Text),
        ("y", Text),
        ("n", Text),
        ("0", Int(0)),
        ("-0", Int(0)),
        ("+7", Int(7)),
        ("12", Int(12)),
        ("010", Int(8)),
        ("-010", Int(-8)),
        ("0777", Int(511)),
        ("08", Text),
        ("09", Text),
        ("0o17", Text),
        ("0x1F", Int(31)),
        ("-0xff", Int(-255)),
        ("0X1F", Text),
        ("0b101", Int(5)),
        ("+0b11", Int(3)),
        ("0b102", Text),
        ("1_000", Int(1000)),
        ("1__0", Int(10)),
        ("_1", Text),
        ("0_", Int(0)),
        ("0_7", Int(7)),
        ("1:30", Int(90)),
        ("1:60", Text),
        ("0:30", Text),
        ("190:20:30", Int(685230)),
        ("-1:30", Int(-90)),
        ("+1:0", Int(60)),
        ("12e3", Text),
        ("1e-3", Text),
        ("1e5", Text),
        ("1E+5", Text),
        ("1.0e-3", Float(0.001)),
        ("1.0e3", Text),
        ("1.0E+3", Float(1000.0)),
        ("1.e+3", Float(1000.0)),
        ("1.", Float(1.0)),
        (".5", Float(0.5)),
        ("-.5", Text),
        ("+.5", Text),
        ("-0.5", Float(-0.5)),
        ("+0.25", Float(0.25)),
        (".5e-1", Float(0.05)),
        ("._5", Text),
        ("1_0.5_0", Float(10.5)),
        ("1.5.2", Text),
        ("0.1", Float(0.1)),
        ("00.5", Float(0.5)),
        (".inf", Float(f64::INFINITY)),
        ("-.inf", Float(f64::NEG_INFINITY)),
        ("+.Inf", Float(f64::INFINITY)),
        (".INF", Float(f64::INFINITY)),
        (".iNF", Text),
        ("inf", Text),
        (".nan", Float(f64::NAN)),
        (".NaN", Float(f64::NAN)),
        (".NAN", Float(f64::NAN)),
        (".Nan", Text),
        ("nan", Text),
        ("1:30.5", Float(90.5)),
        ("-1:30.5", Float(-90.5)),
        ("0:30.", Float(30.0)),
        ("20:30.15_0", Float(1230.15)),
        ("2020-01-01", Timestamp),
        ("2020-1-1", Text),
        ("2001-12-14t21:59:43.10-05:00", Timestamp),
        ("2001-12-14 21:59:43.10 -5", Timestamp),
        ("2001-12-15 2:59:43", Timestamp),
        ("3.14.15", Text),
        ("bfloat16", Text),
        ("1e", Text),
        ("1.0e", Text),
        ("+", Text),
        ("-x", Text),
        ("0x", Text),
        ("0b", Text),
        ("1.5e+400", Float(f64::INFINITY)),
        ("123456789012345678901234567890", Int(123456789012345678901234567890)),
    ];
    for (text, expected) in table {
        let scalar = Scalar::plain(text).expect(text);
        let same = match (&expected, scalar.kind) {
            (Null, Kind::Null) | (Text, Kind::Str) | (Timestamp, Kind::Timestamp) => true,
            (Bool(a), Kind::Bool(b)) => *a == b,
            (Int(a), Kind::Int(b)) => *a == b,
            (Float(a), Kind::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
            _ => false,
        };
        assert!(same, "{text:?}: {:?}, wanted {expected:?}", scalar.kind);
        assert_eq!(scalar.text, text);
    }
}

#[test]
fn integers_too_large_to_hold_are_refused() {
    assert_eq!(Scalar::plain("9".repeat(60)), None);
    // PyYAML fails on these too: digits are missing.
    assert_eq!(Scalar::plain("0x_"), None);
    assert_eq!(Scalar::plain("0b_"), None);
}
