//! Lenient reading of single values, as pydantic does it for mergekit.

use super::{ParameterValue, Type};
use crate::yaml::{Kind, Scalar};

/// A scalar as a value of a type: numbers and booleans for one another where nothing is lost, and text that reads as
/// one (`1e-3` is text in YAML 1.1). `None` where it does not fit.
pub(super) fn coerce(scalar: &Scalar, kind: Type) -> Option<ParameterValue> {
    match kind {
        Type::Bool => boolean(scalar).map(ParameterValue::Bool),
        Type::Int => integer(scalar).map(ParameterValue::Int),
        Type::Float => number(scalar).map(ParameterValue::Float),
    }
}

/// A boolean: itself, the numbers 0 and 1, or one of the usual words.
pub(super) fn boolean(scalar: &Scalar) -> Option<bool> {
    match scalar.kind {
        Kind::Bool(value) => Some(value),
        Kind::Int(0) => Some(false),
        Kind::Int(1) => Some(true),
        Kind::Float(0.0) => Some(false),
        Kind::Float(1.0) => Some(true),
        Kind::Str => match &*scalar.text.to_ascii_lowercase() {
            "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
            "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number: itself, a boolean, a float without fraction, or digits as text (with `.0` at most).
pub(super) fn integer(scalar: &Scalar) -> Option<i64> {
    match scalar.kind {
        Kind::Bool(value) => Some(value.into()),
        Kind::Int(value) => value.try_into().ok(),
        Kind::Float(value) => whole(value),
        Kind::Str => {
            let text = without_underscores(scalar.text.trim())?;
            let digits = match text.split_once('.') {
                Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => digits,
                Some(_) => return None,
                None => &text,
            };
            digits.parse().ok()
        }
        _ => None,
    }
}

/// A number: itself, a boolean, or text that reads as one.
pub(super) fn number(scalar: &Scalar) -> Option<f64> {
    match scalar.kind {
        Kind::Bool(value) => Some(if value { 1.0 } else { 0.0 }),
        Kind::Int(value) => Some(value as f64),
        Kind::Float(value) => Some(value),
        Kind::Str => without_underscores(scalar.text.trim())?.parse().ok(),
        _ => None,
    }
}

/// A float without fraction as an integer.
pub(super) fn whole(value: f64) -> Option<i64> {
    // 2^63 is the first float that no longer fits.
    (value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0).then_some(value as i64)
}

/// Single underscores between other characters may group digits.
fn without_underscores(text: &str) -> Option<String> {
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") { None } else { Some(text.replace('_', "")) }
}
