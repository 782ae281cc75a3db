//! Any bytes as a safetensors file: no panic, and what is let through keeps its promises.

#![no_main]

use std::path::Path;

use consilience_checkpoint::{Header, TensorView};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same again as a header whose stated length is right, which random bytes seldom have. The first two bytes say
    // how many bytes of tensors follow it.
    if let Some(([low, high], json)) = bytes.split_first_chunk::<2>() {
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json);
        file.resize(file.len() + usize::from(u16::from_le_bytes([*low, *high])), 0);
        check(&file);
    }
});

fn check(file: &[u8]) {
    let Ok(header) = Header::parse(file, Path::new("fuzzed.safetensors")) else { return };
    let mut covered = 0;
    for (name, info) in &header.tensors {
        let bytes = file.get(info.start..info.end).expect("a tensor beyond the file");
        let view = TensorView::new(info.dtype, &info.shape, bytes);
        assert!(view.is_some(), "tensor {name:?} has bytes that do not fit its shape");
        covered += bytes.len();
    }
    let (length, rest) = file.split_first_chunk::<8>().expect("a file shorter than its length field");
    assert_eq!(rest.len() - u64::from_le_bytes(*length) as usize, covered, "overlapping or unclaimed bytes");
}
