//! The text of a configuration, and places in it.

use std::{path::Path, sync::Arc};

use consilience_core::{ConfigFault, Error, Result};
use miette::{NamedSource, SourceSpan};

use super::MAX_BYTES;

/// A configuration's name (as messages show it) and text. Clones share both.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

/// A place in a [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The first byte.
    pub offset: usize,
    /// The bytes to underline; never past the end of the line.
    pub length: usize,
}

impl Place {
    /// The first character of a text.
    pub const START: Place = Place { line: 1, column: 1, offset: 0, length: 0 };
}

impl Source {
    /// A text under a name.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file, under its path as name.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than [`MAX_BYTES`], or is not UTF-8 (with the line).
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |source| Error::io("cannot read the configuration", path, source);
        let length = std::fs::metadata(path).map_err(fail)?.len();
        if length > MAX_BYTES as u64 {
            return Err(too_long(path, length));
        }
        let bytes = std::fs::read(path).map_err(fail)?;
        Self::from_bytes(path.display().to_string(), bytes)
    }

    /// The text that `bytes` hold.
    ///
    /// # Errors
    /// When they are not UTF-8, with the line.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: Vec<u8>) -> Result<Self> {
        let name = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(fault) => {
                let valid = fault.utf8_error().valid_up_to();
                let byte = fault.as_bytes().get(valid).copied().unwrap_or_default();
                let source = Self::new(name, String::from_utf8_lossy(fault.as_bytes()).into_owned());
                let place = source.place_at(valid, 1);
                Err(source.fault(
                    place,
                    format!("the byte 0x{byte:02x} is not UTF-8 text"),
                    Some("save the file with the encoding UTF-8".into()),
                ))
            }
        }
    }

    /// The name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A fault at a place of this text, with advice.
    pub fn fault(&self, place: Place, problem: impl Into<String>, help: Option<String>) -> Error {
        // A place taken from another text, or inside a character, must not make the report fail.
        let start = floor_char(&self.text, place.offset);
        let end = floor_char(&self.text, place.offset.saturating_add(place.length)).max(start);
        Error::Config(Box::new(ConfigFault {
            problem: problem.into(),
            line: place.line,
            column: place.column,
            source_code: NamedSource::new(&*self.name, self.text.to_string()).with_language("yaml"),
            span: SourceSpan::from((start, end - start)),
            help,
        }))
    }

    /// The place of `length` bytes from the byte `offset` on, cut at the end of the line.
    pub fn place_at(&self, offset: usize, length: usize) -> Place {
        let offset = floor_char(&self.text, offset);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            offset,
            length: self.within_line(offset, length),
        }
    }

    /// `length`, cut where the line that holds the byte `offset` ends (without trailing spaces).
    pub(super) fn within_line(&self, offset: usize, length: usize) -> usize {
        let end = floor_char(&self.text, offset.saturating_add(length));
        let taken = self.text.get(offset..end).unwrap_or_default();
        taken.split(['\n', '\r']).next().unwrap_or_default().trim_end().len()
    }
}

fn too_long(path: &Path, length: u64) -> Error {
    Error::format(path, format!("the configuration has {length} bytes, at most {MAX_BYTES} are read"))
        .with_help("is this the right file? Weights are named in the configuration, not put into it")
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
