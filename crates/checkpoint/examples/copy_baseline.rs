//! The least that a merge of N checkpoints can do: reads N files and writes one of the size of the first, in one pass,
//! a megabyte at a time, on one thread. `bench/run.py` holds `consilience merge` against it.
//!
//!     cargo run --release -p consilience-checkpoint --example copy_baseline -- OUT IN [IN …]

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};

const BUFFER: usize = 1 << 20;

fn main() -> Result<()> {
    let mut paths = std::env::args_os().skip(1);
    let out = paths.next().ok_or_else(usage)?;
    let mut inputs = paths.map(File::open).collect::<Result<Vec<_>>>()?;
    let (first, others) = inputs.split_first_mut().ok_or_else(usage)?;
    let mut out = File::create(out)?;
    let (mut kept, mut read) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let len = fill(first, &mut kept)?;
        // Read for the cost alone: the bytes go nowhere, as in a merge whose arithmetic is free.
        for other in &mut *others {
            fill(other, &mut read[..len.max(1)])?;
        }
        if len == 0 {
            return Ok(());
        }
        out.write_all(&kept[..len])?;
    }
}

/// Reads until `buffer` is full or the file ends; the number of bytes read.
fn fill(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

fn usage() -> Error {
    Error::new(ErrorKind::InvalidInput, "usage: copy_baseline OUT IN [IN …]")
}
