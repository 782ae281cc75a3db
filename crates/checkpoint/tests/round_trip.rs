//! Whatever is written comes back, from our reader and from the reference implementation.

mod common;

use std::collections::BTreeMap;

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions, compare, natural_cmp};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn layouts() -> impl Strategy<Value = BTreeMap<String, (Dtype, Vec<usize>)>> {
    let name = prop_oneof!["[a-z]{1,3}(\\.[0-9]{1,3}){0,2}", "\\PC{1,6}"];
    let dtype = proptest::sample::select(Dtype::ALL.to_vec());
    let shape = proptest::collection::vec(0..6_usize, 0..4);
    proptest::collection::btree_map(name, (dtype, shape), 0..8)
}

/// Bytes that tell tensors and places apart.
fn contents(tensor: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (tensor * 31 + i) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn of_any_layout(layouts in layouts(), max_shard_bytes in 1..2000_u64, single in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join(if single { "out.safetensors" } else { "out" });
        let layout: Vec<TensorLayout> = layouts
            .into_iter()
            .map(|(name, (dtype, shape))| TensorLayout { name, dtype, shape })
            .collect();
        let options = WriterOptions { max_shard_bytes, ..WriterOptions::default() };
        let bytes: Vec<Vec<u8>> = layout
            .iter()
            .enumerate()
            .map(|(i, tensor)| contents(i, tensor.shape.iter().product::<usize>() * tensor.dtype.size()))
            .collect();
        let writer = CheckpointWriter::create(&target, layout.clone(), options).unwrap();
        for (i, bytes) in bytes.iter().enumerate().rev() {
            let (head, tail) = bytes.split_at(bytes.len() / 3);
            writer.write(i, head.len() as u64, tail).unwrap();
            writer.write(i, 0, head).unwrap();
        }
        writer.finish().unwrap();

        let ours = Checkpoint::open(&target).unwrap();
        prop_assert_eq!(ours.len(), layout.len());
        prop_assert!(ours.names().is_sorted_by(|a, b| natural_cmp(a, b).is_lt()));
        prop_assert!(compare(&ours, &ours).unwrap().is_equal());
        let files: Vec<Vec<u8>> = ours.files().map(|path| std::fs::read(path).unwrap()).collect();
        let theirs: Vec<SafeTensors> = files.iter().map(|file| SafeTensors::deserialize(file).unwrap()).collect();
        prop_assert_eq!(theirs.iter().map(SafeTensors::len).sum::<usize>(), layout.len());
        for (tensor, bytes) in layout.iter().zip(&bytes) {
            let view = ours.stored(&tensor.name).unwrap();
            prop_assert_eq!((view.dtype(), view.shape(), view.bytes()), (tensor.dtype, &tensor.shape[..], &bytes[..]));
            let their = theirs.iter().find_map(|file| file.tensor(&tensor.name).ok()).unwrap();
            prop_assert_eq!(their.dtype().to_string(), tensor.dtype.name());
            prop_assert_eq!((their.shape(), their.data()), (&tensor.shape[..], &bytes[..]));
        }
    }
}
