//! Every method against values that others computed (`tests/reference`): mergekit 0.1.5 (by `bench/reference.py`), and
//! for the methods that it lacks their formulas in numpy (by `bench/reference_numpy.py`). From a configuration's text to
//! the merged tensor.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use consilience_checkpoint::{Dtype, TensorView};
use consilience_core::{Result, Seed};
use serde::Deserialize;
use serde_json::Value;

use super::kernel::Kernel;
use crate::config::{InputTensor, MergeConfig, Position};
use crate::kernels::{Group, Output, Sink};
use crate::yaml::Source;

#[derive(Deserialize)]
struct Reference {
    method: String,
    tensors: HashMap<String, Tensor>,
    cases: Vec<Case>,
    #[serde(default)]
    chances: Vec<Chance>,
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    inputs: Vec<String>,
    base: Option<usize>,
    parameters: serde_json::Map<String, Value>,
    expected: Vec<f32>,
    /// How far the reference's own f32 result is from the exact one, relative to its norm.
    noise: f64,
}

#[derive(Deserialize)]
struct Chance {
    name: String,
    inputs: Vec<String>,
    base: Option<usize>,
    parameters: serde_json::Map<String, Value>,
    runs: usize,
    mean: Vec<f64>,
    variance: Vec<f64>,
    changed: Vec<f64>,
}

struct Memory(Mutex<Vec<u8>>);

impl Sink for Memory {
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap()[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A configuration of models `m0`, `m1`, … with these parameters; a list gives each model but the base one value.
fn configuration(
    method: &str,
    count: usize,
    base: Option<usize>,
    parameters: &serde_json::Map<String, Value>,
) -> MergeConfig {
    let mut text = format!("merge_method: {method}\nmodels:\n");
    let mut place = 0;
    for i in 0..count {
        writeln!(text, "  - model: m{i}").unwrap();
        if Some(i) == base {
            continue;
        }
        // mergekit takes densities outside of [0, 1] for 0 and 1; here they are refused, so the limits are merged instead.
        let own: Vec<String> = parameters
            .iter()
            .filter_map(|(name, value)| Some((name, &value.as_array()?[place])))
            .map(|(name, value)| match value.as_f64() {
                Some(number) if name == "density" => format!("density: {}", number.clamp(0.0, 1.0)),
                _ => format!("{name}: {value}"),
            })
            .collect();
        writeln!(text, "    parameters: {{{}}}", own.join(", ")).unwrap();
        place += 1;
    }
    if let Some(base) = base {
        writeln!(text, "base_model: m{base}").unwrap();
    }
    let shared: Vec<String> = parameters
        .iter()
        .filter(|(_, value)| !value.is_array())
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    writeln!(text, "parameters: {{{}}}", shared.join(", ")).unwrap();
    MergeConfig::parse(Source::new("case.yml", text.as_str())).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

fn merged(config: &MergeConfig, inputs: &[&Tensor], seed: Seed) -> Vec<f32> {
    let plan = config.plan(|_, _| 0).unwrap();
    let spot = plan.modules[0].spot(Position::Before).unwrap();
    let base = spot.slice.base;
    let names: Vec<_> = (0..inputs.len()).map(|source| InputTensor { source, name: "weight" }).collect();
    let resolved = config.resolve(&spot, "weight", &names).unwrap();
    let kernel = Kernel::new(config.method.name, &resolved, base, seed).unwrap();
    let models: Vec<_> = (0..inputs.len()).filter(|i| Some(*i) != base).map(|i| view(inputs[i])).collect();
    let memory = Memory(Mutex::new(vec![0; inputs[0].data.len() * 4]));
    let group = Group::new(base.map(|b| view(inputs[b])), &models, false).unwrap();
    kernel.merge(&group, Output { dtype: Dtype::F32, sink: &memory }).unwrap();
    let bytes = memory.0.into_inner().unwrap();
    let mut values = vec![0.0; inputs[0].data.len()];
    Dtype::F32.decode(&bytes, &mut values);
    values
}

fn view(tensor: &Tensor) -> TensorView<'_> {
    TensorView::new(Dtype::F32, &tensor.shape, bytemuck::cast_slice(&tensor.data)).unwrap()
}

fn check(text: &str) {
    let reference: Reference = serde_json::from_str(text).unwrap();
    for case in &reference.cases {
        let inputs: Vec<&Tensor> = case.inputs.iter().map(|name| &reference.tensors[name]).collect();
        let config = configuration(&reference.method, inputs.len(), case.base, &case.parameters);
        let found = merged(&config, &inputs, Seed(1));
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let norm = square(&mut case.expected.iter().map(|v| f64::from(*v)));
        let error = square(&mut found.iter().zip(&case.expected).map(|(f, e)| f64::from(f - e)));
        let bound = (1e-6 + 2.0 * case.noise) * norm + 1e-12;
        assert!(
            error <= bound,
            "{} {}: error {error:.2e}, bound {bound:.2e}\n{found:?}\n{:?}",
            reference.method,
            case.name,
            case.expected
        );
    }
    for chance in &reference.chances {
        let inputs: Vec<&Tensor> = chance.inputs.iter().map(|name| &reference.tensors[name]).collect();
        let config = configuration(&reference.method, inputs.len(), chance.base, &chance.parameters);
        let base = &inputs[chance.base.unwrap()].data;
        let runs = chance.runs;
        let mut sums = vec![[0.0_f64; 3]; base.len()];
        for run in 0..runs {
            for ((sum, v), b) in sums.iter_mut().zip(merged(&config, &inputs, Seed(7).nth(run as u64))).zip(base) {
                let v = f64::from(v);
                *sum = [sum[0] + v, sum[1] + v * v, sum[2] + f64::from(u8::from(v as f32 != *b))];
            }
        }
        for (i, [sum, squares, changed]) in sums.into_iter().enumerate() {
            let n = runs as f64;
            let (mean, variance, changed) = (sum / n, squares / n - (sum / n).powi(2), changed / n);
            // Both sides are estimates from equally many runs: five deviations of their difference.
            let spread = 5.0 * (2.0 * chance.variance[i] / n).sqrt() + 1e-6;
            assert!((mean - chance.mean[i]).abs() <= spread, "{} {i}: mean {mean}, {}", chance.name, chance.mean[i]);
            let p = chance.changed[i];
            let spread = 5.0 * (2.0 * p * (1.0 - p) / n).sqrt() + 1e-9;
            assert!((changed - p).abs() <= spread, "{} {i}: changed {changed}, {p}", chance.name);
            assert!(
                (variance - chance.variance[i]).abs() <= 0.25 * chance.variance[i] + 1e-9,
                "{} {i}: variance",
                chance.name
            );
        }
    }
}

macro_rules! references {
    ($($method:ident),+) => {
        $(#[test]
        fn $method() {
            check(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/", stringify!($method), ".json")));
        })+

        #[test]
        fn every_reference_is_checked() {
            let checked = [$(stringify!($method)),+];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(checked.contains(&name), "{name}");
            }
        }
    };
}

references!(
    arcee_fusion,
    breadcrumbs,
    breadcrumbs_ties,
    consensus_ta,
    consensus_ties,
    dare_linear,
    dare_ties,
    della,
    della_linear,
    iso_c,
    iso_cts,
    karcher,
    linear,
    model_stock,
    multislerp,
    nearswap,
    nuslerp,
    passthrough,
    ram,
    ramplus_tl,
    sce,
    slerp,
    tall_mask,
    task_arithmetic,
    ties,
    tsv_m
);
