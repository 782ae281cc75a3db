//! From what is to be searched and a configuration to a space of values of the right types.

use consilience_core::{Error, Result};

use super::over::{Dimension, Domain};
use super::space::{Space, Values};
use crate::config::{
    Inputs, Layout, MergeConfig, Parameter, ParameterValue, Scope, Setting, Settings, Type, closest, parameter_value,
};

/// The space of `dimensions` for `config`.
///
/// # Errors
/// All at once: parameters that the method does not have, models that are not there, values that do not fit, and parameters
/// that have no effect since every model sets them itself.
pub fn bind(config: &MergeConfig, dimensions: &[Dimension]) -> Result<Space> {
    let (mut axes, mut faults) = (Vec::new(), Vec::new());
    for dimension in dimensions {
        let found = parameter(config, dimension).and_then(|parameter| {
            reaches(config, dimension, parameter)?;
            values(dimension, parameter)
        });
        match found {
            Ok(values) => axes.push((dimension.key(), values)),
            Err(fault) => faults.push(fault),
        }
    }
    Error::all(faults).map(|()| Space::new(axes))
}

fn fault(dimension: &Dimension, problem: impl Into<String>, help: impl Into<String>) -> Error {
    Error::data(format!("--over {}", dimension.key()), problem.into()).with_help(help)
}

/// The parameter that is meant.
fn parameter(config: &MergeConfig, dimension: &Dimension) -> Result<&'static Parameter> {
    let (method, name) = (config.method, dimension.name.as_str());
    if let Some(found) = method.parameter(name) {
        return Ok(found);
    }
    let own: Vec<&str> = method.parameters.iter().map(|parameter| parameter.name).collect();
    let help = match closest(name, own.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if own.is_empty() => format!("`{}` takes no parameters", method.name),
        None => format!("it takes `{}`", own.join("`, `")),
    };
    Err(fault(dimension, format!("`{}` has no parameter `{name}`", method.name), help))
}

/// Checks that setting the parameter where it is to be set has an effect.
fn reaches(config: &MergeConfig, dimension: &Dimension, parameter: &Parameter) -> Result<()> {
    match dimension.model {
        Some(number) => model_takes(config, dimension, parameter, number),
        None => top_reaches(config, dimension, parameter),
    }
}

/// Checks that entry `number` of `models` is there, and has a use for the parameter.
fn model_takes(config: &MergeConfig, dimension: &Dimension, parameter: &Parameter, number: usize) -> Result<()> {
    let name = parameter.name;
    let Layout::Whole(Inputs::Models(models)) = &config.layout else {
        let help = format!("search `{name}` for all models, or list whole models under `models`");
        return Err(fault(dimension, "parameters of single models are searched where whole models are merged", help));
    };
    if parameter.scope == Scope::Shared {
        let problem = format!("`{name}` holds for all models together");
        return Err(fault(dimension, problem, format!("write `{name}=…` without a number")));
    }
    let Some(model) = models.get(number) else {
        let problem = format!("there is no model {number}: `models` has {}, counted from 0", models.len());
        let names: Vec<String> =
            models.iter().enumerate().map(|(i, model)| format!("{i} is {}", model.model)).collect();
        return Err(fault(dimension, problem, names.join(", ")));
    };
    let is_base = config.base_model.as_ref() == Some(&model.model);
    if is_base && parameter.scope == Scope::NonBase {
        let problem = format!("model {number} is the base, for which `{name}` has no effect");
        return Err(fault(dimension, problem, "name another model"));
    }
    Ok(())
}

/// Checks that some model gets its value from the top of the configuration.
fn top_reaches(config: &MergeConfig, dimension: &Dimension, parameter: &Parameter) -> Result<()> {
    let sets = |settings: &Settings| settings.get(parameter.name).is_some_and(sets_all);
    let modules = config.modules(&|_, _| 0);
    let slices = || modules.iter().flat_map(|module| module.slices.iter().map(move |slice| (module, slice)));
    let reached = slices().any(|(module, slice)| {
        let takes = |number: usize| parameter.scope != Scope::NonBase || slice.base != Some(number);
        let mut takers = slice.sources.iter().enumerate().filter(|(number, _)| takes(*number));
        !sets(&module.parameters) && !sets(&slice.parameters) && takers.any(|(_, source)| !sets(&source.parameters))
    });
    if reached {
        return Ok(());
    }
    let name = parameter.name;
    let problem =
        format!("every model (or slice) sets `{name}` itself, which goes before the top of the configuration");
    let help = format!("delete `{name}` there, or search it model by model: `{name}.0=…`");
    Err(fault(dimension, problem, help))
}

/// Whether a setting gives a value for every tensor.
fn sets_all(setting: &Setting) -> bool {
    setting
        .choices
        .iter()
        .any(|choice| matches!(choice.filter.as_deref(), None | Some("*")) && !choice.values.is_empty())
}

/// The values, of the parameter's type and within its range.
fn values(dimension: &Dimension, parameter: &Parameter) -> Result<Values> {
    let value = |text: &str| {
        parameter_value(parameter, text).map_err(|wanted| {
            let problem = format!("`{text}` is no value of it: wanted {wanted}");
            fault(dimension, problem, format!("`{}`: {}", parameter.name, parameter.description))
        })
    };
    let Domain::Range { low, high, points, log } = &dimension.domain else {
        let Domain::List(texts) = &dimension.domain else { return Ok(Values::List(Vec::new())) };
        let mut values: Vec<ParameterValue> = Vec::with_capacity(texts.len());
        for text in texts {
            let value = value(text)?;
            if values.contains(&value) {
                return Err(fault(dimension, format!("the value `{text}` stands twice"), "give each value once"));
            }
            values.push(value);
        }
        return Ok(Values::List(values));
    };
    if parameter.kind == Type::Bool {
        let help = format!("write `{}=true/false`", dimension.key());
        return Err(fault(dimension, "true and false are no ends of a range", help));
    }
    let (low, high) = (value(low)?.as_f64(), value(high)?.as_f64());
    if low >= high {
        let help = "write the lower end first, and a single value without a colon";
        return Err(fault(dimension, format!("the range goes from {low} to {high}"), help));
    }
    if *log && low <= 0.0 {
        let problem = format!("the range begins at {low}, and numbers of 0 or less have no logarithm");
        return Err(fault(dimension, problem, "begin above 0, or leave out `log`"));
    }
    Ok(Values::Range { low, high, points: *points, log: *log, whole: parameter.kind == Type::Int })
}
