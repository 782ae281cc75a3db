//! A disk without room. Needs the right to mount a file system; says so where it lacks it.

#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;
use support::{Model, Scene};

const LINEAR: &str = "\
merge_method: linear
models: [{model: math}, {model: code}]
parameters: {weight: 1}
";

/// A file system of its own, gone with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let options = format!("size={size}");
        let run = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        match run {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                eprintln!("skipped: no file system can be mounted here");
                None
            }
        }
    }

    fn names(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Two models of `width`, and a disk of `size`.
fn scene(width: usize, size: &str) -> Option<(Scene, Disk)> {
    let scene = Scene::new();
    for (seed, name) in ["math", "code"].into_iter().enumerate() {
        Model::sized(2, width, seed as u64).write(&scene.path(name));
    }
    scene.write("merge.yml", LINEAR);
    let disk = Disk::mount(&scene.path("disk"), size)?;
    Some((scene, disk))
}

#[test]
fn a_full_disk_is_told_before_anything_is_written() {
    let Some((scene, disk)) = scene(256, "1m") else { return };
    for target in ["disk/out", "disk/out.safetensors"] {
        let run = scene.consilience(["merge", "merge.yml", target]).assert().code(1).stdout("");
        let needed = contains("and the output needs 52").or(contains("and the output needs 53"));
        run.stderr(contains("1048576 bytes left").and(needed).and(contains("make room")));
        assert!(disk.names().is_empty(), "{:?}", disk.names());
    }
}

#[test]
fn a_disk_that_fills_up_at_the_last_file_keeps_the_older_output() {
    let Some((scene, disk)) = scene(64, "1m") else { return };
    scene.consilience(["merge", "merge.yml", "disk/out"]).assert().success();
    let old = scene.files("disk/out");
    // The weights fit beside the old ones, the tokenizer does not.
    scene.write("math/tokenizer.json", vec![b' '; 800_000]);
    let run = scene.consilience(["merge", "merge.yml", "disk/out"]).assert().code(1);
    run.stderr(contains("bytes left, and the output needs").and(contains("panicked").not()));
    assert!(scene.files("disk/out") == old);
    assert_eq!(disk.names(), [scene.path("disk/out")]);
}
