//! Under what names, and in what form, a checkpoint holds the parameters of a network.

use std::collections::HashSet;
use std::fmt::Display;

use burn::module::Module;
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};

use crate::layout::names_and_shapes;

/// How a stored tensor lies beside the parameter of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// The same shape, the same order.
    Plain,
    /// A matrix whose rows are the parameter's columns.
    Transposed,
    /// A kernel of this shape; as a matrix with a row for each output, it is transposed.
    Kernel(Vec<usize>),
}

/// Where a checkpoint holds one parameter: a family's function from dotted paths gives one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    names: Vec<String>,
    form: Form,
    rooted: bool,
    inherited: bool,
}

impl Place {
    fn new(name: impl Into<String>, form: Form) -> Self {
        Self { names: vec![name.into()], form, rooted: false, inherited: false }
    }

    /// A tensor that is stored as the network has it: embeddings, biases, norms.
    pub fn plain(name: impl Into<String>) -> Self {
        Self::new(name, Form::Plain)
    }

    /// The weight of a linear layer: stored `[out, in]`, in the network `[in, out]`.
    pub fn linear(name: impl Into<String>) -> Self {
        Self::new(name, Form::Transposed)
    }

    /// The kernel `[out, ...]` of a convolution whose stride is its size, in the network a linear layer on patches.
    pub fn kernel(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(name, Form::Kernel(shape.into()))
    }

    /// The part `leaf` of the layer that checkpoints call `layer`: `weight` and `bias` of a linear layer, `gamma` and `beta`
    /// of a norm, which some checkpoints call so as well, and others `weight` and `bias`.
    pub fn of_layer(layer: impl Display, leaf: &str) -> Self {
        match leaf {
            "weight" => Self::linear(format!("{layer}.weight")),
            "gamma" => Self::plain(format!("{layer}.weight")).or(format!("{layer}.gamma")),
            "beta" => Self::plain(format!("{layer}.bias")).or(format!("{layer}.beta")),
            _ => Self::plain(format!("{layer}.{leaf}")),
        }
    }

    /// Another name that the tensor may have. Where a checkpoint has several, the first is read and all are written, so
    /// that tied copies stay equal.
    #[must_use]
    pub fn or(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// The names are whole: no prefix of the family goes before them.
    #[must_use]
    pub fn rooted(mut self) -> Self {
        self.rooted = true;
        self
    }

    /// A checkpoint may lack the tensor: fine-tuned from a base, it has the base's.
    #[must_use]
    pub fn inherited(mut self) -> Self {
        self.inherited = true;
        self
    }

    /// The name with one of the family's prefixes.
    fn full(&self, prefix: &str, name: &str) -> String {
        match self.rooted {
            true => name.to_owned(),
            false => format!("{prefix}{name}"),
        }
    }

    /// The shape in the checkpoint of a parameter that has `shape` in the network.
    fn stored_shape(&self, shape: &[usize]) -> Vec<usize> {
        match &self.form {
            Form::Plain => shape.to_vec(),
            Form::Transposed => shape.iter().rev().copied().collect(),
            Form::Kernel(kernel) => kernel.clone(),
        }
    }
}

/// The places of all parameters of a network, in the order of its [`Layout`](crate::Layout).
#[derive(Clone, Debug)]
pub struct Mapping {
    places: Vec<(Place, Vec<usize>)>,
    prefixes: &'static [&'static str],
}

impl Mapping {
    /// The mapping of `network`, whose parameters stand where `place` says for their dotted paths.
    ///
    /// One of `prefixes`, the same for all, stands before the names of a checkpoint: `bert.` where the encoder is part of a
    /// classifier, nothing where it was saved alone. Parameters that are not initialised yet stay so.
    pub fn of<M: Module>(network: &M, prefixes: &'static [&'static str], place: impl Fn(&str) -> Place) -> Self {
        let places = names_and_shapes(network).into_iter().map(|(path, shape)| {
            let place = place(&path);
            let stored = place.stored_shape(&shape);
            (place, stored)
        });
        Self { places: places.collect(), prefixes }
    }

    /// The network's tensors in `checkpoint`.
    ///
    /// Fails with every fault there is: tensors that are missing, of another shape, or not floating point. Reads no values.
    pub fn find(&self, checkpoint: &Checkpoint) -> Result<Found> {
        let present = |name: &String| checkpoint.describe(name).is_some();
        let names = |prefix: &str, place: &Place| -> Vec<String> {
            place.names.iter().map(|name| place.full(prefix, name)).filter(present).collect()
        };
        let matches = |prefix: &str| self.places.iter().filter(|(place, _)| !names(prefix, place).is_empty()).count();
        // The first of the best, so that the order of the prefixes decides ties.
        let prefix = self.prefixes.iter().copied().rev().max_by_key(|prefix| matches(prefix)).unwrap_or_default();
        let (mut entries, mut faults) = (Vec::with_capacity(self.places.len()), Vec::new());
        for (place, wanted) in &self.places {
            let found = names(prefix, place);
            let first = place.names.first().map(|name| place.full(prefix, name)).unwrap_or_default();
            if found.is_empty() && !place.inherited {
                let problem = format!("tensor `{first}` of the network is missing");
                faults.push(Error::format(checkpoint.path(), problem));
            }
            for name in &found {
                faults.extend(check(checkpoint, name, wanted));
            }
            let transposed = place.form != Form::Plain;
            entries.push(Entry { wanted: first, names: found, shape: wanted.clone(), transposed });
        }
        Error::all(faults)?;
        let used: HashSet<&str> = entries.iter().flat_map(|entry| &entry.names).map(String::as_str).collect();
        let unused = checkpoint.names().filter(|name| !used.contains(name)).map(str::to_owned).collect();
        Ok(Found { entries, unused })
    }
}

/// What is wrong with the tensor `name`, which is there.
fn check(checkpoint: &Checkpoint, name: &str, wanted: &[usize]) -> Option<Error> {
    let found = checkpoint.describe(name)?;
    let tensor = || format!("{}: tensor `{name}`", checkpoint.path().display());
    if found.shape != wanted {
        return Some(Error::shape(tensor(), found.shape, format!("{wanted:?}, from its `config.json` or the base's")));
    }
    let problem = || format!("it is {}, wanted floating point: F64, F32, F16 or BF16", found.dtype.name());
    (!found.dtype.is_float()).then(|| Error::data(tensor(), problem()).with_help("dequantise the model first"))
}

/// The tensors of a network in one checkpoint, in the order of the network's [`Layout`](crate::Layout).
#[derive(Clone, Debug)]
pub struct Found {
    pub(super) entries: Vec<Entry>,
    unused: Vec<String>,
}

/// One parameter's tensor.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name that it has by rights.
    pub(super) wanted: String,
    /// The names that the checkpoint has it under; none where it is the base's.
    pub(super) names: Vec<String>,
    /// The shape there.
    pub(super) shape: Vec<usize>,
    /// Whether it is the parameter's transpose.
    pub(super) transposed: bool,
}

impl Found {
    /// Name and shape of each tensor that the network uses, as the checkpoint has them, in the network's order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().flat_map(|entry| entry.names.iter().map(|name| (name.as_str(), entry.shape.as_slice())))
    }

    /// The tensors that the network does not use, in natural order: heads, poolers, CLIP's text side, `position_ids`.
    ///
    /// A merged model keeps those of the base.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }
}
