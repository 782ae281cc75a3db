//! Maps of strings out of files that are not trusted.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

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
