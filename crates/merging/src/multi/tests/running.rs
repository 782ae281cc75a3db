//! Merges of several that run: results, what is kept, what is taken again, what is refused before anything is written.

use std::cell::Cell;
use std::path::Path;

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions};
use consilience_core::{Error, Silent};
use tempfile::TempDir;

use crate::merge::MergeOptions;
use crate::multi::{MultiConfig, MultiMerge, MultiOptions};
use crate::yaml::Source;

const NAME: &str = "model.norm.weight";

/// A folder with the models `a`, `b` and `c`: one tensor of four numbers each, 1, 2 and 4.
fn scene() -> TempDir {
    let scene = tempfile::tempdir().unwrap();
    for (name, value) in [("a", 1.0), ("b", 2.0), ("c", 4.0)] {
        model(&scene.path().join(name), value, 4);
    }
    scene
}

fn model(place: &Path, value: f32, len: usize) {
    let layout = vec![TensorLayout { name: NAME.into(), dtype: Dtype::F32, shape: vec![len] }];
    let writer = CheckpointWriter::create(place, layout, WriterOptions::default()).unwrap();
    writer.write(0, 0, bytemuck::cast_slice(&vec![value; len])).unwrap();
    writer.add_file("config.json", b"{\"num_hidden_layers\":0}").unwrap();
    writer.finish().unwrap();
}

fn value(place: &Path) -> f32 {
    let mut values = [0.0; 4];
    Checkpoint::open(place).unwrap().stored(NAME).unwrap().read(0, &mut values);
    values[0]
}

const CHAIN: &str = "\
name: first
merge_method: linear
models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]
---
merge_method: linear
models: [{model: first, parameters: {weight: 1}}, {model: c, parameters: {weight: 1}}]
";

fn prepare(scene: &TempDir, text: &str, options: MultiOptions) -> Result<MultiMerge, Error> {
    let config = MultiConfig::parse(Source::new("m.yml", text)).unwrap().unwrap();
    MultiMerge::prepare(config, Some(scene.path()), options)
}

fn kept(scene: &TempDir) -> MultiOptions {
    MultiOptions { intermediate: Some(scene.path().join("kept")), ..MultiOptions::default() }
}

/// The names of the merges that ran, and of those that were taken as they were, with a `=` before them.
fn run(multi: &MultiMerge, target: Option<&Path>) -> Result<Vec<String>, Error> {
    let mut ran = Vec::new();
    let mut done = |stage: &crate::multi::StageSummary| {
        let name = stage.name.clone().unwrap_or_else(|| "out".into());
        ran.push(if stage.reused { format!("={name}") } else { name });
    };
    multi.run(target, &Silent, &|_| (), &mut done).map(|()| ran)
}

fn names(place: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_later_merge_takes_the_result_of_an_earlier_one() {
    let scene = scene();
    let out = scene.path().join("out");
    let multi = prepare(&scene, CHAIN, MultiOptions::default()).unwrap();
    let planned: Vec<_> = multi.stages().map(|stage| (stage.name, stage.summary.bytes, stage.input_bytes)).collect();
    assert_eq!(planned, [(Some("first".into()), 16, 32), (None, 16, 32)]);
    assert_eq!(run(&multi, Some(&out)).unwrap(), ["first", "out"]);
    assert_eq!(value(&out), 2.75);
    assert_eq!(names(scene.path()), ["a", "b", "c", "out"]);
    // The whole file, from which all can be made again.
    assert_eq!(std::fs::read_to_string(out.join("mergekit_config.yml")).unwrap(), CHAIN);
}

#[test]
fn kept_results_are_taken_again_until_something_has_changed() {
    let scene = scene();
    let out = scene.path().join("out");
    let again = |text: &str, options: MultiOptions| run(&prepare(&scene, text, options).unwrap(), Some(&out)).unwrap();
    assert_eq!(again(CHAIN, kept(&scene)), ["first", "out"]);
    assert_eq!(names(&scene.path().join("kept")), ["first", "first.made-from.json"]);
    assert_eq!(again(CHAIN, kept(&scene)), ["=first", "out"]);
    // The final merge alone changes; then the first, its model, an option, its result.
    let later = CHAIN.replace("{model: c, parameters: {weight: 1}}", "{model: c, parameters: {weight: 3}}");
    assert_eq!(again(&later, kept(&scene)), ["=first", "out"]);
    let first = later.replace("{model: b, parameters: {weight: 1}}", "{model: b, parameters: {weight: 3}}");
    assert_eq!(again(&first, kept(&scene)), ["first", "out"]);
    assert_eq!(value(&out), 0.25 * 1.75 + 0.75 * 4.0);
    model(&scene.path().join("b"), 3.0, 4);
    assert_eq!(again(&first, kept(&scene)), ["first", "out"]);
    let seeded = MergeOptions { seed: consilience_core::Seed(1), ..MergeOptions::default() };
    assert_eq!(again(&first, MultiOptions { merge: seeded, ..kept(&scene) }), ["first", "out"]);
    assert_eq!(again(&first, kept(&scene)), ["first", "out"]);
    std::fs::remove_file(scene.path().join("kept/first/model.safetensors")).unwrap();
    std::fs::remove_dir_all(scene.path().join("kept/first")).unwrap();
    assert_eq!(again(&first, kept(&scene)), ["first", "out"]);
}

#[test]
fn without_a_final_merge_all_results_are_kept() {
    let scene = scene();
    let text = CHAIN.replacen("---\n", "---\nname: second\n", 1);
    let fault = format!("{:?}", prepare(&scene, &text, MultiOptions::default()).err().unwrap());
    assert!(fault.contains("every merge of this file has a name") && fault.contains("--intermediate-dir"), "{fault}");
    let multi = prepare(&scene, &text, kept(&scene)).unwrap();
    assert!(run(&multi, Some(&scene.path().join("out"))).unwrap_err().to_string().contains("OUT = "));
    assert_eq!(run(&multi, None).unwrap(), ["first", "second"]);
    assert_eq!(value(&scene.path().join("kept/second")), 2.75);
    assert!(
        run(&prepare(&scene, CHAIN, kept(&scene)).unwrap(), None).unwrap_err().to_string().contains("OUT = nothing")
    );
}

#[test]
fn what_is_not_used_is_left_out_unless_it_is_kept() {
    let scene = scene();
    let text = format!("name: other\nmerge_method: passthrough\nmodels: [{{model: a}}]\n---\n{CHAIN}");
    let multi = prepare(&scene, &text, MultiOptions::default()).unwrap();
    assert!(multi.notes().iter().any(|note| note.starts_with("`other` is left out")), "{:?}", multi.notes());
    assert_eq!(run(&multi, Some(&scene.path().join("out"))).unwrap(), ["first", "out"]);
    let multi = prepare(&scene, &text, kept(&scene)).unwrap();
    assert_eq!(run(&multi, Some(&scene.path().join("out"))).unwrap(), ["other", "first", "out"]);
}

#[test]
fn faults_of_later_merges_are_found_before_the_first_runs() {
    let scene = scene();
    model(&scene.path().join("long"), 1.0, 5);
    let shapes =
        format!("{:?}", prepare(&scene, &CHAIN.replace("model: c", "model: long"), kept(&scene)).err().unwrap());
    assert!(shapes.contains("the shapes differ") && shapes.contains("[4]") && shapes.contains("[5]"), "{shapes}");
    let both = CHAIN.replace("model: c", "model: frist").replace("model: a", "model: absent");
    let fault = format!("{:?}", prepare(&scene, &both, MultiOptions::default()).err().unwrap());
    // The second merge is not looked at while the first has faults; the first is told with its line.
    assert!(fault.contains("there is no model `absent`") && fault.contains("line: 3"), "{fault}");
    let misspelt =
        format!("{:?}", prepare(&scene, &CHAIN.replace("model: first", "model: frist"), kept(&scene)).err().unwrap());
    assert!(
        misspelt.contains("did you mean the merge `first` of this file?") && misspelt.contains("line: 6"),
        "{misspelt}"
    );
    assert_eq!(names(scene.path()), ["a", "b", "c", "long"]);
}

#[test]
fn results_never_replace_models() {
    let scene = scene();
    let onto = MultiOptions { intermediate: Some(scene.path().to_owned()), ..MultiOptions::default() };
    // `first` would be written to where another merge reads a model that was there before.
    model(&scene.path().join("first"), 1.0, 4);
    let path = scene.path().join("first");
    let text = CHAIN.replace("model: b", &format!("model: {}", path.display()));
    let fault = prepare(&scene, &text, onto).err().unwrap().to_string();
    assert!(fault.contains("the output would replace the input"), "{fault}");
    let multi = prepare(&scene, CHAIN, kept(&scene)).unwrap();
    assert!(run(&multi, Some(&scene.path().join("kept"))).unwrap_err().to_string().contains("would replace the input"));
    assert!(!scene.path().join("kept").exists());
}

/// Asks to stop when the second task begins.
#[derive(Default)]
struct Impatient(std::sync::Mutex<Cell<usize>>);

impl consilience_core::Progress for Impatient {
    fn begin(&self, _: &str, _: u64, _: consilience_core::Unit) {
        let tasks = self.0.lock().unwrap();
        tasks.set(tasks.get() + 1);
    }
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn stopped(&self) -> bool {
        self.0.lock().unwrap().get() > 1
    }
}

#[test]
fn a_stop_leaves_nothing_but_what_is_kept_and_finished() {
    let scene = scene();
    let out = scene.path().join("out");
    let multi = prepare(&scene, CHAIN, MultiOptions::default()).unwrap();
    let stopped = multi.run(Some(&out), &Impatient::default(), &|_| (), |_| ());
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(names(scene.path()), ["a", "b", "c"]);
    let stopped = prepare(&scene, CHAIN, kept(&scene)).unwrap().run(Some(&out), &Impatient::default(), &|_| (), |_| ());
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(run(&prepare(&scene, CHAIN, kept(&scene)).unwrap(), Some(&out)).unwrap(), ["=first", "out"]);
}
