//! `PATH+ADAPTER`: a model with adapters over it, as one writes it on a command line.

use std::path::{Path, PathBuf};

use consilience_core::Result;

use super::{Adapter, Applied};
use crate::Checkpoint;

impl Checkpoint {
    /// Opens `path`, or where nothing is there, the model and the adapters that it names: `PATH+ADAPTER`, with more
    /// adapters behind further `+` signs, which are laid over the model in that order. Paths with a `+` of their own are
    /// found where they exist.
    ///
    /// Errors: those of [`Checkpoint::open`], [`Adapter::open`] and [`Adapter::apply`].
    pub fn open_with_adapters(path: impl AsRef<Path>) -> Result<(Self, Vec<Applied>)> {
        let (base, adapters) = split(path.as_ref());
        let mut model = Self::open(base)?;
        let applied = adapters.into_iter().map(|adapter| Adapter::open(adapter)?.apply(&mut model));
        let applied = applied.collect::<Result<Vec<Applied>>>()?;
        Ok((model, applied))
    }
}

/// The model and the adapters that `spec` names; `spec` itself where it exists, or names nothing that exists.
fn split(spec: &Path) -> (PathBuf, Vec<PathBuf>) {
    let whole = (spec.to_owned(), Vec::new());
    let Some(text) = spec.to_str().filter(|_| std::fs::symlink_metadata(spec).is_err()) else { return whole };
    let mut parts: Vec<PathBuf> = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        // The longest beginning that exists; where none does, up to the next sign, so that the fault names that.
        let ends = std::iter::once(text.len()).chain(text.rmatch_indices('+').map(|(at, _)| at));
        let exists = ends.into_iter().find(|end| Path::new(&text[..*end]).exists());
        let end = exists.unwrap_or_else(|| text.find('+').unwrap_or(text.len()));
        parts.push(text[..end].into());
        rest = text.get(end + 1..);
    }
    let mut parts = parts.into_iter();
    match parts.next() {
        Some(base) => (base, parts.collect()),
        None => whole,
    }
}
