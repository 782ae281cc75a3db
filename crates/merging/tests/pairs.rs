//! Pairs of texts, from the file to the logits, beside transformers with its own tokenizer.

use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::testing::python;
use consilience_core::{Seed, Silent};
use consilience_merging::tasks::{ExampleSource, Wanted};
use consilience_nn::pretrained::{Bert, Family, TaskHead};
use consilience_nn::{Batch, Classifier, Network};

#[test]
fn pairs_give_what_transformers_gives() {
    let python = match python(&["torch==2.15.0", "transformers==5.23.0", "safetensors"]) {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/pairs.py");
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let device = Device::flex();
    let model = Checkpoint::open(folder).unwrap();
    let bert = Bert::open(&model, &device).unwrap();
    let source = ExampleSource {
        path: folder.join("pairs.jsonl"),
        inputs: Some("first".into()),
        pair: Some("second".into()),
        length: Some(14),
        ..Default::default()
    };
    let wanted = Wanted::Texts { tokenizer: folder, longest: bert.longest(), types: bert.token_types() };
    let samples = source.read(&wanted, false, Seed(0), &Silent).unwrap().samples;
    assert_eq!(samples.shape(), [3, 14]);
    bert.check_samples(&samples).unwrap();
    let network = Network::new(bert, TaskHead::of(&model, 1.0, &device).unwrap()).unwrap();
    let batch = Batch::from_values(samples.as_slice().to_vec(), samples.shape(), &device).unwrap();
    let logits = network.logits(batch).into_data().try_to_vec::<f32>().unwrap();

    let expected = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
    let view = expected.stored("logits").unwrap();
    let mut wanted = vec![0.0; view.len()];
    view.read(0, &mut wanted);
    let furthest = logits.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(logits.len() == wanted.len() && furthest < 1e-4, "{furthest}\n{logits:?}\n{wanted:?}");
}
