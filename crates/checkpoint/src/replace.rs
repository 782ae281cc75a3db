//! What an output may take the place of: nothing of the user's is ever lost.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use crate::folder::ADAPTER;
use crate::header::Header;
use crate::index::INDEX;
use crate::writer::PRODUCER;

/// What an output may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing: the target must not be there, or be an empty folder.
    Never,
    /// A model that this library wrote: a folder whose safetensors files are all its own, and which holds nothing
    /// besides but `config.json`, `adapter_config.json`, the index, a model card, what a learned merge
    /// or a search tells of itself, [`TOKENIZER_FILES`] and [`COMPANION_FILES`].
    Own,
    /// Any folder of safetensors files with `.json`, `.jinja` and tokenizer files, any safetensors file.
    Models,
}

/// Files of a model's tokenizer.
pub const TOKENIZER_FILES: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Files beside a model's weights and tokenizer that are carried over: how it generates, how pictures go in.
pub const COMPANION_FILES: [&str; 8] = [
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "image_processor_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// What a merge, or an extracted adapter, adds of its own.
const OWN_FILES: [&str; 11] = [
    "config.json",
    INDEX,
    "README.md",
    "mergekit_config.yml",
    ADAPTER,
    "merging_weights.json",
    "merging_weights.svg",
    "entropy.svg",
    "mean_mask.svg",
    "search.json",
    "search.svg",
];

/// Checks that an output may take the place of `target`, a file where `single`, a folder otherwise.
///
/// Errors: what `replace` does not let go, a link, a folder for a file or the other way round, each with what to do.
pub fn may_replace(target: &Path, single: bool, replace: Replace) -> Result<()> {
    let kind = match std::fs::symlink_metadata(target) {
        Ok(kind) => kind,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("cannot look at", target, e)),
    };
    let refuse = |problem: &str, help: &str| {
        Err(Error::data(target.display().to_string(), problem.to_owned()).with_help(help.to_owned()))
    };
    const FORCE: &str = "give --force to replace it, or choose another output";
    const FOREIGN: &str = "is there already, and was not written by consilience";
    if kind.file_type().is_symlink() {
        return refuse("is a link", "name the place that it leads to, or another output");
    }
    if single {
        if kind.is_dir() {
            let help = "choose a name without `.safetensors` for a folder";
            return refuse("is a folder, and a file was to be written there", help);
        }
        return match replace {
            Replace::Never => refuse("is there already", "remove it, or choose another output"),
            Replace::Own if !is_own(target) => refuse(FOREIGN, FORCE),
            Replace::Models if Header::read(target).is_err() => {
                refuse("is there already, and is no safetensors file", "remove it, or choose another output")
            }
            _ => Ok(()),
        };
    }
    if !kind.is_dir() {
        return refuse("is a file, and a folder was to be written there", "choose another output");
    }
    let entries: Vec<PathBuf> = std::fs::read_dir(target)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| Error::io("cannot list", target, e))?;
    if entries.is_empty() {
        return Ok(());
    }
    if replace == Replace::Never {
        return refuse("is there already", "remove it, or choose another output");
    }
    let (weights, others): (Vec<&PathBuf>, Vec<&PathBuf>) = entries.iter().partition(|path| is_safetensors(path));
    let fits = if replace == Replace::Own { may_be_ours } else { may_be_of_a_model };
    if let Some(other) = others.into_iter().find(|path| !fits(path)) {
        let name = other.file_name().unwrap_or_default().display();
        let problem = format!("is there already and holds `{name}`, which is no part of an output");
        return refuse(&problem, "move it away, or choose another output");
    }
    if weights.is_empty() {
        return refuse("is there already and holds no model", "choose another output");
    }
    if replace == Replace::Own && !weights.into_iter().all(|path| is_own(path)) {
        return refuse(FOREIGN, FORCE);
    }
    Ok(())
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "safetensors") && path.is_file()
}

/// Whether a file is a safetensors file of this library's.
fn is_own(path: &Path) -> bool {
    Header::read(path).is_ok_and(|header| header.metadata.get(PRODUCER.0).is_some_and(|p| p == PRODUCER.1))
}

fn may_be_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    path.is_file() && [&OWN_FILES[..], &TOKENIZER_FILES, &COMPANION_FILES].iter().any(|files| files.contains(&name))
}

fn may_be_of_a_model(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    may_be_ours(path) || (path.is_file() && matches!(ending, "json" | "jinja" | "model"))
}
