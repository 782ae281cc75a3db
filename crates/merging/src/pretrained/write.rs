//! A learned merge as an ordinary model folder, with what was learned beside the weights.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, PRODUCER, TensorLayout, WriterOptions};
use consilience_core::{Error, Progress, Result, Unit};
use consilience_nn::Parameters;
use consilience_nn::pretrained::{Found, StoredTensor};
use serde_json::{Value, json};

use super::figures;
use super::method::Outcome;
use crate::config::MergeConfig;
use crate::learned::{Granularity, Weights};
use crate::merge::{MergeOptions, Summary, card, files};
use crate::tokenizer::{self, Content, json as json_text};

/// What the merge was made from.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Its configuration.
    pub config: &'a MergeConfig,
    /// The experts' names.
    pub experts: &'a [String],
    /// How it is to be written.
    pub options: &'a MergeOptions,
}

/// The result's tensors: those of the base, in the type that is asked for.
pub fn layout(base: &Checkpoint, config: &MergeConfig) -> Vec<TensorLayout> {
    let wanted = config.out_dtype.or(config.dtype);
    let tensors = base.names().filter_map(|name| Some((name, base.describe(name)?)));
    let tensors = tensors.map(|(name, tensor)| TensorLayout {
        name: name.to_owned(),
        dtype: wanted.filter(|_| tensor.dtype.is_float()).unwrap_or(tensor.dtype),
        shape: tensor.shape.to_vec(),
    });
    tensors.collect()
}

/// The result's `config.json`.
pub fn model_config(base: &Checkpoint, layout: &[TensorLayout]) -> Option<Value> {
    let floats = layout.iter().filter(|tensor| tensor.dtype.is_float());
    let main = floats.max_by_key(|tensor| tensor.shape.iter().product::<usize>()).map(|tensor| tensor.dtype);
    files::model_config(std::slice::from_ref(base), 0, main, &BTreeMap::new(), false)
}

/// Writes the merged parameters into the tensors that they came from (`found`), and all other tensors as the base has them.
pub fn write(
    target: &Path,
    base: &Checkpoint,
    found: &Found,
    outcome: &Outcome,
    beside: Beside<'_>,
    progress: &dyn Progress,
) -> Result<Summary> {
    let layout = layout(base, beside.config);
    let places: HashMap<String, usize> = layout.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    let types: Vec<Dtype> = layout.iter().map(|tensor| tensor.dtype).collect();
    let written = Summary::of(target, &layout);
    let model_config = model_config(base, &layout);
    let (max_shard_bytes, replace) = (beside.options.max_shard_bytes, beside.options.replace);
    let options = WriterOptions { max_shard_bytes, replace, ..WriterOptions::default() };
    let writer = CheckpointWriter::create(target, layout, options)?;
    progress.begin("writing", written.bytes, Unit::Bytes);
    let stored = weights(base, found, &outcome.parameters, &places, &types, &writer, progress);
    progress.end();
    stored?;
    if target.extension().is_none_or(|ending| ending != "safetensors") {
        companions(&writer, base, model_config, target, beside)?;
        learned(&writer, found, outcome, beside)?;
    }
    writer.finish()?;
    Ok(written)
}

fn weights(
    base: &Checkpoint,
    found: &Found,
    parameters: &Parameters,
    places: &HashMap<String, usize>,
    types: &[Dtype],
    writer: &CheckpointWriter,
    progress: &dyn Progress,
) -> Result<()> {
    let mut done = vec![false; types.len()];
    let put = |place: usize, values: &[f32]| {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let mut bytes = vec![0; values.len() * types[place].size()];
        types[place].encode(values, &mut bytes);
        writer.write(place, 0, &bytes)?;
        progress.advance(bytes.len() as u64);
        Ok(())
    };
    for StoredTensor { name, values, .. } in found.store(parameters)? {
        let missing = || Error::data(format!("tensor `{name}`"), "the base has no such tensor");
        let place = *places.get(&name).ok_or_else(missing)?;
        done[place] = true;
        put(place, &values)?;
    }
    for (name, place) in places.iter().filter(|(_, place)| !done[**place]) {
        let Some(tensor) = base.tensor(name)? else { continue };
        let view = tensor.view();
        if view.dtype() == types[*place] {
            writer.write(*place, 0, view.bytes())?;
            progress.advance(view.bytes().len() as u64);
        } else {
            let mut values = vec![0.0; view.len()];
            view.read(0, &mut values);
            put(*place, &values)?;
        }
    }
    Ok(())
}

/// Configuration, tokenizer, card: as for any merge.
fn companions(
    writer: &CheckpointWriter,
    base: &Checkpoint,
    model_config: Option<Value>,
    target: &Path,
    Beside { config, options, .. }: Beside<'_>,
) -> Result<()> {
    if let Some(value) = model_config {
        writer.add_file("config.json", json_text::pretty("config.json", &value)?.as_bytes())?;
    }
    if options.copy_tokenizer {
        for (name, content) in tokenizer::carried(base.path(), None)? {
            match content {
                Content::Copy(path) => writer.copy_file(&path, name)?,
                Content::Text(text) => writer.add_file(name, text.as_bytes())?,
            }
        }
        for (name, path) in files::carried(base.path()) {
            writer.copy_file(&path, name)?;
        }
    }
    if options.write_model_card {
        let name = target.file_name().map_or_else(|| "Merged model".into(), |n| n.to_string_lossy().into_owned());
        writer.add_file("README.md", card::card(config, &name).as_bytes())?;
        writer.add_file("mergekit_config.yml", config.source.text().as_bytes())?;
    }
    Ok(())
}

/// Mask, merging weights, and the curves of how they came about.
fn learned(writer: &CheckpointWriter, found: &Found, outcome: &Outcome, beside: Beside<'_>) -> Result<()> {
    if let Some(mask) = &outcome.mask {
        writer.add_file("concrete_mask.safetensors", &mask_file(found, mask)?)?;
    }
    if let Some(weights) = &outcome.weights {
        let value = weights_json(weights, outcome.parameters.layout().names(), beside.experts);
        writer.add_file("merging_weights.json", json_text::pretty("merging_weights.json", &value)?.as_bytes())?;
        if weights.granularity() == Granularity::LayerWise {
            let names = outcome.parameters.layout().names();
            writer.add_file("merging_weights.svg", figures::weights(weights, names, beside.experts)?.as_bytes())?;
        }
    }
    if !outcome.losses.is_empty() {
        writer.add_file(
            "entropy.svg",
            figures::curve("Entropy of the predictions", "nats", &outcome.losses)?.as_bytes(),
        )?;
    }
    if !outcome.mean_masks.is_empty() {
        writer
            .add_file("mean_mask.svg", figures::curve("Mean of the mask", "mean", &outcome.mean_masks)?.as_bytes())?;
    }
    Ok(())
}

/// The mask's logits under the names of the tensors that they are for.
fn mask_file(found: &Found, mask: &Parameters) -> Result<Vec<u8>> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = found
        .store(mask)?
        .map(|tensor| {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (tensor.name, tensor.shape, bytes)
        })
        .collect();
    let fault = |e: safetensors::SafeTensorError| Error::data("concrete_mask.safetensors", e.to_string());
    let views = tensors.iter().map(|(name, shape, bytes)| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(fault)?;
    let (key, producer) = PRODUCER;
    safetensors::serialize(views, Some(HashMap::from([(key.to_owned(), producer.to_owned())]))).map_err(fault)
}

fn weights_json(weights: &Weights, tensors: &[String], experts: &[String]) -> Value {
    let of = |task: usize| -> Value {
        match weights.granularity() {
            Granularity::TaskWise => json!(weights.get(task, 0)),
            Granularity::LayerWise => {
                tensors.iter().enumerate().map(|(i, name)| (short(name), json!(weights.get(task, i)))).collect()
            }
        }
    };
    experts.iter().enumerate().map(|(task, name)| (name.clone(), of(task))).collect()
}

/// A parameter's name without the part that all have.
pub(super) fn short(name: &str) -> String {
    name.strip_prefix("encoder.").unwrap_or(name).to_owned()
}
