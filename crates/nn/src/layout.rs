//! The names, shapes and places of a module's float tensors in one flat vector.

use std::collections::HashMap;
use std::ops::Range;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use consilience_core::{Error, Result};

/// What part a tensor plays in its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A parameter that training changes.
    Trainable,
    /// A parameter that is configured not to require gradients.
    Frozen,
    /// A running statistic, such as the mean of a batch normalisation.
    Buffer,
}

/// Where each float tensor of a module stands in a flat vector, in the module's order.
///
/// Names are dotted paths (`encoder.layers.0.weight`). Integer and boolean tensors, and tensors that are not parameters
/// (such as a frozen head), have no place in it.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
    kinds: Vec<Kind>,
    // One more than there are tensors: tensor i takes offsets[i] .. offsets[i + 1].
    offsets: Vec<usize>,
    index: HashMap<String, usize>,
}

impl Layout {
    /// The layout of `module`. Reads no values, but lets parameters that are still lazy initialise.
    pub fn of<M: Module>(module: &M) -> Layout {
        // A buffer is a tensor that stays without gradient even when it is asked to have one.
        let settled = module.valid();
        let trainable = gradients_wanted(&settled.clone().train());
        let parameter = gradients_wanted(&settled.valid().set_require_grad(true).train());
        let kinds = trainable.into_iter().zip(parameter).map(|pair| match pair {
            (true, _) => Kind::Trainable,
            (false, true) => Kind::Frozen,
            (false, false) => Kind::Buffer,
        });
        let mut layout = Layout { offsets: vec![0], ..Layout::default() };
        for ((name, shape), kind) in names_and_shapes(module).into_iter().zip(kinds) {
            let end = layout.len() + shape.iter().product::<usize>();
            layout.index.insert(name.clone(), layout.names.len());
            layout.names.push(name);
            layout.shapes.push(shape);
            layout.kinds.push(kind);
            layout.offsets.push(end);
        }
        layout
    }

    /// The number of values of all tensors together.
    pub fn len(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensors' names, in module order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The tensors' shapes, in module order.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// What part each tensor plays, in module order.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Each tensor's range in the flat vector, in module order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The position of the tensor `name` among the tensors.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The range of the tensor `name` in the flat vector.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.position(name).and_then(|i| self.range_at(i))
    }

    pub(crate) fn range_at(&self, position: usize) -> Option<Range<usize>> {
        Some(*self.offsets.get(position)?..*self.offsets.get(position + 1)?)
    }

    /// Checks that tensor number `position` would be `name` with `shape`; `whose` names the other side in the message.
    pub(crate) fn check_entry(&self, position: usize, name: &str, shape: &[usize], whose: &str) -> Result<()> {
        match (self.names.get(position), self.shapes.get(position)) {
            (Some(here), Some(wanted)) if here == name => match wanted == shape {
                true => Ok(()),
                false => Err(Error::shape(format!("{whose}: tensor {name:?}"), shape, format!("{wanted:?}"))),
            },
            (Some(here), _) => Err(match self.index.contains_key(name) {
                true => Error::data(whose, format!("the tensors differ: {here:?} is missing, or stands elsewhere")),
                false => Error::data(whose, format!("the tensors differ: found {name:?} where {here:?} is wanted")),
            }),
            (None, _) => Err(Error::data(whose, format!("the tensors differ: {name:?} is one too many"))),
        }
    }

    /// Checks that `other` has the same tensors in the same order, and names the first that differs.
    pub fn check_same(&self, other: &Layout) -> Result<()> {
        for (i, (name, shape)) in other.names.iter().zip(&other.shapes).enumerate() {
            self.check_entry(i, name, shape, "parameters")?;
        }
        self.check_count(other.names.len(), "parameters")
    }

    /// Checks that no tensor is missing after the first `found`.
    pub(crate) fn check_count(&self, found: usize, whose: &str) -> Result<()> {
        match self.names.get(found) {
            Some(name) => Err(Error::data(whose, format!("the tensors differ: {name:?} is missing"))),
            None => Ok(()),
        }
    }
}

impl PartialEq for Layout {
    /// Whether both have the same names and shapes in the same order; the kinds may differ.
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.shapes == other.shapes
    }
}

impl Eq for Layout {}

/// The dotted path of the tensor that a visitor or mapper has reached.
#[derive(Default)]
pub(crate) struct Path {
    dotted: String,
    lengths: Vec<usize>,
}

impl Path {
    /// An enum's variant is not part of a name: which one is in use is configuration.
    pub(crate) fn enter(&mut self, name: &str, container_type: &str) {
        self.lengths.push(self.dotted.len());
        if container_type.starts_with("Enum:") {
            return;
        }
        if !self.dotted.is_empty() {
            self.dotted.push('.');
        }
        self.dotted.push_str(name);
    }

    pub(crate) fn exit(&mut self) {
        self.dotted.truncate(self.lengths.pop().unwrap_or(0));
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.dotted
    }
}

#[derive(Default)]
struct Names {
    path: Path,
    found: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.path.as_str().to_owned(), param.lazy_shape().to_vec()));
    }
}

/// Name and shape of each float tensor of `module`, in module order; parameters that are lazy stay so.
pub(crate) fn names_and_shapes<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    let mut names = Names::default();
    module.visit(&mut names);
    names.found
}

fn gradients_wanted<M: Module>(module: &M) -> Vec<bool> {
    struct Wanted(Vec<bool>);
    impl ModuleVisitor for Wanted {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.base().is_require_grad());
        }
    }
    let mut wanted = Wanted(Vec::new());
    module.visit(&mut wanted);
    wanted.0
}
