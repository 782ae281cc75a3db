//! Finding the models that a configuration names.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::{MergeConfig, ModelRef, reader::closest};

impl MergeConfig {
    /// Where the models are, in the order of [`MergeConfig::models`]. A path counts from the current folder, as in
    /// mergekit; where nothing is there, from `folder`, the one that holds the configuration.
    ///
    /// # Errors
    /// All models that are in neither place, each with its line. Nothing is downloaded.
    pub fn locate(&self, folder: Option<&Path>) -> Result<Vec<PathBuf>> {
        let mut faults = Vec::new();
        let mut found = Vec::new();
        for model in self.models() {
            match self.locate_model(model, folder) {
                Ok(path) => found.push(path),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults).map(|()| found)
    }

    /// Where one model is, or will be where another merge makes it; see [`MergeConfig::locate`].
    ///
    /// # Errors
    /// When it is in neither place.
    pub fn locate_model(&self, model: &ModelRef, folder: Option<&Path>) -> Result<PathBuf> {
        if let Some(result) = self.results.get(&model.path) {
            return Ok(result.clone());
        }
        let direct = PathBuf::from(&model.path);
        if direct.exists() {
            return Ok(direct);
        }
        let beside = folder.map(|folder| folder.join(&model.path));
        if let Some(beside) = beside.as_ref().filter(|beside| beside.exists()) {
            return Ok(beside.clone());
        }
        let looked = match &beside {
            Some(beside) if *beside != direct => format!("`{}` and `{}`", direct.display(), beside.display()),
            _ => format!("`{}`", direct.display()),
        };
        let meant = closest(&model.path, self.results.keys().map(String::as_str));
        let help = if let Some(name) = meant {
            format!("did you mean the merge `{name}` of this file?")
        } else if is_hub_name(&model.path) {
            let version = model.revision.as_ref().map(|version| format!(" --revision {version}")).unwrap_or_default();
            format!(
                "if this is a name on the Hugging Face Hub, download it first, for example with \
                 `hf download {0}{version} --local-dir {0}`; nothing is downloaded here",
                model.path
            )
        } else {
            "name a folder with `config.json` and `.safetensors` files, or a `.safetensors` or `.gguf` file".into()
        };
        let problem = format!("there is no model `{}`: looked for a local folder or file at {looked}", model.path);
        Err(self.source.fault(model.place, problem, Some(help)))
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
