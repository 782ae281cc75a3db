//! Encoders give what the `transformers` package gives: on stored references, and on models that it makes anew.

use std::path::Path;
use std::process::Command;

use crate::agreement::check_encoder;
use consilience_core::testing::python;

/// The cases of `python/encoders.py`.
const CASES: [&str; 6] =
    ["clip", "clip_gelu", "clip_unprojected", "bert_classifier", "roberta_classifier", "bert_mean"];

#[test]
fn encoders_agree_with_the_stored_references() {
    let references = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    for case in CASES {
        check_encoder(&references.join(case));
    }
}

#[test]
fn encoders_agree_with_transformers_on_new_models() {
    let python = match python(&["torch==2.15.0", "transformers==5.23.0", "safetensors"]) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/encoders.py");
    for seed in ["1", "2"] {
        let folder = folder.path().join(seed);
        let output = Command::new(&python).arg(&script).arg(&folder).arg(seed).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for case in CASES {
            check_encoder(&folder.join(case));
        }
    }
}
