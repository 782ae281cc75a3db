//! Which tensors of a fine-tuned model differ from its base, and how an adapter can hold each of them.

use std::collections::BTreeSet;

use consilience_checkpoint::{Checkpoint, EMBEDDINGS, Tensor, is_head, stores_transposed};
use consilience_core::{Error, Progress, Result};
use rayon::prelude::*;

use super::names::{is_embedding, last_part, module_of, prefix_of};
use crate::merge::is_buffer;
use crate::merge::layout::missing_tensors;

/// Elements decoded at a time.
const BLOCK: usize = 1 << 16;

/// A weight whose change is to be held by two factors.
pub struct Factored {
    /// The tensor.
    pub tensor: String,
    /// Whether it is an embedding.
    pub embedding: bool,
    /// Whether it is stored as `[in, out]`.
    pub transposed: bool,
}

/// A tensor that is to be taken over whole.
pub struct TakenOver {
    /// Its name in the base.
    pub tensor: String,
    /// Its name in the fine-tuned model: that of the embeddings for a head that is tied to them.
    pub source: String,
    /// Whether it is the bias of a module that has factors.
    pub bias: bool,
    /// The square of the change's norm.
    pub squares: f64,
}

/// What is to be done with each tensor.
#[derive(Default)]
pub struct Selection {
    /// In natural order.
    pub factored: Vec<Factored>,
    /// In natural order.
    pub whole: Vec<TakenOver>,
    /// The modules whose tensors are all in `whole`.
    pub saved: BTreeSet<String>,
    /// Tensors that did not change.
    pub unchanged: usize,
    /// Tensors that changed and that no adapter can hold, with the squares of their changes' norms.
    pub left_out: Vec<(String, f64)>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// What one tensor of the two models is like.
enum State {
    Unchanged,
    /// It differs by this sum of squares.
    Changed(f64),
    /// Only the fine-tuned model has it.
    New,
    /// The fine-tuned model has the embeddings in its place.
    Tied(&'static str),
    /// There is nothing to do, but something to tell.
    Skipped(String),
    /// Only the base has it.
    Missing,
}

/// Compares the models tensor by tensor, in parallel and in blocks; reads all weights once.
///
/// Errors: all at once: tensors that the fine-tuned model lacks, shapes that differ, NaN and infinite weights.
pub fn select(finetuned: &Checkpoint, base: &Checkpoint, progress: &dyn Progress) -> Result<Selection> {
    let names: BTreeSet<&str> = finetuned.names().chain(base.names()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let states: Vec<Result<State>> = names
        .par_iter()
        .map(|name| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let state = state(name, finetuned, base);
            progress.advance(base.describe(name).map_or(0, |tensor| tensor.bytes()));
            state
        })
        .collect();
    let mut changes = Vec::new();
    let mut selection = Selection::default();
    let (mut faults, mut missing) = (Vec::new(), Vec::new());
    for (name, state) in names.iter().zip(states) {
        match state {
            Ok(State::Unchanged) => selection.unchanged += 1,
            Ok(State::Skipped(note)) => selection.notes.push(note),
            Ok(State::Changed(squares)) => changes.push((*name, *name, Some(squares))),
            Ok(State::New) => changes.push((*name, *name, None)),
            Ok(State::Tied(embeddings)) => changes.push((*name, embeddings, None)),
            Ok(State::Missing) => missing.push((*name).to_owned()),
            Err(Error::Stopped) => return Err(Error::Stopped),
            Err(fault) => faults.push(fault),
        }
    }
    if !missing.is_empty() {
        let others = format!("{} has", base.label());
        let help = "an adapter can only be taken from a fine-tune of this very base";
        faults.push(missing_tensors(finetuned.label(), &missing, &others, help));
    }
    Error::all(faults)?;
    selection.sort_out(&changes, finetuned, base);
    Ok(selection)
}

fn state(name: &str, finetuned: &Checkpoint, base: &Checkpoint) -> Result<State> {
    match (finetuned.tensor(name)?, base.tensor(name)?) {
        (Some(new), Some(old)) => change(name, (finetuned, new), (base, old)),
        (Some(_), None) | (None, Some(_)) if is_buffer(name) => Ok(State::Skipped(format!(
            "`{name}` is computed from the configuration, and only one of the models stores it"
        ))),
        (Some(_), None) => Ok(State::New),
        (None, Some(_)) if is_head(name) && finetuned.tied_word_embeddings() => {
            if base.tied_word_embeddings() {
                return Ok(State::Skipped(format!("`{name}` is tied to the embeddings and changes with them")));
            }
            match EMBEDDINGS.into_iter().find(|embeddings| finetuned.describe(embeddings).is_some()) {
                Some(embeddings) => Ok(State::Tied(embeddings)),
                None => Ok(State::Missing),
            }
        }
        _ => Ok(State::Missing),
    }
}

fn change(name: &str, new: (&Checkpoint, Tensor<'_>), old: (&Checkpoint, Tensor<'_>)) -> Result<State> {
    let (x, y) = (new.1.view(), old.1.view());
    if x.shape() != y.shape() {
        let problem = format!("tensor `{name}` is {:?}, and {:?} in {}", x.shape(), y.shape(), old.0.label());
        return Err(Error::data(new.0.label(), problem)
            .with_help("an adapter keeps shapes: resize the base's embeddings first where the vocabulary grew"));
    }
    if !x.dtype().is_float() || !y.dtype().is_float() {
        let same = x.dtype() == y.dtype() && x.bytes() == y.bytes();
        return Ok(if same { State::Unchanged } else { State::Changed(0.0) });
    }
    let blocks = (0..x.len().div_ceil(BLOCK)).into_par_iter().map_init(
        || (vec![0.0; BLOCK], vec![0.0; BLOCK]),
        |(a, b), block| {
            let len = BLOCK.min(x.len() - block * BLOCK);
            let (a, b) = (&mut a[..len], &mut b[..len]);
            x.read(block * BLOCK, a);
            y.read(block * BLOCK, b);
            for (model, values) in [(new.0, &*a), (old.0, &*b)] {
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    return Err(Error::NotFinite {
                        argument: format!("{}: tensor `{name}`", model.label()),
                        found: values[at].to_string(),
                        position: format!("element {}", block * BLOCK + at),
                    });
                }
            }
            Ok(a.iter().zip(&*b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>())
        },
    );
    let blocks: Vec<f64> = blocks.collect::<Result<_>>()?;
    let squares: f64 = blocks.iter().sum();
    Ok(if squares == 0.0 { State::Unchanged } else { State::Changed(squares) })
}

impl Selection {
    /// Decides for each change how the adapter holds it.
    fn sort_out(&mut self, changes: &[(&str, &str, Option<f64>)], finetuned: &Checkpoint, base: &Checkpoint) {
        let is_factored = |name: &str| {
            let two = base.describe(name).is_some_and(|tensor| tensor.shape.len() == 2 && tensor.dtype.is_float());
            // A subclass of an embedding that looks rows up with an offset of its own.
            two && name.ends_with(".weight") && last_part(module_of(name)) != "embed_positions"
        };
        let factored: BTreeSet<&str> = changes
            .iter()
            .filter(|(name, source, squares)| name == source && squares.is_some() && is_factored(name))
            .map(|(name, ..)| module_of(name))
            .collect();
        let is_bias = |name: &str| name.ends_with(".bias") && factored.contains(module_of(name));
        for (name, source, squares) in changes {
            let module = module_of(name);
            match squares {
                Some(_) if name == source && is_factored(name) => {}
                Some(_) if is_bias(name) => {}
                _ if module.is_empty() => self.left_out.push(((*name).to_owned(), squares.unwrap_or(0.0))),
                _ => {
                    self.saved.insert(module.to_owned());
                }
            }
        }
        self.close(finetuned, base);
        let inside = |name: &str| self.saved.iter().any(|saved| within(module_of(name), saved));
        let mut names: Vec<&str> = finetuned.names().filter(|name| inside(name)).collect();
        names.extend(changes.iter().map(|(name, ..)| *name).filter(|name| !finetuned.names().any(|own| own == *name)));
        let change_of = |name: &str| changes.iter().find(|(other, ..)| *other == name);
        for name in names {
            let (source, squares) =
                change_of(name).map_or((name, 0.0), |(_, source, squares)| (*source, squares.unwrap_or(0.0)));
            self.whole.push(TakenOver { tensor: name.to_owned(), source: source.to_owned(), bias: false, squares });
        }
        for (name, source, squares) in changes.iter().filter(|(name, ..)| !module_of(name).is_empty() && !inside(name))
        {
            let (tensor, source) = ((*name).to_owned(), (*source).to_owned());
            if is_bias(name) {
                self.whole.push(TakenOver { tensor, source, bias: true, squares: squares.unwrap_or(0.0) });
            } else if is_factored(name) {
                let module = module_of(name);
                let transposed = stores_transposed(base, module) == Some(true);
                self.factored.push(Factored { tensor, embedding: is_embedding(module), transposed });
            }
        }
        self.whole.sort_by(|a, b| consilience_checkpoint::natural_cmp(&a.tensor, &b.tensor));
        self.factored.sort_by(|a, b| consilience_checkpoint::natural_cmp(&a.tensor, &b.tensor));
        // What is taken over with its module is not left to the base. (Buffers were not counted.)
        let along = self.whole.iter().filter(|whole| change_of(&whole.tensor).is_none()).count();
        self.unchanged = self.unchanged.saturating_sub(along);
    }

    /// PEFT saves every module whose name ends in one that it is told of, and all that is in it: so they are chosen that way.
    fn close(&mut self, finetuned: &Checkpoint, base: &Checkpoint) {
        let prefix = prefix_of(base);
        let modules: BTreeSet<&str> = finetuned.names().map(module_of).filter(|module| !module.is_empty()).collect();
        loop {
            let ends = |module: &str| {
                let name = format!("{prefix}{module}");
                self.saved.iter().any(|saved| name.ends_with(&format!("{prefix}{saved}")))
            };
            let more: Vec<String> =
                modules.iter().filter(|m| ends(m) && !self.saved.contains(**m)).map(|m| (*m).to_owned()).collect();
            if more.is_empty() {
                break;
            }
            self.saved.extend(more);
        }
        let outer: BTreeSet<String> = self
            .saved
            .iter()
            .filter(|inner| !self.saved.iter().any(|outer| outer != *inner && within(inner, outer)))
            .cloned()
            .collect();
        self.saved = outer;
    }
}

/// Whether `module` is `outer`, or lies in it.
fn within(module: &str, outer: &str) -> bool {
    module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
