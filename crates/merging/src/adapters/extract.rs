//! The difference between a fine-tuned model and its base, as an adapter.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use consilience_checkpoint::{Checkpoint, EMBEDDINGS, Replace, has_head, head_of, refuse_output_onto_input};
use consilience_core::{Error, Progress, Result, Seed, Unit};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::folder::{Folder, Pair, WholeTensor};
use super::low_rank::row_major;
use super::names::{keeps_names, module_of, prefix_of};
use super::select::{Factored, Selection, TakenOver, select};
use super::{AdapterReport, Kept, Truncation};

/// Takes a LoRA adapter out of a fine-tuned model.
///
/// The change of each two-dimensional weight becomes two factors by its singular value decomposition, embeddings included.
/// What else changed (norms, biases of modules without factors, convolutions) is taken over whole, as `modules_to_save`;
/// biases of modules with factors as they are. What no adapter can hold (parameters outside of any module) is reported.
///
/// Time: for each changed weight `O(m n rank)` by random projection, `O(m n min(m, n))` where most of the singular values
/// are wanted. Memory: the adapter, and for each thread about four times its largest weight in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractLora {
    /// Where to cut the singular values off. Default: rank 16.
    pub truncation: Truncation,
    /// Seed of the random projections. Default: 0.
    pub seed: Seed,
    /// What may be replaced. Default: an output of this library.
    pub replace: Replace,
    /// The base's name in the settings; `None` for the path that it was opened from. Default: `None`.
    pub base_name: Option<String>,
}

impl Default for ExtractLora {
    fn default() -> Self {
        Self { truncation: Truncation::Rank(16), seed: Seed(0), replace: Replace::Own, base_name: None }
    }
}

/// The factors of one weight, what they keep, and the square of what they miss.
type Extracted = (Pair, Kept, f64);

impl ExtractLora {
    /// Writes what makes `finetuned` of `base` to the folder `target`, which is absent or whole at any moment. The same
    /// models and seed give the same bytes, whatever the thread count.
    ///
    /// Errors: a rank or energy out of range; models that do not have the same tensors; NaN and infinite weights; two equal
    /// models; an output onto an input, or one that may not be replaced; a request to stop. Nothing is left behind then.
    pub fn run(
        &self,
        finetuned: &Checkpoint,
        base: &Checkpoint,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<AdapterReport> {
        self.truncation.check()?;
        let inputs =
            [finetuned, base].into_iter().flat_map(|model| std::iter::once(model.path()).chain(model.adapters()));
        refuse_output_onto_input(target, &inputs.collect::<Vec<&Path>>())?;
        progress.begin("comparing", base.total_bytes(), Unit::Bytes);
        let selection = select(finetuned, base, progress);
        progress.end();
        let selection = selection?;
        if selection.factored.is_empty() && selection.whole.is_empty() {
            return Err(Error::data(finetuned.label(), format!("no tensor differs from {}", base.label()))
                .with_help("an adapter holds what training changed: name the model before training as the base"));
        }
        let bytes = |factored: &Factored| base.describe(&factored.tensor).map_or(0, |tensor| tensor.bytes());
        progress.begin("taking factors out", selection.factored.iter().map(bytes).sum(), Unit::Bytes);
        let extracted = selection.factored.par_iter().with_max_len(1).map(|factored| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let extracted = self.extract(factored, finetuned, base);
            progress.advance(bytes(factored));
            extracted
        });
        let extracted: Result<Vec<Extracted>> = extracted.collect();
        progress.end();
        self.write(selection, extracted?, finetuned, base, target)
    }

    /// The factors of one weight's change.
    fn extract(&self, factored: &Factored, finetuned: &Checkpoint, base: &Checkpoint) -> Result<Extracted> {
        let name = factored.tensor.as_str();
        let mut change = difference(name, finetuned, base)?;
        let squares = change.squared_norm_l2();
        let named = |fault: Error| Error::data(format!("tensor `{name}`"), fault.to_string());
        let seed = self.seed.derive(name);
        let factors = self.truncation.decompose(change.as_ref(), squares, seed).map_err(named)?;
        let shape = [change.nrows(), change.ncols()];
        // What is stored is f32: the error is that of the values a reader gets.
        let stored = |matrix: MatRef<'_, f64>| {
            let values = row_major(matrix);
            Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| f64::from(values[i * matrix.ncols() + j]))
        };
        let (left, right) = (stored(factors.left.as_ref()), stored(factors.right.as_ref()));
        matmul(change.as_mut(), Accum::Add, left.as_ref(), right.as_ref(), -1.0, Par::Seq);
        let missed = change.squared_norm_l2();
        let module = format!("{}{}", prefix_of(base), module_of(name));
        let pair = Pair::of(module, factored.embedding, factored.transposed, &factors);
        let kept = Kept {
            tensor: name.to_owned(),
            shape,
            rank: pair.rank,
            norm: squares.sqrt(),
            energy: (1.0 - missed / squares).max(0.0),
            error: (missed / squares).sqrt(),
        };
        Ok((pair, kept, missed))
    }

    fn write(
        &self,
        selection: Selection,
        extracted: Vec<Extracted>,
        finetuned: &Checkpoint,
        base: &Checkpoint,
        target: &Path,
    ) -> Result<AdapterReport> {
        let prefix = prefix_of(base);
        let mut report =
            AdapterReport { path: target.to_owned(), unchanged: selection.unchanged, ..Default::default() };
        report.notes = selection.notes.clone();
        if !prefix.is_empty() {
            report.notes.push(format!("the base is stored without its head: `{prefix}` stands before its names"));
        }
        if !keeps_names(base) {
            report.notes.push(
                "the adapter names modules as the base's file does; for some types of models transformers 5 names them \
                 otherwise, and PEFT would then pass over the factors"
                    .to_owned(),
            );
        }
        let (mut all, mut missed) = (0.0, 0.0);
        for (tensor, squares) in &selection.left_out {
            (all, missed) = (all + squares, missed + squares);
            report.notes.push(format!("`{tensor}` changed and belongs to no module, so the adapter cannot hold it"));
        }
        let mut pairs = Vec::with_capacity(extracted.len());
        for (pair, kept, part) in extracted {
            (all, missed) = (all + kept.norm.powi(2), missed + part);
            pairs.push(pair);
            report.tensors.push(kept);
        }
        if let Some(head) = self.tied_head(&selection, &pairs, base) {
            report.notes.push(format!(
                "`{}` is tied to the embeddings and gets the same factors (`merge_and_unload` of PEFT would add both to the \
                 one weight: merge with `consilience merge`, or untie the model first)",
                head.module
            ));
            pairs.push(head);
        }
        let mut sources = Vec::with_capacity(selection.whole.len());
        for whole in &selection.whole {
            all += whole.squares;
            report.whole.push(whole.tensor.clone());
            let tensor = finetuned.tensor(&whole.source)?;
            sources
                .push(tensor.ok_or_else(|| Error::data(finetuned.label(), format!("no tensor `{}`", whole.source)))?);
        }
        report.energy = if all == 0.0 { 1.0 } else { 1.0 - missed / all };
        let whole = selection.whole.iter().zip(&sources).map(|(whole, source)| {
            let name = match whole.bias {
                true => format!("{prefix}{}.base_layer.bias", module_of(&whole.tensor)),
                false => format!("{prefix}{}", whole.tensor),
            };
            let view = source.view();
            WholeTensor {
                name,
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: Cow::Borrowed(source.bytes()),
            }
        });
        let folder = Folder {
            pairs,
            whole: whole.collect(),
            settings: self.settings(&selection, base, &mut report.notes),
            targets: None,
            modules: base.names().map(|name| format!("{prefix}{}", module_of(name))).collect::<BTreeSet<String>>(),
        };
        let written = folder.write(target, self.replace)?;
        (report.parameters, report.bytes) = (written.parameters, written.bytes);
        Ok(report)
    }

    /// The factors of a head that is tied to embeddings which have factors: PEFT keeps a change of its own for each.
    fn tied_head(&self, selection: &Selection, pairs: &[Pair], base: &Checkpoint) -> Option<Pair> {
        let mut tables = selection.factored.iter().zip(pairs).filter(|(factored, _)| factored.embedding);
        let (table, pair) = tables.find(|(factored, _)| EMBEDDINGS.contains(&factored.tensor.as_str()))?;
        let head = head_of(&table.tensor);
        let tied = base.tied_word_embeddings() && base.describe(head).is_none();
        // Encoders and bodies of models have no head that could be tied.
        (tied && has_head(base)).then(|| pair.tied(module_of(head).to_owned()))
    }

    fn settings(&self, selection: &Selection, base: &Checkpoint, notes: &mut Vec<String>) -> Map<String, Value> {
        let prefix = prefix_of(base);
        let mut settings = Map::new();
        let name = self.base_name.clone().unwrap_or_else(|| base.label());
        settings.insert("base_model_name_or_path".into(), name.into());
        settings.insert("task_type".into(), task_of(base).into());
        if !selection.saved.is_empty() {
            let saved: Vec<String> = selection.saved.iter().map(|module| format!("{prefix}{module}")).collect();
            settings.insert("modules_to_save".into(), saved.into());
        }
        if selection.whole.iter().any(|whole| whole.bias) {
            settings.insert("bias".into(), "lora_only".into());
        }
        if selection.factored.iter().any(|factored| factored.transposed) {
            settings.insert("fan_in_fan_out".into(), true.into());
        }
        let table = |whole: &TakenOver| EMBEDDINGS.contains(&whole.tensor.as_str());
        if base.tied_word_embeddings() && selection.whole.iter().any(table) {
            settings.insert("ensure_weight_tying".into(), true.into());
            notes.push("the head is tied to the embeddings and changes with them (`ensure_weight_tying`)".to_owned());
        }
        settings
    }
}

/// `finetuned - base` of one weight, in f64.
fn difference(name: &str, finetuned: &Checkpoint, base: &Checkpoint) -> Result<Mat<f64>> {
    let read = |model: &Checkpoint| -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = model.tensor(name)?;
        let tensor = tensor.ok_or_else(|| Error::data(model.label(), format!("there is no tensor `{name}`")))?;
        let view = tensor.view();
        let mut values = vec![0.0; view.len()];
        view.read(0, &mut values);
        Ok((view.shape().to_vec(), values))
    };
    let ((shape, new), (_, old)) = (read(finetuned)?, read(base)?);
    match (&shape[..], new.len() == old.len()) {
        ([rows, columns], true) => Ok(Mat::from_fn(*rows, *columns, |i, j| {
            let at = i * columns + j;
            f64::from(new[at]) - f64::from(old[at])
        })),
        _ => Err(Error::shape(format!("{}: tensor `{name}`", finetuned.label()), shape, "that of the base, two axes")),
    }
}

/// The task by which PEFT wraps a model of this architecture. Those of classifiers are left out: PEFT then asks for their
/// heads, changed or not.
fn task_of(base: &Checkpoint) -> Option<&'static str> {
    let config = base.config()?;
    let architecture = config.get("architectures")?.get(0)?.as_str()?;
    let encodes = config.get("is_encoder_decoder").and_then(Value::as_bool).unwrap_or(false);
    match architecture {
        name if name.ends_with("CausalLM") || name.ends_with("LMHeadModel") => Some("CAUSAL_LM"),
        name if name.ends_with("ConditionalGeneration") && encodes => Some("SEQ_2_SEQ_LM"),
        _ => None,
    }
}
