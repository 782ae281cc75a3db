//! What the tests share: small files built byte by byte.

// Each test program uses a part of it.
#![allow(dead_code)]

pub mod adapters;

use std::path::Path;

use consilience_checkpoint::{CheckpointWriter, Dtype, TensorLayout, WriterOptions};
use consilience_core::{Error, Result};

/// A safetensors file of a header and zeros.
pub fn bytes_of(json: &str, zeros: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.extend(vec![0; zeros]);
    file
}

/// A safetensors file of vectors of `u8`, each of 4 bytes.
pub fn file_with(names: &[&str]) -> Vec<u8> {
    let entries: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(i, name)| format!(r#""{name}":{{"dtype":"U8","shape":[4],"data_offsets":[{},{}]}}"#, 4 * i, 4 * i + 4))
        .collect();
    bytes_of(&format!("{{{}}}", entries.join(",")), 4 * names.len())
}

/// Writes a file into a folder.
pub fn put(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), contents).unwrap();
}

/// The names in a folder, in order, hidden ones too.
pub fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every message of a fault, those of its parts and its advice included.
pub fn messages(error: &Error) -> String {
    match error {
        Error::Several(faults) => faults.iter().map(messages).collect::<Vec<_>>().join("\n"),
        Error::Data { help: Some(help), .. } | Error::Format { help: Some(help), .. } => format!("{error} ({help})"),
        _ => error.to_string(),
    }
}

/// A vector of `f32`.
pub fn vector(name: &str, len: usize) -> TensorLayout {
    TensorLayout { name: name.into(), dtype: Dtype::F32, shape: vec![len] }
}

/// Writes vectors of `f32`, each filled with its number and `fill`.
pub fn write(target: &Path, layout: &[TensorLayout], fill: f32, options: WriterOptions) -> Result<()> {
    let writer = CheckpointWriter::create(target, layout.to_vec(), options)?;
    for (i, tensor) in layout.iter().enumerate() {
        let values = vec![i as f32 + fill; tensor.shape.iter().product()];
        writer.write(i, 0, bytemuck::cast_slice(&values))?;
    }
    writer.finish()
}
