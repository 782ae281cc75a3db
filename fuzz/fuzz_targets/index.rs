//! Any bytes as `model.safetensors.index.json`: no panic, and no file outside of the folder.

#![no_main]

use consilience_checkpoint::files_of_index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for file in files_of_index(bytes).into_iter().flatten() {
        let path = std::path::Path::new(&file);
        assert_eq!(path.file_name(), Some(path.as_os_str()), "{file:?} leaves its folder");
    }
});
