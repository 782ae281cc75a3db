//! Laying an adapter over a model.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use consilience_core::{Error, Result};
use serde::Serialize;

use super::orientation::{Orientation, orientation};
use super::product::{Bias, Product, Whole};
use super::{Adapter, LowRank};
use crate::unique::shown;
use crate::{Checkpoint, Compute, Dtype, EMBEDDINGS, has_head, head_of, is_head};

/// What an adapter changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Applied {
    /// The adapter's folder.
    pub path: PathBuf,
    /// The tensors that a product is added to, in natural order.
    pub modules: Vec<AppliedModule>,
    /// Tensors that the adapter's own took the place of.
    pub replaced: Vec<String>,
    /// Tensors that only the adapter has.
    pub added: Vec<String>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// A tensor that a product is added to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AppliedModule {
    /// Its name in the model.
    pub tensor: String,
    /// The rank of the product.
    pub rank: usize,
    /// What the product is multiplied by.
    pub scale: f64,
}

pub(super) fn apply(adapter: &Adapter, model: &mut Checkpoint) -> Result<Applied> {
    let plan = Plan::of(adapter, model)?;
    let mut applied = Applied { path: adapter.path.clone(), notes: plan.notes, ..Applied::default() };
    if let Some((embeddings, head)) = &plan.untied {
        if model.describe(head).is_none() {
            model.copy_entry(embeddings, head);
        }
        model.untie();
        let note =
            format!("`{head}` was tied to `{embeddings}`, and the two differ from now on: they are stored apart");
        applied.notes.push(note);
    }
    for step in plan.steps {
        model.compute(&step.tensor, step.dtype, step.shape, step.recipe);
        match step.kind {
            Kind::Product { rank, scale } => {
                applied.modules.push(AppliedModule { tensor: step.tensor, rank, scale });
            }
            Kind::Bias => {}
            Kind::Replaced => applied.replaced.push(step.tensor),
            Kind::Added => applied.added.push(step.tensor),
        }
    }
    model.add_adapter(&adapter.path);
    Ok(applied)
}

/// Everything that is to be done to a model, found out before anything is.
struct Plan {
    steps: Vec<Step>,
    /// The embeddings, and the head that was tied to them until now.
    untied: Option<(String, String)>,
    notes: Vec<String>,
}

struct Step {
    tensor: String,
    dtype: Dtype,
    shape: Vec<usize>,
    recipe: Arc<dyn Compute>,
    kind: Kind,
}

enum Kind {
    Product { rank: usize, scale: f64 },
    Bias,
    Replaced,
    Added,
}

impl Plan {
    fn of(adapter: &Adapter, model: &Checkpoint) -> Result<Self> {
        let names = Names::of(adapter, model)?;
        let mut plan = Self { steps: Vec::new(), untied: None, notes: names.notes() };
        let mut faults = Vec::new();
        let following = following_head(adapter, model, &names);
        for (name, factor) in &adapter.whole {
            // The copy of the embeddings under the factors of a head that stays one with them.
            if following.is_some_and(|head| name.strip_prefix(head) == Some(".weight")) {
                continue;
            }
            match plan.whole(adapter, model, &names, name, factor) {
                Ok(step) => plan.steps.push(step),
                Err(fault) => faults.push(fault),
            }
        }
        for low in &adapter.modules {
            if following == Some(low.module.as_str()) {
                plan.notes.push(format!("`{}` is tied to the embeddings and changes just so", low.module));
                continue;
            }
            match product(adapter, model, &names, low) {
                Ok(step) => plan.steps.push(step),
                Err(fault) => faults.push(fault),
            }
            if let Some(step) = bias(model, &names, low).transpose() {
                match step {
                    Ok(step) => plan.steps.push(step),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        if !adapter.originals.is_empty() {
            plan.notes.push(format!(
                "copies of the model's own weights in the adapter, not used: {}",
                adapter.originals.join(", ")
            ));
        }
        // Two names of the adapter's may stand for one tensor of the model's.
        let mut seen = BTreeSet::new();
        for step in plan.steps.iter().filter(|step| matches!(step.kind, Kind::Product { .. })) {
            if !seen.insert(step.tensor.as_str()) {
                let problem = format!("two of its modules stand for `{}` in {}", step.tensor, model.label());
                faults.push(Error::format(&adapter.path, problem));
            }
        }
        Error::all(faults)?;
        plan.tie(adapter, model, following.is_some());
        Ok(plan)
    }

    /// A tensor of the adapter's in the place of the model's.
    fn whole(
        &self,
        adapter: &Adapter,
        model: &Checkpoint,
        names: &Names,
        name: &str,
        factor: &super::Factor,
    ) -> Result<Step> {
        let (shape, recipe) = (factor.shape().to_vec(), Arc::new(Whole(factor.clone())));
        let Some(tensor) = names.find(model, name) else {
            let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
            if adapter.config.saves(module) || is_tied_head(model, name).is_some() {
                let kind = Kind::Added;
                return Ok(Step { tensor: name.to_owned(), dtype: factor.dtype(), shape, recipe, kind });
            }
            return Err(factor.fault(format!("{} has no tensor `{}`", model.label(), shown(name))));
        };
        let own = model.describe(&tensor).map(|own| (own.dtype, own.shape.to_vec()));
        let (dtype, own) = own.unwrap_or((factor.dtype(), Vec::new()));
        if own != shape {
            let problem = format!("its shape is {shape:?}, and that of `{tensor}` in {} is {own:?}", model.label());
            return Err(factor.fault(problem));
        }
        Ok(Step { tensor, dtype, shape, recipe, kind: Kind::Replaced })
    }

    /// Takes head and embeddings apart where they are one tensor and get different values.
    fn tie(&mut self, adapter: &Adapter, model: &Checkpoint, follows: bool) {
        if !model.tied_word_embeddings() {
            return;
        }
        let touched: BTreeSet<&str> = self.steps.iter().map(|step| step.tensor.as_str()).collect();
        let Some(embeddings) = EMBEDDINGS.into_iter().find(|name| model.describe(name).is_some()) else { return };
        let head = touched.iter().copied().chain(model.names()).find(|name| is_head(name));
        if !touched.iter().any(|name| *name == embeddings || is_head(name)) {
            return;
        }
        let head = match head {
            Some(head) => head,
            // The head was told to follow, or there is none in such a model.
            None if follows || adapter.config.tying || !has_head(model) => {
                self.notes.push(format!("what is tied to `{embeddings}` changes with it"));
                return;
            }
            None => head_of(embeddings),
        };
        self.untied = Some((embeddings.to_owned(), head.to_owned()));
    }
}

/// The embeddings that stand in for the head `name`, where the model stores no head of its own.
fn is_tied_head(model: &Checkpoint, name: &str) -> Option<&'static str> {
    let tied = is_head(name) && model.tied_word_embeddings() && model.describe(name).is_none();
    EMBEDDINGS.into_iter().find(|embeddings| tied && model.describe(embeddings).is_some())
}

/// The module of a head that is tied to the embeddings and whose factors are those of the embeddings: the two stay one.
fn following_head<'a>(adapter: &'a Adapter, model: &Checkpoint, names: &Names) -> Option<&'a str> {
    let weight = |low: &LowRank| format!("{}.weight", low.module);
    let head = adapter.modules.iter().find(|low| is_tied_head(model, &weight(low)).is_some())?;
    let embeddings = is_tied_head(model, &weight(head))?;
    let mut tables = adapter.modules.iter().filter(|low| low.embedding);
    let table = tables.find(|low| names.find(model, &weight(low)).as_deref() == Some(embeddings))?;
    let plain = |low: &LowRank| low.magnitude.is_none() && low.bias.is_none();
    let alike = plain(head) && plain(table) && (head.rank, head.scale) == (table.rank, table.scale);
    let transposed = |x: &super::Factor, y: &super::Factor| {
        let [rows, columns] = x.shape() else { return false };
        let (x, other) = (x.values(), y.values());
        y.shape() == [*columns, *rows]
            && (0..*rows).all(|i| (0..*columns).all(|j| x[i * columns + j] == other[j * rows + i]))
    };
    (alike && transposed(&head.a, &table.b) && transposed(&head.b, &table.a)).then_some(head.module.as_str())
}

/// The sum of a weight and a product.
fn product(adapter: &Adapter, model: &Checkpoint, names: &Names, low: &LowRank) -> Result<Step> {
    let name = format!("{}.weight", low.module);
    let tensor = names.find(model, &name);
    let source = tensor.clone().or_else(|| is_tied_head(model, &name).map(str::to_owned));
    let Some((tensor, own)) =
        source.and_then(|source| Some((tensor.unwrap_or(name.clone()), model.describe(&source)?)))
    else {
        return Err(low.a.fault(format!("{} has no tensor `{}`", model.label(), shown(&name))));
    };
    if !own.dtype.is_float() || own.dtype.size() == 1 {
        let problem = format!(
            "`{tensor}` in {} is {}, and a product is added to F32, BF16, F16 or F64",
            model.label(),
            own.dtype
        );
        return Err(low.a.fault(problem));
    }
    let shapes = (own.shape, low.a.shape(), low.b.shape());
    let lies = match low.embedding {
        true => (own.shape == [low.a.shape()[1], low.b.shape()[0]]).then_some(Orientation::Transposed),
        false => orientation(model, &low.module, adapter.config.fan_in_fan_out, shapes),
    };
    let Some(orientation) = lies else {
        let (a, b) = (low.a.shape(), low.b.shape());
        let problem = format!("the factors {a:?} and {b:?} do not fit `{tensor}` {:?} in {}", own.shape, model.label());
        let grouped = own.shape.len() > 2 && own.shape.first() == b.first() && own.shape.get(2..) == a.get(2..);
        let more = if grouped { ": convolutions with groups are not supported" } else { "" };
        return Err(low.a.fault(problem + more));
    };
    let recipe = Arc::new(Product {
        a: low.a.clone(),
        b: low.b.clone(),
        rank: low.rank,
        scale: low.scale,
        orientation,
        magnitude: low.magnitude.clone(),
    });
    let kind = Kind::Product { rank: low.rank, scale: low.scale };
    Ok(Step { tensor, dtype: own.dtype, shape: own.shape.to_vec(), recipe, kind })
}

/// The sum of a bias and the scaled bias of the second factor, where that has one.
fn bias(model: &Checkpoint, names: &Names, low: &LowRank) -> Result<Option<Step>> {
    let Some(bias) = &low.bias else { return Ok(None) };
    let name = format!("{}.bias", low.module);
    let own = names.find(model, &name).and_then(|tensor| Some((model.describe(&tensor)?, tensor.clone())));
    match own {
        Some((own, tensor)) if own.shape == bias.shape() && own.dtype.is_float() => {
            let recipe = Arc::new(Bias { bias: bias.clone(), scale: low.scale });
            Ok(Some(Step { tensor, dtype: own.dtype, shape: own.shape.to_vec(), recipe, kind: Kind::Bias }))
        }
        Some((own, tensor)) => {
            Err(bias.fault(format!("`{tensor}` in {} is {} {:?}", model.label(), own.dtype, own.shape)))
        }
        None => Err(bias.fault(format!("{} has no tensor `{}` to add it to", model.label(), shown(&name)))),
    }
}

/// How the names of the model that was trained become those of the checkpoint: a model is also stored without the head
/// around it, or with one.
enum Names {
    Same,
    Longer(String),
    Shorter(String),
}

impl Names {
    /// Finds out by the first module that the checkpoint does not know.
    fn of(adapter: &Adapter, model: &Checkpoint) -> Result<Self> {
        let unknown = adapter.modules.iter().find(|low| {
            let name = format!("{}.weight", low.module);
            model.describe(&name).is_none() && is_tied_head(model, &name).is_none()
        });
        let Some(low) = unknown else { return Ok(Self::Same) };
        let name = format!("{}.weight", low.module);
        let shorter = name.match_indices('.').map(|(at, _)| name.split_at(at + 1));
        if let Some((prefix, _)) = shorter.into_iter().find(|(_, rest)| model.describe(rest).is_some()) {
            return Ok(Self::Shorter(prefix.to_owned()));
        }
        let ending = format!(".{name}");
        let mut longer = model.names().filter_map(|own| own.strip_suffix(ending.as_str()));
        match (longer.next(), longer.next()) {
            (Some(prefix), None) => Ok(Self::Longer(format!("{prefix}."))),
            (Some(one), Some(other)) => {
                let problem = format!("it could belong to `{one}{ending}` or `{other}{ending}` in {}", model.label());
                Err(low.a.fault(problem))
            }
            _ => Ok(Self::Same),
        }
    }

    /// The tensor's name in the checkpoint, where it has it.
    fn find(&self, model: &Checkpoint, name: &str) -> Option<String> {
        let other = match self {
            Self::Same => None,
            Self::Longer(prefix) => Some(format!("{prefix}{name}")),
            Self::Shorter(prefix) => name.strip_prefix(prefix.as_str()).map(str::to_owned),
        };
        std::iter::once(name.to_owned()).chain(other).find(|name| model.describe(name).is_some())
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Same => Vec::new(),
            Self::Longer(prefix) => vec![format!("the adapter's names stand for those with `{prefix}` in front")],
            Self::Shorter(prefix) => vec![format!("the adapter's names stand for those without `{prefix}` in front")],
        }
    }
}
