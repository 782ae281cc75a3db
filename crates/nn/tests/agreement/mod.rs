//! Model folders beside what another implementation makes of them.

use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::Samples;
use consilience_core::testing::python;
use consilience_nn::pretrained::{Family, Pretrained, TaskHead};
use consilience_nn::{Batch, Head, Network, Parameters, Untapped};

/// The largest difference that is still agreement.
const TOLERANCE: f32 = 1e-4;

/// Opens the model in `folder`, and compares features and logits with `expected.safetensors` there.
pub fn check_encoder(folder: &Path) {
    let device = Device::flex();
    let model = Checkpoint::open(folder).unwrap();
    let expected = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
    match Pretrained::open(&model, &device).unwrap() {
        Pretrained::ClipVision(network) => {
            let head = head_of(folder, &device);
            compare(folder, network, head, &model, &expected, "images");
        }
        Pretrained::Bert(network) => {
            let head = head_of(folder, &device);
            let network = match &head {
                Some(head) => network.with_pooling_for(head),
                None => network,
            };
            compare(folder, network, head, &model, &expected, "texts");
        }
        other => panic!("{}: this is no encoder: {other:?}", folder.display()),
    }
}

/// The head beside the model, or in it, if there is one.
fn head_of(folder: &Path, device: &Device) -> Option<TaskHead> {
    let own = folder.join("head.safetensors");
    let path = if own.exists() { own } else { folder.to_owned() };
    TaskHead::open(path, 100.0, device).ok()
}

fn compare<E>(folder: &Path, network: E, head: Option<TaskHead>, model: &Checkpoint, expected: &Checkpoint, input: &str)
where
    E: Family,
    E::Input: Batch,
{
    let (shape, values) = read(expected, input);
    let samples = Samples::new(values.clone(), &shape[1..]).unwrap();
    network.check_samples(&samples).unwrap();
    let batch = E::Input::from_values(values, &shape[1..], &Device::flex()).unwrap();
    let features = network.logits(batch);
    assert_close(&format!("{}: features", folder.display()), &features, &read(expected, "features"));
    match (head, expected.describe("logits")) {
        (Some(head), Some(_)) => {
            let logits = head.forward(features, &mut Untapped);
            assert_close(&format!("{}: logits", folder.display()), &logits, &read(expected, "logits"));
            let alone = Parameters::of(&network).unwrap();
            let joined = Network::new(network.clone(), head).unwrap();
            assert_eq!(alone.values(), Parameters::of(&joined).unwrap().values(), "the head is no part of it");
        }
        (None, None) => {}
        (head, _) => panic!("{}: the head is {head:?}", folder.display()),
    }
    assert_comes_back(&network, model);
}

/// What is stored of a network is what it was loaded from, bit by bit.
pub fn assert_comes_back<E: Family>(network: &E, model: &Checkpoint) {
    let found = network.mapping().find(model).unwrap();
    let parameters = Parameters::of(network).unwrap();
    let mut count = 0;
    for tensor in found.store(&parameters).unwrap() {
        assert_eq!(read(model, &tensor.name), (tensor.shape, tensor.values), "{}", tensor.name);
        count += 1;
    }
    assert_eq!(count + found.unused().len(), model.len());
}

/// Fails where an entry is further than the tolerance from what is expected.
pub fn assert_close(what: &str, found: &Tensor<2>, (shape, expected): &(Vec<usize>, Vec<f32>)) {
    assert_eq!(found.dims().to_vec(), *shape, "{what}");
    let found = found.to_data().try_to_vec::<f32>().unwrap();
    let furthest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest <= TOLERANCE, "{what}: {furthest:e} apart");
    // What agrees because it is all the same would not show much.
    let spread = expected.iter().fold(f32::MIN, |a, b| a.max(*b)) - expected.iter().fold(f32::MAX, |a, b| a.min(*b));
    assert!(spread > 100.0 * TOLERANCE, "{what}: the values are within {spread:e}");
}

/// Shape and values of a tensor.
pub fn read(file: &Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = file.tensor(name).unwrap().unwrap_or_else(|| panic!("{}: no `{name}`", file.path().display()));
    let mut values = vec![0.0; tensor.view().len()];
    tensor.view().read(0, &mut values);
    (tensor.view().shape().to_vec(), values)
}

/// Runs `check` on the folder of every case: of the stored references.
pub fn on_references(cases: &[&str], check: impl Fn(&Path)) {
    let references = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    cases.iter().for_each(|case| check(&references.join(case)));
}

/// Runs `check` on the folder of every case: of new models, which the script `python/{script}` makes with transformers.
/// Says so where there is no Python with that package.
pub fn on_new_models(script: &str, cases: &[&str], check: impl Fn(&Path)) {
    let python = match python(&["torch==2.15.0", "transformers==5.23.0", "safetensors"]) {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    for seed in ["1", "2"] {
        let folder = folder.path().join(seed);
        let output = Command::new(&python).arg(&script).arg(&folder).arg(seed).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cases.iter().for_each(|case| check(&folder.join(case)));
    }
}
