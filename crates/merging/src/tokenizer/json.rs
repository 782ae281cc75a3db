//! Reading the small files beside a model.

use std::io::ErrorKind;
use std::path::Path;

use consilience_core::{Error, Result};
use serde_json::{Map, Value};

/// The text of a file; `None` where it is not there.
pub fn text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(fault) => Err(Error::io("cannot read", path, fault)),
    }
}

/// The JSON object in a file; `None` where it is not there.
pub fn object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let Some(text) = text(path)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(Error::format(path, "wanted a JSON object")),
        Err(fault) => Err(Error::format(path, format!("no JSON: {fault}"))),
    }
}

/// A JSON value as the text of a file: indented, with a line break at its end.
pub fn pretty(name: &str, value: &impl serde::Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(|fault| Error::data(name, fault.to_string()))?;
    text.push('\n');
    Ok(text)
}
