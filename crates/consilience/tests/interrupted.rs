//! What is there after a kill, and what an output may take the place of.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use predicates::prelude::*;
use support::{Model, Scene};

const DELLA: &str = "\
merge_method: della
base_model: math
models: [{model: code}]
parameters: {weight: 1, density: 0.5, epsilon: 0.2}
";

const LINEAR: &str = "\
merge_method: linear
models: [{model: math}, {model: code}]
parameters: {weight: 1}
";

/// Models that take long enough to merge to be killed on the way.
fn slow() -> Scene {
    let scene = Scene::new();
    for (seed, name) in ["math", "code"].into_iter().enumerate() {
        Model::sized(4, 384, seed as u64).write(&scene.path(name));
    }
    scene
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A merge into `out` that has begun to write and is held there; each try starts from what `prepare` makes.
fn held_on_the_way(scene: &Scene, prepare: impl Fn()) -> Child {
    let under_way = scene.path(".out.partial/model.safetensors");
    for _ in 0..20 {
        prepare();
        scene.write("merge.yml", DELLA);
        let mut child = Command::new(env!("CARGO_BIN_EXE_consilience"))
            .current_dir(scene.path(""))
            .args(["merge", "merge.yml", "out", "-j", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !under_way.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
        if child.try_wait().unwrap().is_none() {
            signal(&child, "-STOP");
            std::thread::sleep(Duration::from_millis(20));
            if under_way.exists() {
                return child;
            }
            signal(&child, "-CONT");
        }
        // It was done before it could be held: a busy machine.
        assert!(child.wait().unwrap().success());
    }
    panic!("no merge could be held on the way");
}

fn none_there(scene: &Scene) -> impl Fn() {
    let out = scene.path("out");
    move || {
        let _ = std::fs::remove_dir_all(&out);
    }
}

#[test]
fn a_killed_merge_leaves_the_target_absent_and_the_next_one_succeeds() {
    let scene = slow();
    let mut child = held_on_the_way(&scene, none_there(&scene));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!scene.path("out").exists());
    scene.merge(DELLA, []).assert().success();
    let after_a_kill = scene.files("out");
    assert_eq!(scene.names(), ["code", "math", "merge.yml", "out"]);
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    scene.merge(DELLA, []).assert().success();
    assert!(scene.files("out") == after_a_kill);
}

#[test]
fn a_killed_merge_leaves_an_older_output_as_it_was() {
    let scene = slow();
    scene.merge(LINEAR, []).assert().success();
    let old = scene.files("out");
    let mut child = held_on_the_way(&scene, || {
        scene.merge(LINEAR, []).assert().success();
    });
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(scene.files("out") == old);
    scene.merge(DELLA, []).assert().success();
    assert!(scene.files("out") != old);
    assert_eq!(scene.names(), ["code", "math", "merge.yml", "out"]);
}

#[test]
fn an_interrupt_ends_the_merge_and_clears_up() {
    let scene = slow();
    let child = held_on_the_way(&scene, none_there(&scene));
    signal(&child, "-INT");
    signal(&child, "-CONT");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped on request; nothing was written"), "{stderr}");
    assert_eq!(scene.names(), ["code", "math", "merge.yml"]);
}

#[test]
fn two_at_once_do_not_write_the_same_output() {
    let scene = slow();
    let mut first = held_on_the_way(&scene, none_there(&scene));
    let second = scene.consilience(["merge", "merge.yml", "out"]).assert().code(1);
    second.stderr(predicate::str::contains("another process is writing it"));
    signal(&first, "-CONT");
    assert!(first.wait().unwrap().success());
    assert_eq!(scene.names(), ["code", "math", "merge.yml", "out"]);
}

#[test]
fn what_an_earlier_run_left_behind_is_cleared() {
    let scene = Scene::with_models();
    std::fs::create_dir(scene.path(".out.partial")).unwrap();
    scene.write(".out.partial/model.safetensors", "half of a model");
    scene.write(".out.partial/more", "of it");
    scene.write(".out.lock", "");
    scene.merge(LINEAR, []).assert().success();
    assert_eq!(scene.names(), ["base", "code", "math", "merge.yml", "out"]);
    assert_eq!(scene.read("out").len(), 13);
    assert!(!scene.path("out/more").exists());
}

#[test]
fn an_older_output_is_replaced_whole() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, ["--out-shard-size", "1KB"]).assert().success();
    assert!(scene.path("out/model.safetensors.index.json").exists());
    scene.merge(LINEAR, []).assert().success();
    assert!(!scene.path("out/model.safetensors.index.json").exists());
    assert_eq!(scene.read("out").len(), 13);
}

#[test]
fn folders_of_the_user_are_not_replaced() {
    let scene = Scene::with_models();
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.merge(LINEAR, []).assert().success();

    // A note among the files of an older output.
    scene.write("out/notes.txt", "mine");
    let before = scene.files("out");
    for arguments in [&[][..], &["--force"]] {
        let run = scene.merge(LINEAR, arguments.iter().copied()).assert().code(1);
        run.stderr(predicate::str::contains("`notes.txt`"));
        assert!(scene.files("out") == before);
    }

    // A model that somebody else wrote.
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    Model::llama(1, 7).write(&scene.path("out"));
    let before = scene.files("out");
    let run = scene.merge(LINEAR, []).assert().code(1);
    run.stderr(predicate::str::contains("was not written by consilience").and(predicate::str::contains("--force")));
    assert!(scene.files("out") == before);
    scene.merge(LINEAR, ["--force"]).assert().success();
    assert_eq!(scene.read("out").len(), 13);
}

#[test]
fn an_output_onto_an_input_is_refused() {
    let scene = Scene::with_models();
    std::os::unix::fs::symlink(scene.path("math"), scene.path("link")).unwrap();
    scene.write("merge.yml", LINEAR);
    let inputs = [scene.files("math"), scene.files("code")];
    for target in ["math", "./code/../math", "link", "math/merged", "code/model.safetensors", "."] {
        let run = scene.consilience(["merge", "--force", "merge.yml", target]).assert().code(1);
        run.stderr(predicate::str::contains("panicked").not());
        assert!([scene.files("math"), scene.files("code")] == inputs, "{target}");
    }
    let run = scene.consilience(["merge", "--force", "merge.yml", "math"]).assert().code(1);
    run.stderr(predicate::str::contains("the output would replace the input"));
    assert_eq!(scene.names(), ["base", "code", "link", "math", "merge.yml"]);
}
