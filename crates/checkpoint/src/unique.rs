//! Maps of strings out of files that are not trusted.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A map of strings in which no key may stand twice.
pub(crate) struct Unique(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Strings)
    }
}

struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from names to strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut entries: BTreeMap<String, String> = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if let Some(other) = entries.get(&name) {
                return Err(A::Error::custom(format_args!(
                    "`{}` stands twice, with `{}` and with `{}`",
                    shown(&name),
                    shown(other),
                    shown(&value)
                )));
            }
            entries.insert(name, value);
        }
        Ok(Unique(entries))
    }
}

/// A JSON value in whose objects no key stands twice.
pub(crate) struct NoTwice(pub Value);

impl<'de> Deserialize<'de> for NoTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(NoTwice(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = serde_json::Map::new();
        while let Some((name, NoTwice(value))) = map.next_entry::<String, NoTwice>()? {
            if entries.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name `{}` stands twice", shown(&name))));
            }
            entries.insert(name, value);
        }
        Ok(Value::Object(entries))
    }
}

/// The most characters of a name that a message shows.
const LONGEST: usize = 200;

/// A name as a message may show it: control characters, which could steer a terminal, are escaped, and it is not endless.
pub(crate) fn shown(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take(LONGEST) {
        match c {
            // Besides control characters: marks that reorder the text around them.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                text.extend(c.escape_unicode())
            }
            _ if c.is_control() => text.extend(c.escape_default()),
            _ => text.push(c),
        }
    }
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(shown("h.0.größe"), "h.0.größe");
        assert_eq!(shown("a\u{1b}[31mb\n\u{202e}"), "a\\u{1b}[31mb\\n\\u{202e}");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), LONGEST + 1);
    }
}
