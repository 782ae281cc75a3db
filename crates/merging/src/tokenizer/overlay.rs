//! Laying recipes over the checkpoints that give their tensors the rows of another vocabulary.

use std::sync::Arc;

use consilience_checkpoint::{Checkpoint, Dtype, is_head};
use consilience_core::{Error, Result};
use serde_json::Value;

use super::align::Model;
use super::gather::{Gather, Origin};
use super::rows::{self, Member, Row, Wanted};
use super::{Vocabulary, group, join};
use crate::config::MergeConfig;
use crate::merge::{layout, names};

/// How the rows of tokens lie in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The axis that counts tokens.
    pub place: usize,
    /// Its extent.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
}

impl Axis {
    /// The axis of a tensor with a row for each token; `None` for a scalar.
    pub fn of(name: &str, shape: &[usize]) -> Option<Self> {
        match shape {
            // A bias that is stored as a matrix of one row.
            [1, rows] if name.ends_with("_bias") => Some(Self { place: 1, rows: *rows, width: 1 }),
            [rows, rest @ ..] => Some(Self { place: 0, rows: *rows, width: rest.iter().product() }),
            [] => None,
        }
    }
}

/// Lays recipes over `checkpoints` that give each tensor of the vocabulary `rows` rows, those of the tokens of
/// `vocabulary` first; gives remarks.
///
/// Tensors that come out as they are keep lying in their files.
///
/// # Errors
/// All at once: settings of tokens that cannot be followed, tensors that cannot be matched.
pub fn lay(
    config: &MergeConfig,
    models: &[Model],
    vocabulary: &Vocabulary,
    rows: usize,
    checkpoints: &mut [Checkpoint],
) -> Result<Vec<String>> {
    let tokens = vocabulary.by_id();
    let permutations: Vec<_> = models.iter().map(|model| join::rows_in(model.source(), &tokens)).collect();
    let has_token = has_token(&tokens, rows).into();
    let mut overlay =
        Overlay { config, tokens: &tokens, rows, models, permutations: &permutations, has_token, notes: Vec::new() };
    overlay.lay(checkpoints)?;
    Ok(overlay.notes)
}

/// For each of so many rows, whether it belongs to a token.
fn has_token(tokens: &[(usize, &str)], rows: usize) -> Vec<bool> {
    let mut has = vec![false; rows];
    for (id, _) in tokens {
        if let Some(place) = has.get_mut(*id) {
            *place = true;
        }
    }
    has
}

/// Laying the recipes.
struct Overlay<'a> {
    config: &'a MergeConfig,
    /// The tokens of the result by number.
    tokens: &'a [(usize, &'a str)],
    /// The rows of the result's embeddings.
    rows: usize,
    models: &'a [Model],
    /// For each model, the row of each token of the result.
    permutations: &'a [Vec<Option<u32>>],
    /// For each row of the result, whether it belongs to a token.
    has_token: Arc<[bool]>,
    notes: Vec<String>,
}

impl Overlay<'_> {
    fn lay(&mut self, checkpoints: &mut [Checkpoint]) -> Result<()> {
        let before: Arc<[Checkpoint]> = checkpoints.to_vec().into();
        let tied = layout::tied(self.config, &before);
        let mut all: Vec<&str> =
            before.iter().flat_map(Checkpoint::names).filter(|n| names::is_vocabulary(n)).collect();
        all.sort_unstable();
        all.dedup();
        let mut faults = Vec::new();
        for name in all.into_iter().filter(|name| !(tied && is_head(name))) {
            if let Err(fault) = self.tensor(name, &before, checkpoints) {
                faults.push(fault);
            }
        }
        for (model, checkpoint) in self.models.iter().zip(before.iter()) {
            faults.extend(self.unknown(model, checkpoint));
        }
        Error::all(faults)
    }

    /// Lays the recipes of the tensors of one name.
    fn tensor(&mut self, name: &str, before: &Arc<[Checkpoint]>, checkpoints: &mut [Checkpoint]) -> Result<()> {
        let group = group::of_tensor(self.config, name);
        let mut origins: Vec<Origin> = Vec::new();
        for model in &group.models {
            let Some(checkpoint) = before.get(*model) else { continue };
            let own = checkpoint.describe(name).map(|_| name);
            // A head that is tied is the embeddings; one that is missing is reported with all that is missing.
            if let Some(found) = own.or_else(|| names::tied_source(checkpoint, name)) {
                origins.push(Origin { model: *model, name: found.into() });
            }
        }
        let described: Vec<_> = origins.iter().filter_map(|o| before.get(o.model)?.describe(&o.name)).collect();
        let axes: Vec<Axis> = described.iter().filter_map(|d| Axis::of(name, d.shape)).collect();
        let Some(&Axis { width, .. }) = axes.first() else { return Ok(()) };
        if axes.len() != origins.len() || axes.iter().any(|axis| axis.width != width) {
            // Models of different widths: the layout of the merge says so of every tensor.
            return Ok(());
        }
        let dtype = self.dtype(name, &origins, before)?;
        let named: Vec<Vec<bool>> = origins
            .iter()
            .zip(&axes)
            .map(|(origin, axis)| has_token(&self.models[origin.model].tokenizer.vocabulary.by_id(), axis.rows))
            .collect();
        let models = self.config.models();
        let members: Vec<Member<'_>> = origins
            .iter()
            .zip(&axes)
            .zip(&named)
            .map(|((origin, axis), named)| Member {
                model: models[origin.model],
                rows_of: &self.permutations[origin.model],
                tokens: &self.models[origin.model].tokenizer.vocabulary,
                named,
                rows: axis.rows,
            })
            .collect();
        check_rows(name, &members)?;
        let base = group.base.and_then(|base| group.models.get(base));
        let base = base.and_then(|base| origins.iter().position(|origin| origin.model == *base));
        let keep_padding = self.config.tokenizer.as_ref().is_some_and(|t| t.pad_to_multiple_of.is_none());
        let wanted = Wanted { config: self.config, tokens: self.tokens, size: self.rows, keep_padding };
        let plan = rows::plan(wanted, &members, base)?;
        if let [first, ..] = plan.unknown.as_slice() {
            let more =
                if plan.unknown.len() > 1 { format!(" and {} more", plan.unknown.len() - 1) } else { String::new() };
            self.notes.push(format!("`{name}`: no model has the token `{first}`{more}: zeros"));
        }
        let (origins, means): (Arc<[Origin]>, Arc<[_]>) = (origins.into(), plan.means.into());
        for (place, (rows, axis)) in plan.rows.into_iter().zip(&axes).enumerate() {
            let same = |(id, row): (usize, &Row)| *row == Row::Of { member: place as u32, row: id as u32 };
            if rows.len() == axis.rows && rows.iter().enumerate().all(same) {
                continue;
            }
            let (Some(origin), Some(described)) = (origins.get(place), described.get(place)) else { continue };
            let mut shape = described.shape.to_vec();
            if let Some(extent) = shape.get_mut(axis.place) {
                *extent = rows.len();
            }
            let recipe = Gather {
                models: before.clone(),
                origins: origins.clone(),
                rows,
                means: means.clone(),
                tokens: self.has_token.clone(),
                dtype,
                width,
            };
            if let Some(checkpoint) = checkpoints.get_mut(origin.model) {
                checkpoint.compute(name, dtype, shape, Arc::new(recipe));
            }
        }
        Ok(())
    }

    /// The type that holds all values of a group.
    fn dtype(&self, name: &str, origins: &[Origin], before: &[Checkpoint]) -> Result<Dtype> {
        let mut dtypes = origins.iter().filter_map(|o| Some((o, before.get(o.model)?.describe(&o.name)?.dtype)));
        let fault = |origin: &Origin, dtype: Dtype| {
            let path = before.get(origin.model).map(|c| c.path().display().to_string()).unwrap_or_default();
            Error::data(format!("{path}: tensor `{name}`"), format!("rows of {dtype} cannot be rearranged"))
                .with_help("merge the model in bf16, f16 or f32, and quantise the result")
        };
        let Some((origin, first)) = dtypes.next() else { return Ok(Dtype::F32) };
        let start = first.promote(first).ok_or_else(|| fault(origin, first))?;
        dtypes.try_fold(start, |all, (origin, dtype)| all.promote(dtype).ok_or_else(|| fault(origin, dtype)))
    }

    /// A tensor that may hold a row for each token and whose name is not known: leaving it as it is would be wrong where
    /// this model's tokens move.
    fn unknown(&self, model: &Model, checkpoint: &Checkpoint) -> Option<Error> {
        let moved = self.rows != model.rows
            || self.tokens.iter().any(|(id, token)| model.tokenizer.vocabulary.id(token).is_some_and(|old| old != *id));
        let config = checkpoint.config()?;
        if !moved || !is_only_vocabulary(config, model.rows) {
            return None;
        }
        let name = checkpoint.names().find(|name| {
            let shape = checkpoint.describe(name).map(|tensor| tensor.shape).unwrap_or_default();
            shape.contains(&model.rows) && !names::is_vocabulary(name)
        })?;
        let problem = format!("it has the size of the vocabulary ({}), and its name is not known", model.rows);
        Some(
            Error::data(format!("{}: tensor `{name}`", checkpoint.path().display()), problem).with_help(
                "leave `tokenizer` and `tokenizer_source` out: this model's vocabulary cannot be changed here",
            ),
        )
    }
}

/// Whether no other number of a configuration equals the vocabulary's size.
fn is_only_vocabulary(config: &Value, size: usize) -> bool {
    match config {
        Value::Object(object) => {
            object.iter().all(|(key, value)| key == "vocab_size" || is_only_vocabulary(value, size))
        }
        Value::Array(items) => items.iter().all(|item| is_only_vocabulary(item, size)),
        Value::Number(number) => number.as_u64() != u64::try_from(size).ok(),
        _ => true,
    }
}

/// Checks that every row that is asked for is there.
fn check_rows(name: &str, members: &[Member<'_>]) -> Result<()> {
    let mut faults = Vec::new();
    for member in members {
        if let Some(row) =
            member.rows_of.iter().flatten().map(|row| *row as usize).max().filter(|row| *row >= member.rows)
        {
            let problem = format!(
                "tensor `{name}` has {} rows, and the model's `config.json` and tokenizer have a token of number {row}",
                member.rows
            );
            let help =
                "the folder's weights, `config.json` and tokenizer do not belong together: restore those that do";
            faults.push(Error::data(member.model.to_string(), problem).with_help(help));
        }
    }
    Error::all(faults)
}
