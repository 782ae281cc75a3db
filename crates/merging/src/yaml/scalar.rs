//! What a scalar means under YAML 1.1.

/// A scalar: what it means, and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// What it means.
    pub kind: Kind,
    /// The text as written, without quotes and with escapes resolved.
    pub text: String,
}

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `~`, `null`, or nothing.
    Null,
    /// `true`, `yes`, `on`, `false`, `no`, `off`, in lower case, upper case or with a capital.
    Bool(bool),
    /// A decimal, octal (`010`), hexadecimal (`0x1f`), binary (`0b11`) or sexagesimal (`1:30`) integer.
    Int(i128),
    /// A number with a dot. May be infinite (`.inf`) or NaN (`.nan`).
    Float(f64),
    /// Anything else; the scalar's text is its value.
    Str,
    /// Reads like a date or a time. It is kept as a string; PyYAML would make a date of it.
    Timestamp,
}

impl Scalar {
    /// A quoted or block scalar: always a string.
    pub fn string(text: impl Into<String>) -> Self {
        Self { kind: Kind::Str, text: text.into() }
    }

    /// A plain scalar. `None` when it is an integer too large to hold.
    pub fn plain(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        Some(Self { kind: resolve(&text)?, text })
    }

    /// The string, if it is one. Timestamps are.
    pub fn str(&self) -> Option<&str> {
        matches!(self.kind, Kind::Str | Kind::Timestamp).then_some(&*self.text)
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// What it is, in words for a message.
    pub fn describe(&self) -> String {
        let text = shorten(&self.text);
        match self.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) if text == value.to_string() => format!("the boolean {value}"),
            Kind::Bool(value) => format!("the boolean {value} (written `{text}`)"),
            Kind::Int(value) if text == value.to_string() => format!("the number {value}"),
            Kind::Int(value) => format!("the number {value} (written `{text}`)"),
            Kind::Float(_) => format!("the number {text}"),
            Kind::Str | Kind::Timestamp => format!("the text `{text}`"),
        }
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let clean = text.replace(char::is_control, " ");
    if clean.chars().count() <= LONGEST { clean } else { clean.chars().take(LONGEST).chain(['…']).collect() }
}

/// What a plain scalar means; `None` for an integer too large to hold.
pub(super) fn resolve(text: &str) -> Option<Kind> {
    if let Some(kind) = word(text) {
        return Some(kind);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Some(Kind::Str);
    }
    if let Some(value) = float(text) {
        return Some(Kind::Float(value));
    }
    if is_int(text) {
        return int(text).map(Kind::Int);
    }
    Some(if is_timestamp(text) { Kind::Timestamp } else { Kind::Str })
}

fn word(text: &str) -> Option<Kind> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Kind::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Kind::Bool(false),
        _ => return None,
    })
}

fn unsigned(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `d d_*`: a digit, then digits and underscores.
fn is_decimal(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && all(text, digit_or_underscore)
}

/// One part of a sexagesimal after its first colon: 0 to 59, one or two digits.
fn is_sixtieth(part: &str) -> bool {
    matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

fn is_int(text: &str) -> bool {
    let (_, body) = unsigned(text);
    if let Some(digits) = body.strip_prefix("0b") {
        return !digits.is_empty() && all(digits, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return !digits.is_empty() && all(digits, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(digits) = body.strip_prefix('0') {
        return all(digits, |b| matches!(b, b'0'..=b'7' | b'_'));
    }
    let mut parts = body.split(':');
    parts.next().is_some_and(is_decimal) && parts.all(is_sixtieth)
}

/// The value of what [`is_int`] accepts; `None` when it is too large, or has underscores alone where digits belong.
fn int(text: &str) -> Option<i128> {
    let (negative, body) = unsigned(text);
    let digits = body.replace('_', "");
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok();
    let magnitude = if digits == "0" {
        0
    } else if let Some(binary) = digits.strip_prefix("0b") {
        radix(binary, 2)?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        radix(hex, 16)?
    } else if digits.starts_with('0') {
        radix(&digits, 8)?
    } else {
        digits.split(':').try_fold(0i128, |sum, part| sum.checked_mul(60)?.checked_add(radix(part, 10)?))?
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// The value of a plain scalar that reads as a float under YAML 1.1: it needs a dot, and its exponent a sign.
fn float(text: &str) -> Option<f64> {
    let (negative, body) = unsigned(text);
    let signed = |value: f64| Some(if negative { -value } else { value });
    match body {
        ".inf" | ".Inf" | ".INF" => return signed(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['-', '+'])?;
        if digits.is_empty() || !all(digits, |b| b.is_ascii_digit()) {
            return None;
        }
    }
    let (whole, fraction) = mantissa.split_once('.')?;
    if !all(fraction, digit_or_underscore) {
        return None;
    }
    if whole.is_empty() {
        // `.5`: no sign allowed in front, and a digit right after the dot.
        if body.len() != text.len() || !fraction.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
    } else if let Some((first, rest)) = whole.split_once(':') {
        if exponent.is_some() || !is_decimal(first) || !rest.split(':').all(is_sixtieth) {
            return None;
        }
        return signed(sexagesimal(mantissa)?);
    } else if !is_decimal(whole) {
        return None;
    }
    signed(body.replace('_', "").parse().ok()?)
}

fn sexagesimal(text: &str) -> Option<f64> {
    let mut value = 0.0;
    let mut base = 1.0;
    for part in text.replace('_', "").rsplit(':') {
        value += part.parse::<f64>().ok()? * base;
        base *= 60.0;
    }
    Some(value)
}

/// The number that `!!float` makes of any text: what reads as a float or an integer, with or without dot.
pub(super) fn forced_float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let (_, body) = unsigned(&plain);
    float(text)
        .or_else(|| body.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| plain.parse().ok()).flatten())
}

/// The number that `!!int` makes of any text.
pub(super) fn forced_int(text: &str) -> Option<i128> {
    is_int(text).then(|| int(text)).flatten()
}

/// The boolean that `!!bool` makes of any text.
pub(super) fn forced_bool(text: &str) -> Option<bool> {
    match word(&text.to_ascii_lowercase()) {
        Some(Kind::Bool(value)) => Some(value),
        _ => None,
    }
}

/// `2001-12-14`, alone or followed by a time of day, a fraction and a zone.
fn is_timestamp(text: &str) -> bool {
    let mut rest = text;
    let date = digits(&mut rest, 4, 4) && dash(&mut rest);
    if !date {
        return false;
    }
    if text.len() == 10 && rest.len() == 5 && digits(&mut { rest }, 2, 2) && rest.as_bytes()[2] == b'-' {
        return digits(&mut &rest[3..], 2, 2);
    }
    if !(digits(&mut rest, 1, 2) && dash(&mut rest) && digits(&mut rest, 1, 2)) {
        return false;
    }
    let time = rest.trim_start_matches([' ', '\t']);
    let time = if time.len() < rest.len() { Some(time) } else { rest.strip_prefix(['T', 't']) };
    let Some(mut rest) = time else { return false };
    let clock = digits(&mut rest, 1, 2)
        && colon(&mut rest)
        && digits(&mut rest, 2, 2)
        && colon(&mut rest)
        && digits(&mut rest, 2, 2);
    if !clock {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    is_zone(rest)
}

fn is_zone(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let zone = text.trim_start_matches([' ', '\t']);
    if zone == "Z" {
        return true;
    }
    let Some(mut zone) = zone.strip_prefix(['-', '+']) else { return false };
    digits(&mut zone, 1, 2) && (zone.is_empty() || colon(&mut zone) && digits(&mut zone, 2, 2) && zone.is_empty())
}

/// Takes from `least` to `most` digits off the front, as many as there are.
fn digits(rest: &mut &str, least: usize, most: usize) -> bool {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    *rest = &rest[count..];
    count >= least
}

fn dash(rest: &mut &str) -> bool {
    take(rest, '-')
}

fn colon(rest: &mut &str) -> bool {
    take(rest, ':')
}

fn take(rest: &mut &str, wanted: char) -> bool {
    match rest.strip_prefix(wanted) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}
