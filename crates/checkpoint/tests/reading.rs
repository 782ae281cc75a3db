//! Opening folders and files: the good ones, and one test for each way of being bad.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{bytes_of, file_with, messages, put};
use consilience_checkpoint::{Checkpoint, Dtype};
use safetensors::tensor::{Dtype as TheirDtype, TensorView as TheirView};
use tempfile::{TempDir, tempdir};

const INDEX: &str = "model.safetensors.index.json";

fn fault(path: impl AsRef<Path>) -> String {
    messages(&Checkpoint::open(path).unwrap_err())
}

#[track_caller]
fn assert_says(found: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
}

/// A folder with an index and two shards: `a` in the first, `b.2` and `b.10` in the second.
fn sharded() -> TempDir {
    let folder = tempdir().unwrap();
    put(folder.path(), "one.safetensors", file_with(&["a"]));
    put(folder.path(), "two.safetensors", file_with(&["b.10", "b.2"]));
    index(folder.path(), &[("a", "one.safetensors"), ("b.10", "two.safetensors"), ("b.2", "two.safetensors")]);
    folder
}

fn index(folder: &Path, entries: &[(&str, &str)]) {
    let entries: Vec<String> = entries.iter().map(|(name, file)| format!("{name:?}:{file:?}")).collect();
    put(folder, INDEX, format!(r#"{{"metadata":{{"total_size":12}},"weight_map":{{{}}}}}"#, entries.join(",")));
}

#[test]
fn what_the_reference_writes_is_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let values = [1.0_f32, -2.5, 3.25, 0.0, f32::MAX, -0.0];
    let counts = [7_i64];
    let tensors = [
        ("w", TheirView::new(TheirDtype::F32, vec![2, 3], bytemuck::cast_slice(&values)).unwrap()),
        ("steps", TheirView::new(TheirDtype::I64, vec![], bytemuck::cast_slice(&counts)).unwrap()),
        ("none", TheirView::new(TheirDtype::BF16, vec![0, 8], &[]).unwrap()),
    ];
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into_iter().collect());
    safetensors::serialize_to_file(tensors, metadata, &path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["none", "steps", "w"]);
    assert_eq!(checkpoint.total_bytes(), 32);
    assert_eq!(checkpoint.metadata().unwrap()["format"], "pt");
    assert!(!checkpoint.is_folder() && checkpoint.config().is_none());
    let view = checkpoint.stored("w").unwrap();
    assert_eq!((view.dtype(), view.shape(), view.len()), (Dtype::F32, &[2, 3][..], 6));
    let mut read = [9.0; 6];
    view.read(0, &mut read);
    assert_eq!(read.map(f32::to_bits), values.map(f32::to_bits));
    let steps = checkpoint.stored("steps").unwrap();
    assert_eq!((steps.shape(), steps.bytes()), (&[][..], &counts[0].to_le_bytes()[..]));
    assert!(checkpoint.stored("none").unwrap().is_empty());
    assert!(checkpoint.stored("absent").is_none());
}

#[test]
fn shards_are_one_model_in_natural_order() {
    let folder = sharded();
    put(folder.path(), "config.json", r#"{"text_config":{"tie_word_embeddings":true}}"#);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b.2", "b.10"]);
    assert_eq!(checkpoint.file_of("b.2").unwrap(), folder.path().join("two.safetensors"));
    assert_eq!((checkpoint.files().len(), checkpoint.len(), checkpoint.total_bytes()), (2, 3, 12));
    assert!(checkpoint.is_folder() && checkpoint.tied_word_embeddings());
}

#[test]
fn files_of_a_download_cache_may_be_links() {
    let cache = tempdir().unwrap();
    let snapshot = cache.path().join("snapshots");
    std::fs::create_dir(&snapshot).unwrap();
    put(cache.path(), "0123abcd", file_with(&["a"]));
    symlink("../0123abcd", snapshot.join("model.safetensors")).unwrap();
    assert_eq!(Checkpoint::open(&snapshot).unwrap().names().collect::<Vec<_>>(), ["a"]);
    // Also where an index names the link.
    index(&snapshot, &[("a", "model.safetensors")]);
    assert_eq!(Checkpoint::open(&snapshot).unwrap().len(), 1);
}

#[test]
fn a_lone_file_of_any_name_is_the_model() {
    let folder = tempdir().unwrap();
    put(folder.path(), "pytorch_model.bin", "never read");
    put(folder.path(), "weights.safetensors", file_with(&["a"]));
    assert_eq!(Checkpoint::open(folder.path()).unwrap().len(), 1);
    put(folder.path(), "others.safetensors", file_with(&["b"]));
    assert_says(&fault(folder.path()), &["2 safetensors files", INDEX]);
}

#[test]
fn an_index_may_not_leave_its_folder() {
    for name in ["/etc/passwd", "../one.safetensors", "..", ".", "", "sub/one.safetensors", "sub\\one.safetensors"] {
        let folder = sharded();
        index(folder.path(), &[("a", name)]);
        assert_says(&fault(folder.path()), &["tensor `a`", "no file of this folder", INDEX]);
    }
    let folder = sharded();
    index(folder.path(), &[("a", "pytorch_model.bin"), ("b", "../b.safetensors")]);
    assert_says(&fault(folder.path()), &["`a`", "no safetensors file", "`b`", "no file of this folder"]);
}

#[test]
fn every_missing_shard_is_named_at_once() {
    let folder = sharded();
    std::fs::remove_file(folder.path().join("one.safetensors")).unwrap();
    std::fs::remove_file(folder.path().join("two.safetensors")).unwrap();
    assert_says(
        &fault(folder.path()),
        &["`one.safetensors` is missing", "tensor `a`", "`two.safetensors` is missing", "`b.10` and 1 more"],
    );
}

#[test]
fn index_and_shards_must_agree() {
    let folder = sharded();
    index(folder.path(), &[("a", "one.safetensors"), ("c", "one.safetensors"), ("b.2", "two.safetensors")]);
    assert_says(
        &fault(folder.path()),
        &["tensor `c` is not in `one.safetensors`", "tensor `b.10` is in `two.safetensors` but not in the index"],
    );
    index(folder.path(), &[("a", "two.safetensors"), ("b.2", "two.safetensors"), ("b.10", "one.safetensors")]);
    assert_says(&fault(folder.path()), &["`a` is said to be in `two.safetensors`, and stands in `one.safetensors`"]);
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = sharded();
    put(folder.path(), "two.safetensors", file_with(&["b.10", "b.2", "a"]));
    assert_says(&fault(folder.path()), &["tensor `a` stands in", "one.safetensors", "two.safetensors"]);
}

#[test]
fn an_index_of_the_wrong_form_is_refused() {
    for (text, wanted) in [
        ("", "not an index"),
        ("[1]", "not an index"),
        ("{}", "missing field `weight_map`"),
        (r#"{"weight_map":[]}"#, "an object from names to strings"),
        (r#"{"weight_map":{"a":3}}"#, "invalid type: integer `3`"),
        (r#"{"weight_map":{}}"#, "names no tensor"),
        (r#"{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}"#, "`a` stands twice"),
        (r#"{"weight_map":{"a":"one.safetensors"},"weight_map":{}}"#, "duplicate field"),
    ] {
        let folder = sharded();
        put(folder.path(), INDEX, text);
        assert_says(&fault(folder.path()), &[wanted, INDEX]);
    }
    let folder = sharded();
    put(folder.path(), INDEX, format!(r#"{{"metadata":{}"#, "[".repeat(100_000)));
    assert_says(&fault(folder.path()), &["not an index"]);
}

#[test]
fn a_model_both_whole_and_sharded_is_ambiguous() {
    let folder = sharded();
    put(folder.path(), "model.safetensors", file_with(&["a"]));
    assert_says(&fault(folder.path()), &["both `model.safetensors` and an index", "out of date"]);
}

#[test]
fn faults_of_all_shards_are_told_together() {
    let folder = sharded();
    put(folder.path(), "one.safetensors", "short");
    put(folder.path(), "two.safetensors", bytes_of(r#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4));
    assert_says(&fault(folder.path()), &["one.safetensors", "too few", "two.safetensors", "tensor `b`", "0..8"]);
}

#[test]
fn pickles_are_refused_and_never_read() {
    for name in ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt", "weights.PKL"] {
        let folder = tempdir().unwrap();
        put(folder.path(), name, "cos\nsystem\n(S'touch never'\ntR.");
        // Unreadable to anyone but root: it is its name alone that is looked at.
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o000)).unwrap();
        for path in [folder.path().to_owned(), folder.path().join(name)] {
            assert_says(&fault(path), &["pickle", "never read", "safetensors.torch.save_file"]);
        }
    }
}

#[test]
fn an_adapter_is_no_model() {
    let folder = tempdir().unwrap();
    put(folder.path(), "adapter_config.json", "{}");
    assert_says(&fault(folder.path()), &["adapter (LoRA) without its model", "BASE+"]);
    put(folder.path(), "adapter_model.safetensors", file_with(&["lora_A"]));
    assert_says(&fault(folder.path()), &["adapter (LoRA) without its model", "BASE+"]);
    std::fs::remove_file(folder.path().join("adapter_model.safetensors")).unwrap();
    put(folder.path(), "adapter_model.bin", "pickle");
    assert_says(&fault(folder.path()), &["adapter (LoRA)"]);
}

#[test]
fn what_is_no_model_at_all_is_said_to_be_none() {
    let folder = tempdir().unwrap();
    assert_says(&fault(folder.path()), &["no `model.safetensors`", "Hugging Face layout"]);
    assert_says(&fault(folder.path().join("absent")), &["cannot open", "absent"]);
    put(folder.path(), "model.safetensors", "");
    assert_says(&fault(folder.path()), &["model.safetensors", "the file is empty"]);
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_writer() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("model.safetensors");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_says(&fault(&pipe), &["no regular file"]);
}

#[test]
fn a_placeholder_of_git_lfs_is_recognised() {
    let folder = tempdir().unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    put(folder.path(), "model.safetensors", pointer);
    assert_says(&fault(folder.path()), &["Git LFS pointer", "git lfs pull"]);
}

#[test]
fn a_configuration_must_be_an_object() {
    for (text, wanted) in [("{", "no JSON"), ("[]", "a JSON object")] {
        let folder = tempdir().unwrap();
        put(folder.path(), "model.safetensors", file_with(&["a"]));
        put(folder.path(), "config.json", text);
        assert_says(&fault(folder.path()), &["config.json", wanted]);
    }
}

#[test]
fn a_hostile_name_cannot_steer_the_terminal() {
    let folder = tempdir().unwrap();
    let json = r#"{"\u001b]0;x\u0007w":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#;
    put(folder.path(), "model.safetensors", bytes_of(json, 4));
    let found = fault(folder.path());
    assert!(!found.contains('\u{1b}') && found.contains(r"\u{1b}]0;x"), "{found:?}");
}
