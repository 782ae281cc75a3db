//! One naming for all models: the bare network names its tensors `encoder.layer.0…`, the same network under a head
//! `bert.encoder.layer.0…`. transformers loads either into the other; so do merges.

use std::collections::BTreeSet;

use consilience_checkpoint::Checkpoint;

use super::layout;
use crate::config::MergeConfig;

/// Renames the tensors of models that differ from the donor's (the base's, or the first model's) by a first part alone.
/// Returns what is worth telling.
pub fn align(config: &MergeConfig, checkpoints: &mut [Checkpoint]) -> Vec<String> {
    let Some(donor) = layout::donor(config).filter(|donor| *donor < checkpoints.len()) else { return Vec::new() };
    let wanted: BTreeSet<String> = checkpoints[donor].names().map(str::to_owned).collect();
    let label = checkpoints[donor].label();
    let mut notes = Vec::new();
    for (i, checkpoint) in checkpoints.iter_mut().enumerate() {
        let Some(difference) = (i != donor).then(|| difference(&wanted, checkpoint)).flatten() else { continue };
        let own = checkpoint.label();
        notes.push(match &difference {
            Difference::Longer(part) => {
                checkpoint.rename(|name| name.strip_prefix(part.as_str()).map(str::to_owned));
                format!("{own} names tensors as {label} does, behind `{part}`, and is read without it")
            }
            Difference::Shorter(part) => {
                checkpoint.rename(|name| Some(format!("{part}{name}")).filter(|longer| wanted.contains(longer)));
                format!("{own} names tensors as {label} does, but for the first `{part}`, and is read with it")
            }
        });
    }
    notes
}

/// A first part, with its dot, that a model's names have beyond the wanted ones, or lack.
enum Difference {
    Longer(String),
    Shorter(String),
}

fn difference(wanted: &BTreeSet<String>, checkpoint: &Checkpoint) -> Option<Difference> {
    // One shared name is enough to leave everything as it is: only whole namings are changed.
    let layered = |name: &&str| name.split('.').any(|part| part.parse::<usize>().is_ok());
    if checkpoint.names().filter(layered).any(|name| wanted.contains(name)) {
        return None;
    }
    let first_parts = |names: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        names.filter_map(|name| name.split_once('.')).map(|(part, _)| format!("{part}.")).collect()
    };
    // Most of the smaller set must agree afterwards.
    let enough = checkpoint.len().min(wanted.len()).div_ceil(2);
    let longer = first_parts(&mut checkpoint.names()).into_iter().find(|part| {
        let found = checkpoint.names().filter_map(|name| name.strip_prefix(part.as_str()));
        found.filter(|name| wanted.contains(*name)).count() >= enough
    });
    let shorter = || {
        first_parts(&mut wanted.iter().map(String::as_str))
            .into_iter()
            .find(|part| checkpoint.names().filter(|name| wanted.contains(&format!("{part}{name}"))).count() >= enough)
    };
    longer.map(Difference::Longer).or_else(|| shorter().map(Difference::Shorter))
}
