//! Laying out slices of layers: which layers of which models make each layer of the result.

use std::{collections::HashMap, ops::Range, sync::Arc};

use consilience_core::{Error, Result};

use super::{BasePolicy, Inputs, Layout, MergeConfig, ModelRef, Settings};
use crate::yaml::Place;

/// A merge with all layer ranges known.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The models, as [`MergeConfig::models`] gives them.
    pub models: Vec<ModelRef>,
    /// The modules; one without a name unless the configuration has `modules`.
    pub modules: Vec<ModulePlan>,
}

/// A model, or one of its modules, as slices of layers.
#[derive(Clone, Debug)]
pub struct ModulePlan {
    /// The module's name; `None` for the whole model.
    pub name: Option<String>,
    /// The slices, first layers first. Never empty.
    pub slices: Vec<SlicePlan>,
    /// The module's `parameters`.
    pub parameters: Arc<Settings>,
}

/// A run of output layers that are merged from the same models.
#[derive(Clone, Debug)]
pub struct SlicePlan {
    /// What it is merged from, in order. Never empty; all have equally many layers.
    pub sources: Vec<SourcePlan>,
    /// The source that is the base; `None` without one, and for methods that treat it as any other.
    pub base: Option<usize>,
    /// The slice's `parameters`.
    pub parameters: Arc<Settings>,
    /// Where the slice stands.
    pub place: Place,
}

/// One model's part in a slice.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// The model, as an index into [`Plan::models`].
    pub model: usize,
    /// Its layers.
    pub layers: Range<usize>,
    /// Its `parameters` in this slice.
    pub parameters: Arc<Settings>,
    /// Where it stands.
    pub place: Place,
}

/// Where in a module an output tensor belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the layers, such as an embedding. It is merged from the first slice's sources.
    Before,
    /// In this output layer, counted from 0.
    Layer(usize),
    /// After the layers, such as a final norm or a head. It is merged from the last slice's sources.
    After,
}

/// A position, looked up: the slice that it belongs to and how far along its gradients it lies.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'p> {
    /// The module.
    pub module: &'p ModulePlan,
    /// The slice.
    pub slice: &'p SlicePlan,
    /// From 0 at the slice's first layer to 1 at its last; 1 where the slice has one layer alone, 0 outside of layers.
    pub t: f64,
    /// The layer, counted from the slice's first; `None` outside of layers.
    pub offset: Option<usize>,
}

impl SlicePlan {
    /// How many layers it gives.
    pub fn layers(&self) -> usize {
        self.sources.first().map_or(0, |source| source.layers.len())
    }
}

impl ModulePlan {
    /// How many layers the result has.
    pub fn layers(&self) -> usize {
        self.slices.iter().map(SlicePlan::layers).sum()
    }

    /// Looks a position up; `None` for a layer that the result does not have.
    pub fn spot(&self, position: Position) -> Option<Spot<'_>> {
        let outside = |slice| Spot { module: self, slice, t: 0.0, offset: None };
        let mut layer = match position {
            Position::Before => return self.slices.first().map(outside),
            Position::After => return self.slices.last().map(outside),
            Position::Layer(layer) => layer,
        };
        for slice in &self.slices {
            let count = slice.layers();
            if layer < count {
                let t = if count > 1 { layer as f64 / (count - 1) as f64 } else { 1.0 };
                return Some(Spot { module: self, slice, t, offset: Some(layer) });
            }
            layer -= count;
        }
        None
    }
}

impl Spot<'_> {
    /// The layer of a source that goes in here; `None` outside of layers.
    pub fn input_layer(&self, source: usize) -> Option<usize> {
        Some(self.slice.sources.get(source)?.layers.start + self.offset?)
    }
}

impl MergeConfig {
    /// Lays the slices out. `layers` says how many layers a model (or its module of that name) has; 0 where its tensors
    /// carry no layer numbers.
    ///
    /// As in mergekit, a `base_model` that is not among `models` joins them as the last input, whatever the method;
    /// among `slices` it must be named in each. Unlike mergekit, tensors after the layers are merged from all sources
    /// of the last slice even when the first slice has fewer.
    ///
    /// # Errors
    /// Where a layer range ends beyond the model's layers, and where the sources of a slice differ in length: all such
    /// faults together.
    pub fn plan(&self, layers: impl Fn(&ModelRef, Option<&str>) -> usize) -> Result<Plan> {
        let modules = self.modules(&layers);
        let models: Vec<ModelRef> = self.models().into_iter().cloned().collect();
        let mut faults = Vec::new();
        for module in &modules {
            for slice in &module.slices {
                self.check_lengths(slice, &models, &mut faults);
            }
        }
        self.check_ranges(&layers, &mut faults);
        Error::all(faults)?;
        Ok(Plan { models, modules })
    }

    /// The modules with their slices; whole models become one slice.
    pub(crate) fn modules(&self, layers: &dyn Fn(&ModelRef, Option<&str>) -> usize) -> Vec<ModulePlan> {
        let models: HashMap<&ModelRef, usize> =
            self.models().into_iter().enumerate().map(|(index, model)| (model, index)).collect();
        match &self.layout {
            Layout::Whole(inputs) => vec![ModulePlan {
                name: None,
                slices: self.slices(inputs, None, &models, layers),
                parameters: Arc::default(),
            }],
            Layout::Modules(modules) => modules
                .iter()
                .map(|module| ModulePlan {
                    name: Some(module.name.clone()),
                    slices: self.slices(&module.inputs, Some(&module.name), &models, layers),
                    parameters: module.parameters.clone(),
                })
                .collect(),
        }
    }

    fn slices(
        &self,
        inputs: &Inputs,
        module: Option<&str>,
        models: &HashMap<&ModelRef, usize>,
        layers: &dyn Fn(&ModelRef, Option<&str>) -> usize,
    ) -> Vec<SlicePlan> {
        let source = |model: &ModelRef, layers, parameters| SourcePlan {
            model: models.get(model).copied().unwrap_or_default(),
            layers,
            parameters,
            place: model.place,
        };
        match inputs {
            Inputs::Models(entries) => {
                let whole = |model: &ModelRef, parameters| source(model, 0..layers(model, module), parameters);
                let mut sources: Vec<_> =
                    entries.iter().map(|entry| whole(&entry.model, entry.parameters.clone())).collect();
                if let Some(base) = &self.base_model
                    && !entries.iter().any(|entry| entry.model == *base)
                {
                    sources.push(whole(base, Arc::default()));
                }
                let place = entries.first().map_or(Place::START, |entry| entry.model.place);
                vec![self.slice(sources, self.base_model.as_ref(), Arc::default(), place, models)]
            }
            Inputs::Slices(slices) => slices
                .iter()
                .map(|slice| {
                    let sources = slice
                        .sources
                        .iter()
                        .map(|from| source(&from.model, from.layers.clone(), from.parameters.clone()))
                        .collect();
                    let base = slice.base_model.as_ref().or(self.base_model.as_ref());
                    self.slice(sources, base, slice.parameters.clone(), slice.place, models)
                })
                .collect(),
        }
    }

    fn slice(
        &self,
        sources: Vec<SourcePlan>,
        base: Option<&ModelRef>,
        parameters: Arc<Settings>,
        place: Place,
        models: &HashMap<&ModelRef, usize>,
    ) -> SlicePlan {
        let base = base.filter(|_| self.method.base != BasePolicy::Ignored);
        let base = base.and_then(|base| models.get(base));
        let base = base.and_then(|base| sources.iter().position(|source| source.model == *base));
        SlicePlan { sources, base, parameters, place }
    }

    fn check_lengths(&self, slice: &SlicePlan, models: &[ModelRef], faults: &mut Vec<Error>) {
        let wanted = slice.layers();
        let Some(odd) = slice.sources.iter().find(|source| source.layers.len() != wanted) else { return };
        let counts = slice
            .sources
            .iter()
            .filter_map(|source| Some(format!("`{}` {}", models.get(source.model)?, source.layers.len())));
        let problem =
            format!("the models of a slice must have equally many layers: {}", counts.collect::<Vec<_>>().join(", "));
        let help = "give each source a `layer_range` of the same length, or merge models of the same depth";
        faults.push(self.source.fault(odd.place, problem, Some(help.into())));
    }

    fn check_ranges(&self, layers: &dyn Fn(&ModelRef, Option<&str>) -> usize, faults: &mut Vec<Error>) {
        let parts: Vec<(Option<&str>, &Inputs)> = match &self.layout {
            Layout::Whole(inputs) => vec![(None, inputs)],
            Layout::Modules(modules) => modules.iter().map(|m| (Some(&*m.name), &m.inputs)).collect(),
        };
        for (module, inputs) in parts {
            let Inputs::Slices(slices) = inputs else { continue };
            for source in slices.iter().flat_map(|slice| &slice.sources) {
                let count = layers(&source.model, module);
                if source.layers.end > count {
                    let problem = format!(
                        "`layer_range` [{}, {}] ends beyond the {count} layers of `{}`",
                        source.layers.start, source.layers.end, source.model
                    );
                    let help = match count {
                        0 => "no tensor of this model carries a layer number (`layers.0.…`, `h.0.…`): use `models`"
                            .into(),
                        _ => format!("layers are counted from 0 and the end is left out: at most [0, {count}]"),
                    };
                    faults.push(self.source.fault(source.layers_place, problem, Some(help)));
                }
            }
        }
    }
}
