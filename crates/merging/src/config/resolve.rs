//! Which parameters hold for one output tensor.

use consilience_core::{Error, Result};

use super::{
    DefaultValue, MergeConfig, Parameter, ParameterValue, Scope, Settings, SourcePlan, Spot, setting::NotWhole,
};
use crate::yaml::Place;

/// An input of an output tensor.
#[derive(Clone, Copy, Debug)]
pub struct InputTensor<'n> {
    /// The source, as an index into [`super::SlicePlan::sources`].
    pub source: usize,
    /// The tensor's name in that model, which filters look at.
    pub name: &'n str,
}

/// The parameters of one output tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Those of the tensor.
    pub shared: Values,
    /// Those of each input, in the order in which the inputs were given. The base lacks those of [`Scope::NonBase`].
    pub inputs: Vec<Values>,
}

/// Values of parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    entries: Vec<(&'static str, Option<ParameterValue>)>,
}

impl Values {
    /// The value of a parameter; `None` where it is not among these, or has neither value nor default.
    pub fn get(&self, name: &str) -> Option<ParameterValue> {
        self.entries.iter().find(|(own, _)| *own == name).and_then(|(_, value)| *value)
    }

    /// A number.
    ///
    /// # Errors
    /// When the method has no such parameter here, or it is of another type: a mistake of the caller.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.optional_float(name)?.ok_or_else(|| absent(name, "a number"))
    }

    /// A number, or nothing.
    ///
    /// # Errors
    /// As [`Values::float`].
    pub fn optional_float(&self, name: &str) -> Result<Option<f64>> {
        match self.entries.iter().find(|(own, _)| *own == name) {
            Some((_, None)) => Ok(None),
            Some((_, Some(ParameterValue::Float(value)))) => Ok(Some(*value)),
            _ => Err(absent(name, "a number")),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// As [`Values::float`].
    pub fn bool(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            Some(ParameterValue::Bool(value)) => Ok(value),
            _ => Err(absent(name, "a boolean")),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// As [`Values::float`].
    pub fn int(&self, name: &str) -> Result<i64> {
        match self.get(name) {
            Some(ParameterValue::Int(value)) => Ok(value),
            _ => Err(absent(name, "a whole number")),
        }
    }
}

fn absent(name: &str, wanted: &str) -> Error {
    Error::parameter(name, "no such parameter of the method", wanted)
}

/// A value with the place that it was written at, if it was.
type Placed = (Option<ParameterValue>, Option<Place>);

impl MergeConfig {
    /// The parameters of the output tensor `output` at `spot`, merged from `inputs`.
    ///
    /// A parameter's value is that of the first level that sets it for the tensor: source (parameters of single inputs
    /// alone), slice, module, top. Filters of shared parameters look at the output's name, those of an input's
    /// parameters at the input's name. Costs a few string searches per setting; no allocation but the result's.
    ///
    /// # Errors
    /// When a required parameter has no value for the tensor, when a gradient of whole numbers falls between two, and
    /// when values that are fine alone do not go together (`density` ± `epsilon` outside of (0, 1) for DELLA, weights
    /// that sum to zero and are to be divided by their sum, another number of tasks than one). With the line.
    pub fn resolve(&self, spot: &Spot<'_>, output: &str, inputs: &[InputTensor<'_>]) -> Result<Resolved> {
        let levels = [&*spot.slice.parameters, &*spot.module.parameters, &*self.parameters];
        let shared = self.values(self.method.shared_parameters(), levels.into_iter(), output, spot, None)?;
        let mut resolved = Resolved { shared, inputs: Vec::with_capacity(inputs.len()) };
        for input in inputs {
            let Some(source) = spot.slice.sources.get(input.source) else {
                let problem =
                    format!("the slice has {} sources, asked for number {}", spot.slice.sources.len(), input.source);
                return Err(Error::data(output, problem));
            };
            let parameters = self.method.input_parameters(spot.slice.base == Some(input.source));
            let levels = std::iter::once(&*source.parameters).chain(levels);
            resolved.inputs.push(self.values(parameters, levels, input.name, spot, Some(source))?);
        }
        self.check_sum(spot, output, inputs, &resolved)?;
        self.check_task(output, &resolved)?;
        Ok(resolved)
    }

    fn values<'a>(
        &self,
        parameters: impl Iterator<Item = &'static Parameter>,
        levels: impl Iterator<Item = &'a Settings> + Clone,
        tensor: &str,
        spot: &Spot<'_>,
        source: Option<&SourcePlan>,
    ) -> Result<Values> {
        let mut values = Values::default();
        let mut density: Option<Placed> = None;
        for parameter in parameters {
            let placed = self.value(parameter, levels.clone(), tensor, spot, source)?;
            match parameter.name {
                "density" => density = Some(placed),
                "epsilon" if parameter.scope == Scope::NonBase => self.check_window(density, placed, tensor, spot)?,
                _ => {}
            }
            values.entries.push((parameter.name, placed.0));
        }
        Ok(values)
    }

    fn value<'a>(
        &self,
        parameter: &'static Parameter,
        levels: impl Iterator<Item = &'a Settings>,
        tensor: &str,
        spot: &Spot<'_>,
        source: Option<&SourcePlan>,
    ) -> Result<Placed> {
        for setting in levels.filter_map(|level| level.get(parameter.name)) {
            match setting.evaluate(tensor, spot.t) {
                Ok(None) => {}
                Ok(Some((value, place))) => return Ok((Some(value), Some(place))),
                Err((NotWhole(value), place)) => {
                    let problem = format!(
                        "the gradient of `{}` gives {value} for `{tensor}`, wanted a whole number",
                        parameter.name
                    );
                    let help = "choose end points that meet whole numbers at every layer, or one value for all layers";
                    return Err(self.source.fault(place, problem, Some(help.into())));
                }
            }
        }
        Ok((
            match parameter.default {
                DefaultValue::Required => return Err(self.missing(parameter, tensor, source)),
                DefaultValue::Nothing => None,
                DefaultValue::Bool(value) => Some(ParameterValue::Bool(value)),
                DefaultValue::Int(value) => Some(ParameterValue::Int(value)),
                DefaultValue::Float(value) => Some(ParameterValue::Float(value)),
            },
            None,
        ))
    }

    fn missing(&self, parameter: &Parameter, tensor: &str, source: Option<&SourcePlan>) -> Error {
        let (name, method) = (parameter.name, self.method.name);
        let models = self.models();
        let model = source.and_then(|source| models.get(source.model));
        let of = model.map(|model| format!(" of the model `{model}`")).unwrap_or_default();
        let place = source.map_or(self.method_place, |source| source.place);
        let problem =
            format!("`{method}` needs the parameter `{name}` for the tensor `{tensor}`{of}, and no setting matches it");
        let level = if model.is_some() { "under this model's `parameters`" } else { "under the top `parameters`" };
        let help = format!("set `{name}` {level}, or end its list of filters with `- value: …` for all other tensors");
        self.source.fault(place, problem, Some(help))
    }

    /// DELLA keeps an entry with a chance of `density` ± `epsilon`, which must be a chance.
    fn check_window(&self, density: Option<Placed>, epsilon: Placed, tensor: &str, spot: &Spot<'_>) -> Result<()> {
        let Some((Some(density), density_place)) = density else { return Ok(()) };
        let (Some(epsilon), epsilon_place) = epsilon else { return Ok(()) };
        let (density, epsilon) = (density.as_f64(), epsilon.as_f64());
        if density <= 0.0 || density >= 1.0 || density + epsilon < 1.0 && density - epsilon > 0.0 {
            return Ok(());
        }
        let place = density_place.or(epsilon_place).unwrap_or(spot.slice.place);
        let problem = format!(
            "`density` {density} with `epsilon` {epsilon} for `{tensor}`: density - epsilon and density + epsilon must lie between 0 and 1"
        );
        let room = density.min(1.0 - density);
        let help =
            format!("choose an `epsilon` below {room:.3}, or a density nearer to 0.5; a density of 1 keeps everything");
        Err(self.source.fault(place, problem, Some(help)))
    }

    /// Weights that are divided by their sum must not sum to zero.
    fn check_sum(&self, spot: &Spot<'_>, output: &str, inputs: &[InputTensor<'_>], resolved: &Resolved) -> Result<()> {
        let flag = match self.method.name {
            "linear" => "normalize",
            "multislerp" => "normalize_weights",
            _ => return Ok(()),
        };
        let weights = resolved.inputs.iter().filter_map(|values| values.get("weight")).map(ParameterValue::as_f64);
        // multislerp passes a single model on as it is.
        let alone = self.method.name == "multislerp" && weights.clone().count() == 1;
        if inputs.is_empty() || alone || !resolved.shared.bool(flag)? || weights.sum::<f64>() as f32 != 0.0 {
            return Ok(());
        }
        let problem = format!("the weights for `{output}` sum to 0, and `{flag}` divides by that sum");
        let help = format!("change a weight, or set `{flag}: false`");
        Err(self.source.fault(spot.slice.place, problem, Some(help)))
    }

    /// `tall_mask` recovers the one model that is marked.
    fn check_task(&self, output: &str, resolved: &Resolved) -> Result<()> {
        if self.method.name != "tall_mask" {
            return Ok(());
        }
        let marked = resolved.inputs.iter().filter(|values| values.get("task") == Some(ParameterValue::Bool(true)));
        let problem = match marked.count() {
            1 => return Ok(()),
            0 => format!("no model is marked as the task to recover for `{output}`"),
            several => format!("{several} models are marked as the task to recover for `{output}`"),
        };
        let help = "set `task: true` in the `parameters` of exactly one model, one that has all tensors";
        Err(self.source.fault(self.method_place, problem, Some(help.into())))
    }
}
