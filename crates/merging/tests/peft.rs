//! Agreement with the Python package peft, to 1e-5: what an adapter makes of a model, and what peft makes of an extracted one.

use std::path::Path;
use std::process::Command;

use consilience_checkpoint::{Checkpoint, compare};
use consilience_core::Silent;
use consilience_core::testing::python;
use consilience_merging::adapters::{ExtractLora, Truncation};
use consilience_merging::merge::{Merge, MergeOptions};

const PACKAGES: [&str; 3] = ["torch==2.15.0", "transformers==5.23.0", "peft==0.21.2"];

fn run(python: &Path, verb: &str, folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peft/agreement.py");
    let output = Command::new(python).arg(script).arg(verb).arg(folder).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{verb}:\n{out}\n{log}");
}

#[test]
fn adapters_give_what_peft_gives() {
    let python = match python(&PACKAGES) {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    run(&python, "make", folder.path());
    let mut cases: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert_eq!(cases.len(), 13);
    for case in &cases {
        let at = |name: &str| case.join(name);
        let spec = format!("{}+{}", at("base").display(), at("adapter").display());
        let (with, _) = Checkpoint::open_with_adapters(&spec).unwrap_or_else(|fault| panic!("{spec}: {fault:?}"));
        if at("merged").exists() {
            let found = compare(&Checkpoint::open(at("merged")).unwrap(), &with).unwrap();
            assert!(found.only_a.is_empty() && found.only_b.is_empty(), "{case:?}: {found:?}");
            for tensor in &found.shared {
                let apart = tensor.distance.expect("floats").largest;
                assert!(apart <= 1e-5, "{case:?}: {} is {apart} apart", tensor.name);
            }
        }
        let text = format!("merge_method: passthrough\nmodels: [{{model: \"{spec}\"}}]\n");
        let merge = Merge::parse("case", &text, MergeOptions::default()).unwrap();
        merge.run(&at("ours"), &Silent).unwrap();

        let (finetuned, base) = (Checkpoint::open(at("finetuned")).unwrap(), Checkpoint::open(at("base")).unwrap());
        let extraction = ExtractLora { truncation: Truncation::Energy(1.0), ..ExtractLora::default() };
        let report = extraction.run(&finetuned, &base, &at("extracted"), &Silent).unwrap();
        let renamed = report.notes.iter().any(|note| note.contains("transformers 5 names them otherwise"));
        assert_eq!(renamed, case.ends_with("convolution") || case.ends_with("decomposed_convolution"), "{case:?}");
    }
    run(&python, "check", folder.path());
}
