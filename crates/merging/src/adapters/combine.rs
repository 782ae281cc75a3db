//! Several adapters of one base as one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use consilience_checkpoint::{Adapter, LoraModule, Replace, TensorView, natural_cmp, refuse_output_onto_input};
use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::spectral::{Svd, thin_svd};
use faer::Mat;
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::folder::{Folder, Pair, WholeTensor};
use super::{AdapterReport, Kept, Truncation};

/// An adapter, and what its products are multiplied by in the sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// The adapter's folder.
    pub path: PathBuf,
    /// Its weight.
    pub weight: f64,
}

/// Writes the weighted sum of several adapters' products, `Σ w · scale · B A`, as one adapter.
///
/// The sum's singular values come from the stacked factors, exactly and without the matrix itself: with `Σ w s B A = L R`,
/// `L = U S V^T` and `S V^T R = P T Q^T` (two thin decompositions), the sum is `(U P) T Q^T`. With a rank of at least the
/// sum of the adapters' ranks nothing is lost.
///
/// Time: `O((m + n) k²)` a module, `k` the sum of the ranks; memory: the new adapter, and the factors of the modules in work.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeLora {
    /// The adapters and their weights.
    pub adapters: Vec<Weighted>,
    /// Where to cut the singular values off.
    pub truncation: Truncation,
    /// What may be replaced.
    pub replace: Replace,
}

/// The modules of one name, with the weights of the adapters that they come from.
type Stack<'a> = Vec<(LoraModule<'a>, f64)>;

impl MergeLora {
    /// Writes the sum to the folder `target`, which is absent or whole at any moment.
    ///
    /// Errors: no adapters, the same one twice; weights that are not finite; adapters that cannot be read, are
    /// weight-decomposed (their products depend on the base), hold whole tensors that are not the same in all, or whose
    /// factors do not fit each other; an output onto an input, or one that may not be replaced; a request to stop. Nothing
    /// is left behind then.
    pub fn run(&self, target: &Path, progress: &dyn Progress) -> Result<AdapterReport> {
        self.truncation.check()?;
        if self.adapters.is_empty() {
            return Err(Error::parameter("adapters", "none", "at least one"));
        }
        let paths: Vec<&Path> = self.adapters.iter().map(|adapter| adapter.path.as_path()).collect();
        refuse_output_onto_input(target, &paths)?;
        let adapters = self.open()?;
        let weights: Vec<f64> = self.adapters.iter().map(|adapter| adapter.weight).collect();
        let whole = whole_tensors(&adapters)?;
        let stacks = stack(&adapters, &weights)?;
        progress.begin("merging adapters", stacks.len() as u64, Unit::Steps);
        let merged = stacks.par_iter().with_max_len(1).map(|(name, stack)| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let merged = merge(name, stack, self.truncation);
            progress.advance(1);
            merged
        });
        let merged: Result<Vec<(Pair, Kept)>> = merged.collect();
        progress.end();
        let (pairs, tensors): (Vec<Pair>, Vec<Kept>) = merged?.into_iter().unzip();
        let mut report = AdapterReport { path: target.to_owned(), tensors, ..AdapterReport::default() };
        let squares =
            |of: fn(&Kept) -> f64| report.tensors.iter().map(|kept| kept.norm.powi(2) * of(kept)).sum::<f64>();
        let (all, missed) = (squares(|_| 1.0), squares(|kept| kept.error.powi(2)));
        report.energy = if all == 0.0 { 1.0 } else { 1.0 - missed / all };
        report.whole = whole.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (settings, targets) = shared_settings(&adapters, &mut report.notes);
        let modules: BTreeSet<&str> = pairs.iter().map(|pair| pair.module.as_str()).collect();
        let whole = whole.into_iter().map(|(name, view)| WholeTensor {
            name: whole_name(name, &modules),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: Cow::Borrowed(view.bytes()),
        });
        // Which other modules the base has is not known here: names are written out unless the adapters agree on short ones.
        let modules = pairs.iter().map(|pair| pair.module.as_str()).collect::<BTreeSet<&str>>();
        let targets = targets.unwrap_or_else(|| modules.into_iter().collect::<Vec<_>>().into());
        let whole = whole.collect();
        let folder = Folder { pairs, whole, settings, targets: Some(targets), modules: BTreeSet::new() };
        let written = folder.write(target, self.replace)?;
        (report.parameters, report.bytes) = (written.parameters, written.bytes);
        Ok(report)
    }

    fn open(&self) -> Result<Vec<Adapter>> {
        let mut faults = Vec::new();
        let mut adapters: Vec<Adapter> = Vec::new();
        for Weighted { path, weight } in &self.adapters {
            let name = path.display().to_string();
            if !weight.is_finite() {
                faults.push(Error::parameter(format!("the weight of {name}"), weight, "a finite number"));
            }
            if adapters.iter().any(|other| other.path() == path) {
                faults.push(Error::data(name, "stands twice").with_help("name it once, with the sum of its weights"));
                continue;
            }
            match Adapter::open(path) {
                Ok(adapter) if adapter.is_weight_decomposed() => faults.push(
                    Error::data(name, "it is weight-decomposed (DoRA), and what that adds depends on the base model")
                        .with_help("merge whole models instead: `consilience merge` with `BASE+ADAPTER` as models"),
                ),
                Ok(adapter) => adapters.push(adapter),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults).map(|()| adapters)
    }
}

/// The tensors that all adapters hold whole, and all alike.
fn whole_tensors(adapters: &[Adapter]) -> Result<Vec<(&str, TensorView<'_>)>> {
    let mut found: BTreeMap<&str, Vec<TensorView<'_>>> = BTreeMap::new();
    for (name, view) in adapters.iter().flat_map(Adapter::whole_tensors) {
        found.entry(name).or_default().push(view);
    }
    let mut faults = Vec::new();
    for (name, views) in &found {
        let alike = views.iter().all(|view| {
            (view.dtype(), view.shape(), view.bytes()) == (views[0].dtype(), views[0].shape(), views[0].bytes())
        });
        if !alike || views.len() != adapters.len() {
            let holder = adapters.iter().find(|adapter| adapter.whole_tensors().any(|(other, _)| other == *name));
            let path = holder.map_or(String::new(), |adapter| adapter.path().display().to_string());
            let problem =
                format!("`{name}` was trained whole, and is not the same in all adapters: only products are summed");
            faults.push(
                Error::data(path, problem)
                    .with_help("merge whole models instead: `consilience merge` with `BASE+ADAPTER` as models"),
            );
        }
    }
    Error::all(faults)?;
    Ok(found.into_iter().filter_map(|(name, views)| Some((name, *views.first()?))).collect())
}

/// The name of a whole tensor in the file: behind the wrapper that PEFT puts around a module with factors.
fn whole_name(name: &str, modules: &BTreeSet<&str>) -> String {
    match name.rsplit_once('.') {
        Some((module, last)) if modules.contains(module) => format!("{module}.base_layer.{last}"),
        _ => name.to_owned(),
    }
}

/// The modules by name, in natural order, checked against each other.
fn stack<'a>(adapters: &'a [Adapter], weights: &[f64]) -> Result<Vec<(&'a str, Stack<'a>)>> {
    let mut stacks: BTreeMap<&str, Stack<'_>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (adapter, weight) in adapters.iter().zip(weights) {
        for module in adapter.modules() {
            let stack = stacks.entry(module.name).or_default();
            if let Some((first, _)) = stack.first()
                && (first.embedding != module.embedding
                    || first.a.shape()[1..] != module.a.shape()[1..]
                    || first.b.shape()[0] != module.b.shape()[0]
                    || first.bias.is_some() != module.bias.is_some())
            {
                let problem = format!(
                    "the factors of `{}`, {:?} and {:?}, do not go with {:?} and {:?} of the others",
                    module.name,
                    module.a.shape(),
                    module.b.shape(),
                    first.a.shape(),
                    first.b.shape()
                );
                faults.push(
                    Error::data(adapter.path().display().to_string(), problem)
                        .with_help("only adapters of one base, with or without `lora_bias` alike, can be merged"),
                );
                continue;
            }
            stack.push((module, *weight));
        }
    }
    let with_bias = stacks.values().filter(|stack| stack.iter().any(|(module, _)| module.bias.is_some())).count();
    if with_bias != 0 && with_bias != stacks.values().filter(|stack| !stack[0].0.embedding).count() && faults.is_empty()
    {
        let problem = "some have biases of the second factor (`lora_bias`) and others do not";
        faults.push(Error::data("the adapters", problem).with_help("merge adapters of one kind"));
    }
    Error::all(faults)?;
    let mut stacks: Vec<_> = stacks.into_iter().collect();
    stacks.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
    Ok(stacks)
}

/// The sum of one module's products, cut off.
fn merge(name: &str, stack: &Stack<'_>, truncation: Truncation) -> Result<(Pair, Kept)> {
    let named = |fault: Error| Error::data(format!("module `{name}`"), fault.to_string());
    let (first, _) = stack[0];
    let (out, inside) = (first.b.shape()[0], first.a.len() / first.a.shape()[0]);
    let total: usize = stack.iter().map(|(module, _)| module.a.shape()[0]).sum();
    let (mut left, mut right) = (Mat::<f64>::zeros(out, total), Mat::<f64>::zeros(total, inside));
    let mut at = 0;
    for (module, weight) in stack {
        let rank = module.a.shape()[0];
        let (a, b) = (values(module.a), values(module.b));
        for k in 0..rank {
            (0..out).for_each(|i| left[(i, at + k)] = weight * module.scale * f64::from(b[i * rank + k]));
            (0..inside).for_each(|j| right[(at + k, j)] = f64::from(a[k * inside + j]));
        }
        at += rank;
    }
    let outer = thin_svd(left.as_ref()).map_err(named)?;
    let inner = Mat::from_fn(outer.s.len(), total, |k, j| outer.s[k] * outer.v[(j, k)]) * right;
    let inner = thin_svd(inner.as_ref()).map_err(named)?;
    let svd = Svd { u: outer.u * inner.u, s: inner.s, v: inner.v };
    let squares: f64 = svd.s.iter().map(|s| s * s).sum();
    let factors = truncation.cut(&svd, squares);
    let missed: f64 = svd.s.iter().skip(factors.rank()).map(|s| s * s).sum();
    let share = if squares == 0.0 { 0.0 } else { missed / squares };
    let mut pair = Pair::of(name.to_owned(), false, false, &factors);
    pair.embedding = first.embedding;
    pair.a.0 = std::iter::once(pair.rank).chain(first.a.shape()[1..].iter().copied()).collect();
    pair.b.0 = [out, pair.rank].into_iter().chain(first.b.shape()[2..].iter().copied()).collect();
    pair.bias = first.bias.map(|bias| {
        let mut sum = vec![0.0_f64; bias.len()];
        for (module, weight) in stack {
            let more = module.bias.map(values).unwrap_or_default();
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += weight * module.scale * f64::from(more));
        }
        sum.into_iter().map(|value| value as f32).collect()
    });
    let kept = Kept {
        tensor: name.to_owned(),
        shape: [out, inside],
        rank: pair.rank,
        norm: squares.sqrt(),
        energy: 1.0 - share,
        error: share.sqrt(),
    };
    Ok((pair, kept))
}

fn values(view: TensorView<'_>) -> Vec<f32> {
    let mut values = vec![0.0; view.len()];
    view.read(0, &mut values);
    values
}

/// The settings that all adapters agree on, and `target_modules` where they do.
fn shared_settings(adapters: &[Adapter], notes: &mut Vec<String>) -> (Map<String, Value>, Option<Value>) {
    let shared = |name: &str| {
        let mut values = adapters.iter().map(|adapter| adapter.settings().get(name));
        let first = values.next().flatten()?;
        values.all(|other| other == Some(first)).then(|| first.clone())
    };
    let mut settings = Map::new();
    for name in ["base_model_name_or_path", "task_type", "modules_to_save", "ensure_weight_tying", "lora_bias", "bias"]
    {
        if let Some(value) = shared(name) {
            settings.insert(name.to_owned(), value);
        }
    }
    if !settings.contains_key("base_model_name_or_path") {
        notes
            .push("the adapters name different bases (`base_model_name_or_path`), so the result names none".to_owned());
    }
    // PEFT saves what held for the last layer: one yes is enough.
    let flag = |adapter: &Adapter| adapter.settings().get("fan_in_fan_out") == Some(&Value::Bool(true));
    if adapters.iter().any(flag) {
        settings.insert("fan_in_fan_out".into(), true.into());
    }
    let narrowed = |adapter: &Adapter| {
        let narrowing = ["exclude_modules", "layers_to_transform", "layers_pattern"];
        narrowing.iter().any(|name| adapter.settings().get(*name).is_some_and(|value| !value.is_null()))
    };
    let targets = shared("target_modules").filter(|value| !value.is_null() && !adapters.iter().any(narrowed));
    (settings, targets)
}
