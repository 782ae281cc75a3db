//! Whatever bytes come in, the readers answer with an error or an array, and never panic.

use std::path::Path;

use proptest::prelude::*;

use super::npy::tests::file as npy_file;
use super::{CsvFormat, LabelColumn, csv, idx, npy};

/// Bytes that start well and go wrong later reach deeper than random ones.
fn damaged(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = whole.len();
    (0..=length, proptest::collection::vec((0..length, any::<u8>()), 0..6)).prop_map(move |(cut, changes)| {
        let mut bytes = whole.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut);
        bytes
    })
}

fn idx_file() -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[7; 24]].concat()
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let path = Path::new("any");
        let _ = idx::parse(path, &bytes);
        let _ = npy::parse(path, &bytes);
        let _ = csv::parse(path, &bytes, &CsvFormat::default());
        let gz = [&[0x1f, 0x8b][..], &bytes].concat();
        prop_assert!(idx::parse(path, &gz).is_err());
    }

    #[test]
    fn damaged_idx(bytes in damaged(idx_file())) {
        if let Ok(array) = idx::parse(Path::new("idx"), &bytes) {
            prop_assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
        }
    }

    #[test]
    fn damaged_npy(bytes in damaged(npy_file("<f4", true, "(2, 3)", &[1; 24]))) {
        if let Ok(array) = npy::parse(Path::new("npy"), &bytes) {
            prop_assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
        }
    }

    #[test]
    fn any_header(text in "[ '{}(),:a-z_0-9<>|TF]{0,80}") {
        let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        let _ = npy::parse(Path::new("npy"), &bytes);
    }

    #[test]
    fn any_table(text in "[0-9a,.\n\"\\-]{0,120}", index in 0_usize..4, skip in 0_usize..3) {
        let format = CsvFormat { label: LabelColumn::Index(index), skip_lines: skip, ..Default::default() };
        if let Ok(data) = csv::parse(Path::new("csv"), text.as_bytes(), &format) {
            prop_assert_eq!(data.samples().len(), data.labels().len());
        }
    }
}
