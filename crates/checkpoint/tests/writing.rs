//! Writing: the layout on disk, and that at any moment the target is the old output, or absent, or the new one, whole.

mod common;

use std::io::{BufReader, Read, Write};
use std::path::Path;

use common::{file_with, list, messages, put, vector, write};
use consilience_checkpoint::{
    Checkpoint, CheckpointWriter, Dtype, Replace, TensorLayout, WriterOptions, refuse_output_onto_input,
};
use consilience_core::Error;
use safetensors::SafeTensors;
use tempfile::tempdir;

fn small_shards() -> WriterOptions {
    WriterOptions { max_shard_bytes: 100, ..WriterOptions::default() }
}

fn replacing(replace: Replace) -> WriterOptions {
    WriterOptions { replace, ..WriterOptions::default() }
}

fn first_value(path: &Path) -> f32 {
    let checkpoint = Checkpoint::open(path).unwrap();
    let mut value = [f32::NAN];
    checkpoint.stored("a").unwrap().read(0, &mut value);
    value[0]
}

#[test]
fn the_reference_reads_what_is_written() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("out.safetensors");
    let layout = [
        TensorLayout { name: "größe".into(), dtype: Dtype::BF16, shape: vec![1, 3] },
        TensorLayout { name: "scalar".into(), dtype: Dtype::I64, shape: vec![] },
        TensorLayout { name: "empty".into(), dtype: Dtype::F32, shape: vec![2, 0] },
        TensorLayout { name: "w".into(), dtype: Dtype::F8E4M3, shape: vec![5] },
    ];
    let writer = CheckpointWriter::create(&target, layout.to_vec(), WriterOptions::default()).unwrap();
    assert_eq!(writer.total_bytes(), 19);
    writer.write(3, 2, &[2, 3, 4]).unwrap();
    writer.write(3, 0, &[0, 1]).unwrap();
    writer.write(1, 0, &(-7_i64).to_le_bytes()).unwrap();
    writer.write(0, 0, &[9; 6]).unwrap();
    writer.write(2, 0, &[]).unwrap();
    writer.finish().unwrap();
    assert_eq!(list(folder.path()), ["out.safetensors"]);

    let bytes = std::fs::read(&target).unwrap();
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), 4);
    let view = theirs.tensor("größe").unwrap();
    assert_eq!((view.dtype(), view.shape(), view.data()), (safetensors::Dtype::BF16, &[1, 3][..], &[9; 6][..]));
    assert_eq!(theirs.tensor("scalar").unwrap().data(), (-7_i64).to_le_bytes());
    assert_eq!(theirs.tensor("w").unwrap().data(), [0, 1, 2, 3, 4]);
    assert_eq!(theirs.tensor("empty").unwrap().shape(), [2, 0]);
}

#[test]
fn shards_fill_up_in_order_and_a_large_tensor_has_its_own() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("deep/er/out");
    let layout = [vector("a", 10), vector("b", 10), vector("c", 15), vector("huge", 1000), vector("d", 25)];
    write(&target, &layout, 0.0, small_shards()).unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(target.join("model.safetensors.index.json")).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], 4 * 1060);
    let shard = |i| format!("model-{i:05}-of-00004.safetensors");
    for (name, i) in [("a", 1), ("b", 1), ("c", 2), ("huge", 3), ("d", 4)] {
        assert_eq!(index["weight_map"][name], shard(i), "{name}");
    }
    assert_eq!(list(&target).len(), 5);
    assert_eq!(list(target.parent().unwrap()), ["out"]);
    let checkpoint = Checkpoint::open(&target).unwrap();
    let mut values = [0.0; 1000];
    checkpoint.stored("huge").unwrap().read(0, &mut values);
    assert_eq!(values, [3.0; 1000]);
}

#[test]
fn the_same_layout_gives_the_same_bytes() {
    let folder = tempdir().unwrap();
    let layout = [vector("a", 20), vector("b", 20), vector("c", 3)];
    for name in ["x", "y"] {
        write(&folder.path().join(name), &layout, 1.0, small_shards()).unwrap();
    }
    let names = list(&folder.path().join("x"));
    assert_eq!(names, list(&folder.path().join("y")));
    for name in names {
        let read = |side| std::fs::read(folder.path().join(side).join(&name)).unwrap();
        assert_eq!(read("x"), read("y"), "{name}");
    }
}

#[test]
fn threads_write_at_once() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("out");
    let layout: Vec<TensorLayout> = (0..8).map(|i| vector(&format!("w.{i}"), 1024)).collect();
    let writer = CheckpointWriter::create(&target, layout, small_shards()).unwrap();
    std::thread::scope(|scope| {
        for part in 0..4_u64 {
            let writer = &writer;
            scope.spawn(move || {
                for tensor in 0..8 {
                    let value = (tensor as u64 * 4 + part) as f32;
                    writer.write(tensor, part * 1024, bytemuck::cast_slice(&[value; 256])).unwrap();
                }
            });
        }
    });
    writer.finish().unwrap();
    let checkpoint = Checkpoint::open(&target).unwrap();
    for tensor in 0..8 {
        let mut values = [0.0; 1024];
        checkpoint.stored(&format!("w.{tensor}")).unwrap().read(0, &mut values);
        assert!((0..1024).all(|i| values[i] == (tensor * 4 + i / 256) as f32));
    }
}

#[test]
fn files_are_added_beside_the_weights() {
    let folder = tempdir().unwrap();
    let (target, from) = (folder.path().join("out"), folder.path().join("t.json"));
    std::fs::write(&from, "tokens").unwrap();
    let options = WriterOptions { sync: true, ..WriterOptions::default() };
    let writer = CheckpointWriter::create(&target, vec![vector("a", 1)], options).unwrap();
    writer.add_file("config.json", b"{}").unwrap();
    writer.copy_file(&from, "tokenizer.json").unwrap();
    for name in ["config.json", "model.safetensors", "model.safetensors.index.json", "", "../x", "a/b", ".hidden", ".."]
    {
        assert!(matches!(writer.add_file(name, b"{}"), Err(Error::Parameter { .. })), "{name:?}");
    }
    let absent = folder.path().join("absent");
    assert!(writer.copy_file(&absent, "vocab.json").unwrap_err().to_string().contains("absent"));
    writer.finish().unwrap();
    assert_eq!(list(&target), ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(std::fs::read_to_string(target.join("tokenizer.json")).unwrap(), "tokens");
    assert_eq!(std::fs::read_to_string(&from).unwrap(), "tokens");
}

#[test]
fn what_cannot_be_written_is_refused_first_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("out");
    let huge = |name: &str, elements| TensorLayout { name: name.into(), dtype: Dtype::U8, shape: vec![elements] };
    for (layout, wanted) in [
        (vec![vector("a", 1), vector("a", 2)], "`a`: is to be written twice"),
        (vec![TensorLayout { name: "w".into(), dtype: Dtype::F32, shape: vec![usize::MAX, 2] }], "tensor `w`"),
        (vec![huge("w", i64::MAX as usize), huge("x", i64::MAX as usize)], "more bytes than can be counted"),
        (vec![vector("__metadata__", 1)], "kept for the file's own metadata"),
        (vec![huge("w", 1 << 60)], "bytes left, and the output needs 1152921504606"),
    ] {
        let fault = CheckpointWriter::create(&target, layout, WriterOptions::default()).unwrap_err();
        assert!(messages(&fault).contains(wanted), "{fault}");
        assert!(list(folder.path()).is_empty());
    }
    let writer = CheckpointWriter::create(&target, vec![vector("a", 2)], WriterOptions::default()).unwrap();
    for (tensor, offset, bytes) in [(0, 1, 8), (0, 9, 0), (0, u64::MAX, 1), (1, 0, 0)] {
        assert!(matches!(writer.write(tensor, offset, &vec![0; bytes]), Err(Error::Parameter { .. })));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempdir().unwrap();
    put(folder.path(), "file", "x");
    let target = folder.path().join("file/out");
    let fault = write(&target, &[vector("a", 1)], 0.0, WriterOptions::default()).unwrap_err();
    assert!(messages(&fault).contains("file"), "{fault}");
    for target in ["/", "..", ""] {
        let fault = write(Path::new(target), &[vector("a", 1)], 0.0, WriterOptions::default()).unwrap_err();
        assert!(fault.to_string().contains("a path that ends in a name"), "{target:?}: {fault}");
    }
}

#[test]
fn an_unfinished_writer_leaves_the_target_as_it_was() {
    let folder = tempdir().unwrap();
    for name in ["out", "out.safetensors"] {
        let target = folder.path().join(name);
        let begin = || CheckpointWriter::create(&target, vec![vector("a", 1)], WriterOptions::default()).unwrap();
        drop(begin());
        assert!(list(folder.path()).is_empty());
        write(&target, &[vector("a", 1)], 5.0, WriterOptions::default()).unwrap();
        let writer = begin();
        writer.write(0, 0, &[1; 4]).unwrap();
        assert_eq!(first_value(&target), 5.0);
        drop(writer);
        assert_eq!(first_value(&target), 5.0);
        assert_eq!(list(folder.path()), [name]);
        let removed = if target.is_dir() { std::fs::remove_dir_all(&target) } else { std::fs::remove_file(&target) };
        removed.unwrap();
    }
}

#[test]
fn what_a_killed_run_left_is_cleared() {
    let folder = tempdir().unwrap();
    // A run that never gets to clean up: what it staged stays, and its lock ends with it.
    let stale = folder.path().join(".out.partial");
    std::fs::create_dir(&stale).unwrap();
    put(&stale, "model-00001-of-00009.safetensors", "half");
    put(folder.path(), ".out.lock", "");
    put(folder.path(), ".out.safetensors.partial", "half");
    put(folder.path(), ".out.safetensors.lock", "");
    write(&folder.path().join("out"), &[vector("a", 1)], 1.0, WriterOptions::default()).unwrap();
    write(&folder.path().join("out.safetensors"), &[vector("a", 1)], 1.0, WriterOptions::default()).unwrap();
    assert_eq!(list(folder.path()), ["out", "out.safetensors"]);
    assert_eq!(list(&folder.path().join("out")), ["model.safetensors"]);
}

#[test]
fn what_is_not_ours_is_not_cleared() {
    let folder = tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    put(&elsewhere, "notes.txt", "mine");
    for name in ["out", "out.safetensors"] {
        let place = folder.path().join(format!(".{name}.partial"));
        std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        let fault = write(&folder.path().join(name), &[vector("a", 1)], 1.0, WriterOptions::default()).unwrap_err();
        assert!(fault.to_string().contains("in the way"), "{fault}");
    }
    assert_eq!(list(&elsewhere), ["notes.txt"]);
}

#[test]
fn two_writers_of_one_target_do_not_meet() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("out");
    let writer = CheckpointWriter::create(&target, vec![vector("a", 1)], WriterOptions::default()).unwrap();
    let fault = write(&target, &[vector("a", 1)], 2.0, WriterOptions::default()).unwrap_err();
    assert!(fault.to_string().contains("another process is writing it"), "{fault}");
    writer.write(0, 0, bytemuck::bytes_of(&1.0_f32)).unwrap();
    writer.finish().unwrap();
    assert_eq!(first_value(&target), 1.0);
    write(&target, &[vector("a", 1)], 2.0, WriterOptions::default()).unwrap();
    assert_eq!(first_value(&target), 2.0);
}

#[test]
fn an_output_of_ours_is_replaced_whole() {
    let folder = tempdir().unwrap();
    let target = folder.path().join("out");
    write(&target, &[vector("a", 20), vector("b", 20)], 1.0, small_shards()).unwrap();
    put(&target, "README.md", "card");
    put(&target, "tokenizer.json", "{}");
    write(&target, &[vector("a", 20)], 2.0, WriterOptions::default()).unwrap();
    assert_eq!(list(&target), ["model.safetensors"]);
    assert_eq!(first_value(&target), 2.0);
    assert_eq!(list(folder.path()), ["out"]);
    // An empty folder is nobody's loss.
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    write(&empty, &[vector("a", 1)], 3.0, replacing(Replace::Never)).unwrap();
    assert_eq!(first_value(&empty), 3.0);
}

#[test]
fn nothing_of_the_users_is_replaced() {
    let write_over = |target: &Path, replace| write(target, &[vector("a", 1)], 9.0, replacing(replace));
    // What stands in the target, and whether the mode lets it be replaced.
    type Files<'f> = &'f [(&'f str, &'f [u8])];
    let cases: [(Files, [bool; 3]); 6] = [
        (&[("model.safetensors", b"ours")], [false, true, true]),
        (&[("model.safetensors", b"theirs"), ("config.json", b"{}")], [false, false, true]),
        (&[("model.safetensors", b"ours"), ("extra.safetensors", b"theirs")], [false, false, true]),
        (&[("model.safetensors", b"ours"), ("trainer_state.json", b"{}")], [false, false, true]),
        (&[("model.safetensors", b"ours"), ("notes.txt", b"mine")], [false, false, false]),
        (&[("config.json", b"{}")], [false, false, false]),
    ];
    for (files, allowed) in cases {
        for (replace, allowed) in [Replace::Never, Replace::Own, Replace::Models].into_iter().zip(allowed) {
            let folder = tempdir().unwrap();
            let target = folder.path().join("out");
            std::fs::create_dir(&target).unwrap();
            for (name, contents) in files {
                match *contents {
                    b"ours" => {
                        let file = folder.path().join("made.safetensors");
                        write(&file, &[vector("a", 1)], 1.0, WriterOptions::default()).unwrap();
                        std::fs::rename(file, target.join(name)).unwrap();
                    }
                    b"theirs" => put(&target, name, file_with(&["a"])),
                    contents => put(&target, name, contents),
                }
            }
            let before = list(&target);
            let done = write_over(&target, replace);
            assert_eq!(done.is_ok(), allowed, "{before:?} {replace:?}: {done:?}");
            assert_eq!(list(&target), if allowed { vec!["model.safetensors".to_owned()] } else { before });
            assert_eq!(list(folder.path()), ["out"]);
        }
    }
}

#[test]
fn files_links_and_folders_do_not_stand_in_for_one_another() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    put(folder.path(), "file", "x");
    std::fs::create_dir(at("folder.safetensors")).unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("loose")).unwrap();
    put(folder.path(), "theirs.safetensors", file_with(&["a"]));
    put(folder.path(), "text.safetensors", "no weights");
    for (name, replace, wanted) in [
        ("file", Replace::Models, "is a file"),
        ("folder.safetensors", Replace::Models, "is a folder"),
        ("link", Replace::Models, "is a link"),
        ("loose", Replace::Models, "is a link"),
        ("theirs.safetensors", Replace::Own, "not written by consilience"),
        ("theirs.safetensors", Replace::Never, "is there already"),
        ("text.safetensors", Replace::Models, "no safetensors file"),
    ] {
        let fault = write(&at(name), &[vector("a", 1)], 1.0, replacing(replace)).unwrap_err();
        assert!(fault.to_string().contains(wanted), "{name}: {fault}");
    }
    write(&at("theirs.safetensors"), &[vector("a", 1)], 1.0, replacing(Replace::Models)).unwrap();
    assert_eq!(first_value(&at("theirs.safetensors")), 1.0);
}

#[test]
fn what_appears_in_the_target_meanwhile_is_kept_and_so_is_the_output() {
    let folder = tempdir().unwrap();
    for (name, kept) in [("out", "out.new-1"), ("one.safetensors", "one.new-1.safetensors")] {
        let target = folder.path().join(name);
        let writer = CheckpointWriter::create(&target, vec![vector("a", 1)], WriterOptions::default()).unwrap();
        writer.write(0, 0, bytemuck::bytes_of(&4.0_f32)).unwrap();
        if name == "out" {
            std::fs::create_dir(&target).unwrap();
            put(&target, "notes.txt", "mine");
        } else {
            put(folder.path(), name, "mine");
        }
        let fault = messages(&writer.finish().unwrap_err());
        assert!(fault.contains("changed while the output was made") && fault.contains(kept), "{fault}");
        assert_eq!(first_value(&folder.path().join(kept)), 4.0);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("out/notes.txt")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(folder.path().join("one.safetensors")).unwrap(), "mine");
    assert_eq!(list(folder.path()), ["one.new-1.safetensors", "one.safetensors", "out", "out.new-1"]);
}

#[test]
fn an_output_onto_an_input_is_refused() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("in/deep")).unwrap();
    std::fs::create_dir(at("linked")).unwrap();
    put(&at("in"), "model.safetensors", file_with(&["a"]));
    std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
    std::fs::hard_link(at("in/model.safetensors"), at("hard.safetensors")).unwrap();
    std::os::unix::fs::symlink(at("in/model.safetensors"), at("linked/model.safetensors")).unwrap();
    let refused =
        |target: &str, input: &str| refuse_output_onto_input(&at(target), &[&at("other"), &at(input)]).is_err();
    for (target, input) in [
        ("in", "in"),
        ("link", "in"),
        ("in", "link"),
        ("in/out", "in"),
        ("in/deep/../out", "link"),
        ("in/absent/out", "in"),
        ("in", "in/model.safetensors"),
        ("in/model.safetensors", "in/model.safetensors"),
        ("hard.safetensors", "in/model.safetensors"),
        ("in", "linked"),
    ] {
        assert!(refused(target, input), "{target} onto {input}");
    }
    for (target, input) in [("out", "in"), ("in2", "in"), ("in/out.safetensors", "in/model.safetensors")] {
        assert!(!refused(target, input), "{target} onto {input}");
    }
    let fault = refuse_output_onto_input(&at("in"), &[&at("in")]).unwrap_err();
    assert!(messages(&fault).contains("choose another output"), "{fault}");
}

/// Set for the process that is to be killed: where it writes.
const VICTIM: &str = "CONSILIENCE_TEST_VICTIM";

#[test]
fn killed_at_any_moment_the_target_is_absent_or_whole() {
    let layout: Vec<TensorLayout> = (0..6).map(|i| vector(&format!("w.{i}"), 50_000)).collect();
    let options = || WriterOptions { max_shard_bytes: 500_000, ..WriterOptions::default() };
    let write_generation = |target: &Path, generation: u32| {
        let writer = CheckpointWriter::create(target, layout.clone(), options()).unwrap();
        for tensor in 0..layout.len() {
            writer.write(tensor, 0, bytemuck::cast_slice(&vec![generation as f32; 50_000])).unwrap();
        }
        writer.finish().unwrap();
    };
    if let Some(target) = std::env::var_os(VICTIM) {
        // A star before each output; it ends at the latest when nobody listens any more.
        for generation in 1.. {
            std::io::stdout().write_all(b"*").and_then(|()| std::io::stdout().flush()).unwrap();
            write_generation(Path::new(&target), generation);
        }
    }

    let folder = tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for name in ["out", "out.safetensors"] {
        let target = folder.path().join(name);
        for round in 0..12_u64 {
            let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "killed_at_any_moment_the_target_is_absent_or_whole"])
                .env(VICTIM, &target)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            // Killed somewhere within its first to third output.
            let output = BufReader::new(victim.stdout.take().unwrap()).bytes();
            let stars = output.filter(|byte| matches!(byte, Ok(b'*')));
            let begun = stars.take(1 + round as usize % 3).count();
            std::thread::sleep(std::time::Duration::from_micros(300 * round));
            victim.kill().unwrap();
            victim.wait().unwrap();
            assert_eq!(begun, 1 + round as usize % 3, "it ended by itself");
            if !target.exists() {
                continue;
            }
            let checkpoint = Checkpoint::open(&target).unwrap_or_else(|e| panic!("{}", messages(&e)));
            let bytes: Vec<&[u8]> = checkpoint.names().map(|name| checkpoint.stored(name).unwrap().bytes()).collect();
            assert_eq!(bytes.len(), layout.len());
            let first: [u8; 4] = bytes[0][..4].try_into().unwrap();
            assert!(bytes.iter().all(|tensor| tensor.len() == 200_000 && tensor.chunks(4).all(|v| v == first)));
            seen.insert(f32::from_le_bytes(first) as u32);
        }
        // The next run succeeds and clears up.
        write_generation(&target, 0);
    }
    assert!(!seen.is_empty() && !seen.contains(&0), "{seen:?}");
    assert_eq!(list(folder.path()), ["out", "out.safetensors"]);
}
