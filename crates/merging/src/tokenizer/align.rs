//! Giving every model the vocabulary of the result.

use std::path::Path;

use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};

use super::files::Tokenizer;
use super::join::{self, Source};
use super::output::Alignment;
use super::overlay::{self, Axis};
use super::{AddedToken, ids};
use crate::config::{MergeConfig, TokenizerConfig, TokenizerSource};
use crate::merge::{layout, names};

/// A model and its tokens.
pub struct Model {
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The rows of its embeddings. Tokens from this number on have none.
    pub rows: usize,
}

impl Model {
    /// Its tokens, as far as they have embeddings.
    pub fn source(&self) -> Source<'_> {
        Source { vocabulary: &self.tokenizer.vocabulary, rows: self.rows }
    }
}

/// Lays recipes over `checkpoints` (in the order of [`MergeConfig::models`]) that give all of them the vocabulary that the
/// configuration asks for, and says what it is; `None` where it asks for none.
///
/// The recipes compute a tensor when it is read, so nothing is held but the plan: twelve bytes a row and tensor. Reading
/// the tokenizers takes about a second for a hundred thousand tokens and ten models.
///
/// # Errors
/// All at once: models without a tokenizer, settings that name what is not there, tensors that cannot be matched.
pub fn align(config: &MergeConfig, folder: Option<&Path>, checkpoints: &mut [Checkpoint]) -> Result<Option<Alignment>> {
    let Some(wanted) = &config.tokenizer else { return Ok(None) };
    let models = read(checkpoints)?;
    let at = layout::donor(config).unwrap_or_default();
    let Some(base) = models.get(at) else { return Ok(None) };
    let mut alignment = vocabulary(config, folder, wanted, &models, at)?;
    let needed = alignment.vocabulary.rows();
    let padded = base.rows > base.tokenizer.vocabulary.rows();
    alignment.rows = match wanted.pad_to_multiple_of {
        Some(multiple) => needed.next_multiple_of(multiple),
        None if padded => needed.max(base.rows),
        None => needed,
    };
    if let Some(mut config) = checkpoints.get(at).and_then(Checkpoint::config).cloned() {
        let lost = alignment.adapt(&mut config);
        let told = |key| format!("config.json: `{key}` names a token that the result lacks, and is null or shorter");
        alignment.notes.extend(lost.into_iter().map(told));
    }
    alignment.notes.extend(overlay::lay(config, &models, &alignment.vocabulary, alignment.rows, checkpoints)?);
    Ok(Some(alignment))
}

/// Reads the tokenizers of all models.
fn read(checkpoints: &[Checkpoint]) -> Result<Vec<Model>> {
    let mut faults = Vec::new();
    let mut models = Vec::new();
    for checkpoint in checkpoints {
        match model(checkpoint) {
            Ok(model) => models.push(model),
            Err(fault) => faults.push(fault),
        }
    }
    Error::all(faults).map(|()| models)
}

fn model(checkpoint: &Checkpoint) -> Result<Model> {
    let path = checkpoint.path();
    if !checkpoint.is_folder() {
        let problem = "a single file has no tokenizer, and vocabularies cannot be matched without one";
        return Err(Error::data(path.display().to_string(), problem)
            .with_help("name the model's folder, or leave `tokenizer` and `tokenizer_source` out"));
    }
    let tokenizer = Tokenizer::read(path)?;
    let embedding = checkpoint.names().find(|name| names::is_vocabulary(name));
    let stored = embedding.and_then(|name| Axis::of(name, checkpoint.describe(name)?.shape));
    let Some(stored) = stored else {
        let problem = "no tensor is known to hold a row for each token (such as `model.embed_tokens.weight`)";
        return Err(Error::data(path.display().to_string(), problem).with_help(
            "leave `tokenizer` and `tokenizer_source` out: such a model's vocabulary cannot be changed here",
        ));
    };
    let rows = checkpoint.config().and_then(ids::vocab_size).unwrap_or(stored.rows);
    Ok(Model { tokenizer, rows })
}

/// The vocabulary of the result; its number of rows is still to be found.
fn vocabulary(
    config: &MergeConfig,
    folder: Option<&Path>,
    wanted: &TokenizerConfig,
    models: &[Model],
    at: usize,
) -> Result<Alignment> {
    let base = &models[at];
    let mut stripped = base.tokenizer.vocabulary.clone();
    let gone = stripped.truncate(base.rows);
    let mut notes = Vec::new();
    for model in models {
        let vocabulary = &model.tokenizer.vocabulary;
        let beyond = vocabulary.by_id().iter().filter(|(id, _)| *id >= model.rows).count();
        if beyond > 0 {
            notes.push(format!(
                "{}: {beyond} of its tokens are beyond the {} rows of its embeddings, and left out",
                model.tokenizer.folder.display(),
                model.rows
            ));
        }
    }
    let (donor, mut vocabulary, gone) = match &wanted.source {
        TokenizerSource::Base => (base.tokenizer.clone(), stripped, gone),
        TokenizerSource::Union => {
            let others: Vec<Source<'_>> =
                models.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, model)| model.source()).collect();
            (base.tokenizer.clone(), join::union(&stripped, &others), gone)
        }
        TokenizerSource::Model(model) => {
            let tokenizer = Tokenizer::read(&config.locate_tokenizer(model, folder)?.path)?;
            let vocabulary = tokenizer.vocabulary.clone();
            (tokenizer, vocabulary, Vec::new())
        }
    };
    for setting in &wanted.tokens {
        if vocabulary.id(&setting.token).is_none() {
            vocabulary.add(AddedToken::plain(&*setting.token, false));
        }
    }
    Ok(Alignment { donor, vocabulary, gone, rows: 0, base: base.tokenizer.vocabulary.clone(), notes })
}
