//! What the method asks of its inputs, checked before any file is opened.

use std::collections::HashMap;

use super::{
    BasePolicy, DefaultValue, Layout, MergeConfig, ModelRef, ModulePlan, Parameter, Scope, Settings, SlicePlan,
    SourcePlan, reader::Reader,
};
use crate::yaml::Place;

/// Checks how many inputs each slice has, that none stands twice, and that the base is there where it must be.
pub(super) fn contract(reader: &mut Reader<'_>, config: &MergeConfig) {
    let method = config.method;
    let mut missing_base = false;
    let models = config.models();
    for module in config.modules(&|_, _| 0) {
        for (index, slice) in module.slices.iter().enumerate() {
            duplicates(reader, &models, slice);
            let wanted = wanted_base(config, &module, index);
            match (method.base, wanted, slice.base) {
                (BasePolicy::Required, None, _) if !missing_base => {
                    missing_base = true;
                    let help = format!(
                        "add `base_model: PATH`, the model that the others were trained from: {}",
                        method.summary
                    );
                    reader.fault(config.method_place, format!("`{}` needs a `base_model`", method.name), help);
                }
                (BasePolicy::Required | BasePolicy::Optional, Some(base), None) => {
                    let help = format!("add `- model: {base}` with its `layer_range` to the sources");
                    reader.fault(slice.place, format!("the base model `{base}` is not a source of this slice"), help);
                }
                _ => counts(reader, config, slice),
            }
        }
    }
}

/// The base that the slice's configuration names, whether or not it is among the sources.
fn wanted_base<'c>(config: &'c MergeConfig, module: &ModulePlan, index: usize) -> Option<&'c ModelRef> {
    let inputs = match &config.layout {
        Layout::Whole(inputs) => Some(inputs),
        Layout::Modules(modules) => {
            modules.iter().find(|other| Some(&other.name) == module.name.as_ref()).map(|module| &module.inputs)
        }
    };
    let own = match inputs {
        Some(super::Inputs::Slices(slices)) => slices.get(index).and_then(|slice| slice.base_model.as_ref()),
        _ => None,
    };
    own.or(config.base_model.as_ref())
}

fn duplicates(reader: &mut Reader<'_>, models: &[&ModelRef], slice: &SlicePlan) {
    let mut places: HashMap<usize, Place> = HashMap::new();
    for source in &slice.sources {
        let Some(first) = places.insert(source.model, source.place) else { continue };
        let name = models.get(source.model).map(ToString::to_string).unwrap_or_default();
        let problem = format!("the model `{name}` stands twice among these inputs, first on line {}", first.line);
        reader.fault(source.place, problem, "keep one of the two, with the sum of their weights");
    }
}

fn counts(reader: &mut Reader<'_>, config: &MergeConfig, slice: &SlicePlan) {
    let method = config.method;
    let all = slice.sources.len();
    let others = all - usize::from(slice.base.is_some());
    let counted = if slice.base.is_some() { " (the base counted)" } else { "" };
    let bounds = [
        (all, method.min_inputs, method.max_inputs, counted),
        (others, method.min_non_base, method.max_non_base, " besides the base"),
    ];
    for (count, least, most, which) in bounds {
        let (how, wanted) = match most {
            Some(most) if count > most && most > least => ("at most", most),
            Some(most) if count != most && most == least => ("exactly", least),
            _ if count < least => ("at least", least),
            _ => continue,
        };
        let help = if method.base == BasePolicy::Ignored && config.base_model.is_some() && count > least {
            format!("`{}` knows no base: `base_model` counts as one more model; delete it", method.name)
        } else {
            format!("{}: {}", method.title, method.summary)
        };
        let models = if wanted == 1 { "model" } else { "models" };
        let problem = format!("`{}` takes {how} {wanted} {models}{which}, found {count}", method.name);
        reader.fault(slice.place, problem, help);
        return;
    }
}

/// Checks that every required parameter is set for every input, at some level and for some tensor; and notes settings
/// under a base model that has no use for them.
pub(super) fn parameters(reader: &mut Reader<'_>, config: &MergeConfig) {
    let models = config.models();
    for module in config.modules(&|_, _| 0) {
        for slice in &module.slices {
            let levels = [&slice.parameters, &module.parameters, &config.parameters];
            let required = |scope| {
                let parameters = config.method.parameters.iter();
                parameters.filter(move |p: &&Parameter| p.default == DefaultValue::Required && p.scope == scope)
            };
            for parameter in required(Scope::Shared) {
                if !levels.iter().any(|level| sets(level, parameter)) && !reader.assigns(parameter.name, None) {
                    missing(reader, config, parameter, None, config.method_place);
                    return;
                }
            }
            for (index, source) in slice.sources.iter().enumerate() {
                let is_base = slice.base == Some(index);
                if is_base {
                    unused(reader, config, source);
                }
                for parameter in required(Scope::Input).chain(required(Scope::NonBase).filter(|_| !is_base)) {
                    if !sets(&source.parameters, parameter)
                        && !levels.iter().any(|level| sets(level, parameter))
                        && !reader.assigns(parameter.name, Some(source.model))
                    {
                        missing(reader, config, parameter, models.get(source.model).copied(), source.place);
                    }
                }
            }
        }
    }
}

/// Checks what a method that learns needs beside models: tasks, whole models, and one value for each parameter.
pub(super) fn learning(reader: &mut Reader<'_>, config: &MergeConfig) {
    let name = config.method.name;
    if !config.method.learned {
        if let Some(task) = config.tasks.first() {
            reader.note(task.place, format!("`data` has no effect on `{name}`, which looks at weights alone"));
        }
        return;
    }
    if config.tasks.is_empty() {
        let help = "add `data:` with one entry a task: `- path: EXAMPLES`, and a `head: FILE` where it needs one";
        reader.fault(
            config.method_place,
            format!("`{name}` runs the models, and there is no `data` to run them on"),
            help,
        );
    }
    if !matches!(config.layout, Layout::Whole(super::Inputs::Models(_))) {
        let help = "list whole models under `models`; merge slices first, and the results after";
        reader.fault(config.method_place, format!("`{name}` runs the models, so it takes no slices or modules"), help);
    }
    for setting in &config.parameters.entries {
        let plain = |choice: &super::Choice| choice.filter.is_none() && choice.values.len() == 1;
        if let Some(choice) = setting.choices.iter().find(|choice| !plain(choice)) {
            let problem = format!("`{}` holds for the whole model: it takes one value", setting.parameter.name);
            reader.fault(choice.place, problem, "write a number in place of the list");
        }
    }
}

fn sets(settings: &Settings, parameter: &Parameter) -> bool {
    settings.get(parameter.name).is_some_and(super::Setting::sets_anything)
}

fn missing(
    reader: &mut Reader<'_>,
    config: &MergeConfig,
    parameter: &Parameter,
    model: Option<&ModelRef>,
    place: Place,
) {
    let (name, method) = (parameter.name, config.method.name);
    let (problem, help) = match model {
        None => (
            format!("`{method}` needs the parameter `{name}`"),
            format!("add `{name}: …` under `parameters` ({})", parameter.description),
        ),
        Some(model) => (
            format!("`{method}` needs the parameter `{name}` for the model `{model}`"),
            format!(
                "add `{name}: …` under this model's `parameters`, or once for all under the top `parameters` ({})",
                parameter.description
            ),
        ),
    };
    let ignored_base = config.base_model.as_ref().filter(|base| base.place == place);
    let help = match ignored_base {
        Some(_) if config.method.base == BasePolicy::Ignored => {
            format!("`{method}` knows no base: `base_model` joins as one more model; delete it, or {help}")
        }
        _ => help,
    };
    reader.fault(place, problem, help);
}

fn unused(reader: &mut Reader<'_>, config: &MergeConfig, source: &SourcePlan) {
    for setting in source.parameters.entries.iter().filter(|setting| setting.parameter.scope == Scope::NonBase) {
        let name = setting.parameter.name;
        reader.note(setting.place, format!("`{name}` has no effect on the base model of `{}`", config.method.name));
    }
}
