//! Writing an adapter as PEFT reads it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use consilience_checkpoint::{
    ADAPTER, ADAPTER_WEIGHTS, CheckpointWriter, Dtype, Replace, TensorLayout, WriterOptions, natural_cmp,
};
use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::low_rank::{Factors, row_major};
use super::names::targets;

/// The factors of one module.
pub struct Pair {
    /// The module's name in the model that PEFT wraps.
    pub module: String,
    /// Whether it is an embedding.
    pub embedding: bool,
    /// The rank.
    pub rank: usize,
    /// The shape of `A`, and its values.
    pub a: (Vec<usize>, Vec<f32>),
    /// The shape of `B`, and its values.
    pub b: (Vec<usize>, Vec<f32>),
    /// The bias of `B`.
    pub bias: Option<Vec<f32>>,
}

impl Pair {
    /// The pair whose product lies over a matrix as `factors` does; over its transpose where `transposed`.
    pub fn of(module: String, embedding: bool, transposed: bool, factors: &Factors) -> Self {
        let (left, right, rank) = (factors.left.as_ref(), factors.right.as_ref(), factors.rank());
        let (a, b) = if transposed || embedding { (left.transpose(), right.transpose()) } else { (right, left) };
        let of = |matrix: faer::MatRef<'_, f64>| (vec![matrix.nrows(), matrix.ncols()], row_major(matrix));
        Self { module, embedding, rank, a: of(a), b: of(b), bias: None }
    }
}

/// A tensor that is taken over whole.
pub struct WholeTensor<'t> {
    /// Its name in the adapter's file, without the prefix of PEFT's wrapper.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its bytes.
    pub bytes: Cow<'t, [u8]>,
}

/// An adapter to be written.
pub struct Folder<'t> {
    /// The factors.
    pub pairs: Vec<Pair>,
    /// Tensors that are taken over whole.
    pub whole: Vec<WholeTensor<'t>>,
    /// What goes into the settings besides ranks, alphas and target modules.
    pub settings: Map<String, Value>,
    /// `target_modules`, where they are known; else they are chosen from the pairs.
    pub targets: Option<Value>,
    /// All modules of the model that could be meant by the last part of a name.
    pub modules: BTreeSet<String>,
}

/// What was written.
pub struct Written {
    /// The number of parameters.
    pub parameters: u64,
    /// Bytes of weights.
    pub bytes: u64,
}

impl Folder<'_> {
    /// Writes the folder `target`, which is absent or whole at any moment. Factors are stored as f32.
    ///
    /// Errors: a target that may not be replaced, or is no folder; what the operating system refuses.
    pub fn write(mut self, target: &Path, replace: Replace) -> Result<Written> {
        if target.extension().is_some_and(|e| e == "safetensors") {
            return Err(Error::data(target.display().to_string(), "an adapter is a folder, and this names a file")
                .with_help("choose a name without `.safetensors`"));
        }
        self.pairs.sort_by(|a, b| natural_cmp(&a.module, &b.module));
        let settings = self.settings();
        let mut tensors: Vec<(TensorLayout, Cow<'_, [u8]>)> = Vec::new();
        let mut add = |name: String, dtype, shape: &[usize], bytes| {
            let layout = TensorLayout { name: format!("base_model.model.{name}"), dtype, shape: shape.to_vec() };
            tensors.push((layout, bytes));
        };
        for pair in &self.pairs {
            let (a, b) = match pair.embedding {
                true => ("lora_embedding_A", "lora_embedding_B"),
                false => ("lora_A.weight", "lora_B.weight"),
            };
            for (name, (shape, values)) in [(a, &pair.a), (b, &pair.b)] {
                add(format!("{}.{name}", pair.module), Dtype::F32, shape, bytes_of(values));
            }
            if let Some(bias) = &pair.bias {
                add(format!("{}.lora_B.bias", pair.module), Dtype::F32, &[bias.len()], bytes_of(bias));
            }
        }
        for whole in &self.whole {
            add(whole.name.clone(), whole.dtype, &whole.shape, Cow::Borrowed(&whole.bytes));
        }
        tensors.sort_by(|a, b| natural_cmp(&a.0.name, &b.0.name));
        let layout: Vec<TensorLayout> = tensors.iter().map(|(layout, _)| layout.clone()).collect();
        let parameters = layout.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum();
        let options = WriterOptions {
            max_shard_bytes: u64::MAX,
            file_name: ADAPTER_WEIGHTS,
            replace,
            ..WriterOptions::default()
        };
        let writer = CheckpointWriter::create(target, layout, options)?;
        for (i, (_, bytes)) in tensors.iter().enumerate() {
            writer.write(i, 0, bytes)?;
        }
        let mut text = serde_json::to_string_pretty(&settings).map_err(|e| Error::data(ADAPTER, e.to_string()))?;
        text.push('\n');
        writer.add_file(ADAPTER, text.as_bytes())?;
        let bytes = writer.total_bytes();
        writer.finish()?;
        Ok(Written { parameters, bytes })
    }

    /// The settings: alpha is the rank everywhere, so that the product is multiplied by 1.
    fn settings(&self) -> Value {
        let rank = most_common(self.pairs.iter().map(|pair| pair.rank)).unwrap_or(1);
        let odd = self.pairs.iter().filter(|pair| pair.rank != rank);
        // Anchored, or the end of one name could stand for another module.
        let pattern: Map<String, Value> =
            odd.map(|pair| (format!("^{}", pair.module.replace('.', r"\.")), pair.rank.into())).collect();
        let chosen = || {
            let meant = self.pairs.iter().map(|pair| pair.module.as_str()).collect();
            Value::from(targets(&meant, &self.modules.iter().map(String::as_str).collect()))
        };
        let mut settings = json!({
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": rank,
            "rank_pattern": pattern,
            "alpha_pattern": pattern,
            "target_modules": self.targets.clone().unwrap_or_else(chosen),
            "lora_dropout": 0.0,
            "bias": "none",
            "use_rslora": false,
            "use_dora": false,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "task_type": null,
        });
        for (name, value) in &self.settings {
            settings[name.as_str()] = value.clone();
        }
        settings
    }
}

/// The value that stands most often, the smallest of several.
fn most_common(values: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_insert(0_usize) += 1);
    counts.into_iter().max_by_key(|(value, count)| (*count, std::cmp::Reverse(*value))).map(|(value, _)| value)
}

/// The bytes of values, little-endian, without a copy where the machine is.
fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytemuck::cast_slice(values));
    }
    let mut bytes = vec![0; values.len() * 4];
    Dtype::F32.encode(values, &mut bytes);
    Cow::Owned(bytes)
}
