//! The experts as checkpoints, merged by every method of `consilience merge`.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result, Silent, write_atomically};
use consilience_merging::merge::{Merge, MergeOptions};
use consilience_nn::{load_safetensors, save_safetensors};

use super::tasks::{Net, Task};

/// Writes a network as a model folder; its path.
pub fn save(net: &Net, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make the folder", folder, e))?;
    save_safetensors(net, folder.join("model.safetensors"), &[("format".to_owned(), "pt".to_owned())].into())?;
    write_atomically(folder.join("config.json"), "{\n  \"model_type\": \"consilience-demo\"\n}\n")
}

/// A configuration for the demonstration's checkpoints.
pub struct Recipe {
    /// The method.
    pub method: &'static str,
    /// The configuration's text.
    pub text: String,
}

/// A configuration a method, with settings that suit six experts.
pub fn recipes(checkpoints: &Path, tasks: &[Task]) -> Vec<Recipe> {
    let at = |name: &str| serde_json::Value::from(checkpoints.join(name).display().to_string()).to_string();
    let all = |parameters: &str| {
        let entries = tasks.iter().map(|task| format!("  - model: {}\n", at(task.name)));
        format!("models:\n{}parameters: {{{parameters}}}\n", entries.collect::<String>())
    };
    let first = |count: usize, parameters: &str| {
        let entries = tasks.iter().take(count).map(|task| format!("  - model: {}\n", at(task.name)));
        format!("models:\n{}parameters: {{{parameters}}}\n", entries.collect::<String>())
    };
    let base = format!("base_model: {}\n", at("base"));
    let of_first = format!("base_model: {}\n", tasks.first().map_or_else(String::new, |task| at(task.name)));
    [
        ("linear", all("weight: 1.0"), ""),
        ("karcher", all(""), ""),
        ("multislerp", all("weight: 1.0"), &base),
        ("task_arithmetic", all("weight: 0.3"), &base),
        ("ties", all("weight: 1.0, density: 0.3"), &base),
        ("dare_linear", all("weight: 0.3, density: 0.5"), &base),
        ("dare_ties", all("weight: 0.5, density: 0.5"), &base),
        ("della", all("weight: 1.0, density: 0.5"), &base),
        ("della_linear", all("weight: 0.3, density: 0.5"), &base),
        ("breadcrumbs", all("weight: 0.3, density: 0.9, gamma: 0.01"), &base),
        ("breadcrumbs_ties", all("weight: 0.5, density: 0.5, gamma: 0.01"), &base),
        ("sce", all("select_topk: 0.5"), &base),
        ("model_stock", all(""), &base),
        ("ram", all(""), &base),
        ("ramplus_tl", all(""), &base),
        ("tsv_m", all(""), &base),
        ("iso_c", all(""), &base),
        ("iso_cts", all(""), &base),
        ("consensus_ta", all("lambda: 0.3"), &base),
        ("consensus_ties", all("lambda: 0.3, density: 0.5"), &base),
        ("slerp", first(2, "t: 0.5"), &of_first),
        ("nuslerp", first(2, "weight: 1.0"), ""),
        ("nearswap", first(2, "t: 0.001"), &of_first),
        ("arcee_fusion", first(2, ""), &of_first),
        ("passthrough", first(1, ""), ""),
    ]
    .into_iter()
    .map(|(method, models, base)| Recipe {
        method,
        text: format!("merge_method: {method}\n{models}{base}dtype: float32\n"),
    })
    .collect()
}

/// Merges by `recipe`, whose file goes to `folder/METHOD.yml` and whose model to `folder/METHOD`; the merged network.
pub fn merge(recipe: &Recipe, folder: &Path, like: &Net) -> Result<(Net, PathBuf)> {
    let file = folder.join(format!("{}.yml", recipe.method));
    write_atomically(&file, &recipe.text)?;
    let target = folder.join(recipe.method);
    Merge::prepare(&file, MergeOptions::default())?.run(&target, &Silent)?;
    Ok((load_safetensors(like, target.join("model.safetensors"))?, file))
}
