//! Any bytes as a GGUF model: no panic, and every tensor that is let through can be read whole.

#![no_main]

use consilience_checkpoint::bytes_of_gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bytes_of_gguf(bytes);
    // The same again behind what every file begins with, which random bytes seldom have: the mark, the version, and two
    // small counts from the first two bytes.
    if let Some(([tensors, entries], rest)) = bytes.split_first_chunk::<2>() {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(u64::from(*tensors).to_le_bytes());
        file.extend(u64::from(*entries).to_le_bytes());
        file.extend(rest);
        bytes_of_gguf(&file);
    }
});
