//! One parameter as it is set at one level: a value, a gradient over layers, or values chosen by tensor name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Parameter, lax, methods::Type};
use crate::yaml::Place;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
}

impl ParameterValue {
    /// The value as a number; booleans are 0 and 1.
    pub fn as_f64(self) -> f64 {
        match self {
            ParameterValue::Bool(value) => f64::from(u8::from(value)),
            ParameterValue::Int(value) => value as f64,
            ParameterValue::Float(value) => value,
        }
    }
}

impl fmt::Display for ParameterValue {
    /// As a configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterValue::Bool(value) => write!(f, "{value}"),
            ParameterValue::Int(value) => write!(f, "{value}"),
            ParameterValue::Float(value) if (1e-6..1e15).contains(&value.abs()) || *value == 0.0 => {
                write!(f, "{value}")
            }
            ParameterValue::Float(value) => write!(f, "{value:e}"),
        }
    }
}

/// Everything under one `parameters:`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The settings, one a parameter.
    pub entries: Vec<Setting>,
}

/// What is set for one parameter.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameter.
    pub parameter: &'static Parameter,
    /// Where its name stands.
    pub place: Place,
    /// The first choice whose filter matches counts. None at all means that nothing is set.
    pub choices: Vec<Choice>,
}

/// A value or gradient, for the tensors that a filter names.
#[derive(Clone, Debug)]
pub struct Choice {
    /// A part of the tensor's name; `None` and `*` match every tensor.
    pub filter: Option<String>,
    /// One value, or the points of a gradient, evenly spread over the layers of a slice. Empty means that nothing is
    /// set for these tensors at this level.
    pub values: Vec<ParameterValue>,
    /// Where the value stands.
    pub place: Place,
}

/// A gradient of whole numbers fell between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NotWhole(pub f64);

impl Settings {
    /// The setting of a parameter.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.entries.iter().find(|setting| setting.parameter.name == name)
    }
}

impl Choice {
    fn matches(&self, tensor: &str) -> bool {
        match self.filter.as_deref() {
            None | Some("*") => true,
            Some(part) => !tensor.is_empty() && tensor.contains(part),
        }
    }

    /// The value at `t` in [0, 1] along the gradient: numbers are interpolated, booleans are those of the point reached.
    fn at(&self, t: f64, kind: Type) -> Result<Option<ParameterValue>, NotWhole> {
        let Some(last) = self.values.len().checked_sub(1) else { return Ok(None) };
        let scaled = t.clamp(0.0, 1.0) * last as f64;
        let low = (scaled as usize).min(last);
        let (Some(&from), Some(&to)) = (self.values.get(low), self.values.get((low + 1).min(last))) else {
            return Ok(None);
        };
        let fraction = scaled - low as f64;
        let mix = || (1.0 - fraction) * from.as_f64() + fraction * to.as_f64();
        Ok(Some(match kind {
            Type::Bool => from,
            Type::Int if fraction == 0.0 => from,
            Type::Int => {
                let value = mix();
                ParameterValue::Int(lax::whole(value).ok_or(NotWhole(value))?)
            }
            Type::Float => ParameterValue::Float(mix()),
        }))
    }
}

impl Setting {
    /// The value for a tensor at `t`, and where it was written; `None` where this level sets nothing for it, so that
    /// the next one counts.
    pub(super) fn evaluate(&self, tensor: &str, t: f64) -> Result<Option<(ParameterValue, Place)>, (NotWhole, Place)> {
        let Some(choice) = self.choices.iter().find(|choice| choice.matches(tensor)) else { return Ok(None) };
        match choice.at(t, self.parameter.kind) {
            Ok(value) => Ok(value.map(|value| (value, choice.place))),
            Err(fault) => Err((fault, choice.place)),
        }
    }

    /// Whether it can give a value for some tensor.
    pub(super) fn sets_anything(&self) -> bool {
        self.choices.iter().any(|choice| !choice.values.is_empty())
    }
}
