//! The metadata of a GGUF file: keys with typed values.

use super::bytes::Bytes;

/// How deep arrays may lie in arrays. Nothing that exists has more than one.
const MAX_DEPTH: usize = 4;

/// A value of the metadata. Arrays (above all the vocabulary's) are walked through and not kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'f> {
    /// An unsigned integer of any width, or a signed one that is not negative.
    Unsigned(u64),
    /// A negative integer.
    Negative(i64),
    /// A floating-point number; f32 exactly.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(&'f str),
    /// An array of this many values.
    Array(u64),
}

impl<'f> Value<'f> {
    /// Reads a value: its type, then what the type asks for.
    pub fn read(bytes: &mut Bytes<'f>) -> Result<Self, String> {
        let kind = bytes.u32("the type of a value")?;
        Self::of_kind(kind, bytes, 0)
    }

    fn of_kind(kind: u32, bytes: &mut Bytes<'f>, depth: usize) -> Result<Self, String> {
        const WHAT: &str = "a value";
        if let Some(width) = width(kind) {
            let raw = bytes.take(width, WHAT)?;
            // Sign-extended where the type is signed and the highest bit is set.
            let signed = matches!(kind, I8 | I16 | I32 | I64);
            let fill = if signed && raw.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
            let wide: [u8; 8] = std::array::from_fn(|i| raw.get(i).copied().unwrap_or(fill));
            let number = u64::from_le_bytes(wide);
            return Ok(match kind {
                F32 => Self::Float(f64::from(f32::from_bits(number as u32))),
                F64 => Self::Float(f64::from_bits(number)),
                BOOL if number > 1 => return Err(format!("a truth value is {number}, wanted 0 or 1")),
                BOOL => Self::Bool(number == 1),
                _ if fill != 0 => Self::Negative(number.cast_signed()),
                _ => Self::Unsigned(number),
            });
        }
        match kind {
            TEXT => bytes.text("a text").map(Self::Text),
            ARRAY if depth == MAX_DEPTH => Err(format!("arrays lie more than {MAX_DEPTH} deep in each other")),
            ARRAY => {
                let inner = bytes.u32("the type of an array's values")?;
                let least = match inner {
                    TEXT => 8,
                    ARRAY => 12,
                    _ => width(inner).ok_or_else(|| unknown(inner))?,
                };
                let count = bytes.count(least, "the length of an array")?;
                match width(inner) {
                    Some(width) => {
                        bytes.take(count * width, "an array")?;
                    }
                    // A vocabulary may hold tokens that are no UTF-8; they are not looked at.
                    None if inner == TEXT => {
                        for _ in 0..count {
                            let length = bytes.u64("a text of an array")?;
                            bytes.take(length, "a text of an array")?;
                        }
                    }
                    None => {
                        for _ in 0..count {
                            Self::of_kind(inner, bytes, depth + 1)?;
                        }
                    }
                }
                Ok(Self::Array(count))
            }
            _ => Err(unknown(kind)),
        }
    }

    /// What kind of value it is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Unsigned(value) => format!("the number {value}"),
            Self::Negative(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value:?}"),
            Self::Bool(value) => format!("the truth value {value}"),
            Self::Text(text) => format!("the text `{}`", crate::unique::shown(text)),
            Self::Array(count) => format!("a list of {count} values"),
        }
    }
}

const I8: u32 = 1;
const I16: u32 = 3;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const I64: u32 = 11;
const F64: u32 = 12;

/// Bytes of a value of a type that is always as long.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | I8 | BOOL => Some(1),
        2 | I16 => Some(2),
        4 | I32 | F32 => Some(4),
        10 | I64 | F64 => Some(8),
        _ => None,
    }
}

fn unknown(kind: u32) -> String {
    format!("a value is of type {kind}, and types go from 0 to 12")
}
