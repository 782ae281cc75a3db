//! Finding the models that a configuration names.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::{MergeConfig, ModelRef, reader::closest, tokenizer::TOKENIZER_WORDS};
use crate::yaml::Place;

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its folder or file.
    pub path: PathBuf,
    /// The folder of the adapter that is to be laid over it.
    pub adapter: Option<PathBuf>,
}

impl MergeConfig {
    /// Where the models are, in the order of [`MergeConfig::models`]. A path counts from the current folder, as in
    /// mergekit; where nothing is there, from `folder`, the one that holds the configuration.
    ///
    /// # Errors
    /// All models and adapters that are in neither place, each with its line. Nothing is downloaded.
    pub fn locate(&self, folder: Option<&Path>) -> Result<Vec<Located>> {
        let mut faults = Vec::new();
        let mut found = Vec::new();
        for model in self.models() {
            match self.locate_model(model, folder) {
                Ok(located) => found.push(located),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults).map(|()| found)
    }

    /// Where one model is, or will be where another merge makes it; see [`MergeConfig::locate`].
    ///
    /// # Errors
    /// When it, or its adapter, is in neither place.
    pub fn locate_model(&self, model: &ModelRef, folder: Option<&Path>) -> Result<Located> {
        const MODEL: &str =
            "name a folder with `config.json` and `.safetensors` files, or a `.safetensors` or `.gguf` file";
        const ADAPTER: &str = "name a folder with `adapter_config.json` and `adapter_model.safetensors`";
        let path = self.find(model.place, ("model", &model.path, model.revision.as_deref(), MODEL), folder);
        let adapter = model.lora.as_ref().map(|adapter| {
            self.find(model.place, ("adapter", &adapter.path, adapter.revision.as_deref(), ADAPTER), folder)
        });
        match (path, adapter.transpose()) {
            (Ok(path), Ok(adapter)) => Ok(Located { path, adapter }),
            (Err(path), Err(adapter)) => Err(Error::Several(vec![path, adapter])),
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
        }
    }

    /// Where the tokenizer's model is, as [`MergeConfig::locate_model`] finds it. What is in neither place may be meant as one of
    /// the words that stand for others.
    ///
    /// # Errors
    /// As there.
    pub fn locate_tokenizer(&self, model: &ModelRef, folder: Option<&Path>) -> Result<Located> {
        self.locate_model(model, folder).map_err(|fault| match closest(&model.path, TOKENIZER_WORDS) {
            Some(meant) if model.lora.is_none() => {
                let problem = format!("there is no model `{}` to take the tokenizer from", model.path);
                self.source.fault(model.place, problem, Some(format!("did you mean `{meant}`?")))
            }
            _ => fault,
        })
    }

    /// Looks for one path that stands at `place`: what it is, the path, its version, and what to name instead.
    fn find(
        &self,
        place: Place,
        (what, path, revision, wanted): (&str, &str, Option<&str>, &str),
        folder: Option<&Path>,
    ) -> Result<PathBuf> {
        if let (Some(result), "model") = (self.results.get(path), what) {
            return Ok(result.clone());
        }
        let direct = PathBuf::from(path);
        if direct.exists() {
            return Ok(direct);
        }
        let beside = folder.map(|folder| folder.join(path));
        if let Some(beside) = beside.as_ref().filter(|beside| beside.exists()) {
            return Ok(beside.clone());
        }
        let looked = match &beside {
            Some(beside) if *beside != direct => format!("`{}` and `{}`", direct.display(), beside.display()),
            _ => format!("`{}`", direct.display()),
        };
        let meant = closest(path, self.results.keys().map(String::as_str));
        let help = if let Some(name) = meant {
            format!("did you mean the merge `{name}` of this file?")
        } else if is_hub_name(path) {
            let version = revision.map(|version| format!(" --revision {version}")).unwrap_or_default();
            format!(
                "if this is a name on the Hugging Face Hub, download it first, for example with \
                 `hf download {path}{version} --local-dir {path}`; nothing is downloaded here"
            )
        } else {
            wanted.to_owned()
        };
        let problem = format!("there is no {what} `{path}`: looked for a local folder or file at {looked}");
        Err(self.source.fault(place, problem, Some(help)))
    }
}

/// `owner/name`, as on a hub.
fn is_hub_name(path: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    path.split_once('/').is_some_and(|(owner, name)| fits(owner) && fits(name))
}
