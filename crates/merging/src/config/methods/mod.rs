//! What each merging method takes: inputs, base, parameters.

mod learned;
mod table;

pub use table::METHODS;

/// A merging method as configurations see it.
#[derive(Debug)]
pub struct Method {
    /// The name in `merge_method`.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Where it was published.
    pub reference: Option<&'static str>,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it makes of `base_model`.
    pub base: BasePolicy,
    /// The fewest inputs, the base counted.
    pub min_inputs: usize,
    /// The most inputs, the base counted.
    pub max_inputs: Option<usize>,
    /// The fewest inputs besides the base.
    pub min_non_base: usize,
    /// The most inputs besides the base.
    pub max_non_base: Option<usize>,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Whether it runs the models on examples of their tasks, which `data:` names.
    pub learned: bool,
}

/// What a method makes of `base_model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasePolicy {
    /// It needs one.
    Required,
    /// It works with and without.
    Optional,
    /// It treats the base as one input among the others.
    Ignored,
}

/// A parameter of a method.
#[derive(Debug)]
pub struct Parameter {
    /// Its name under `parameters:`.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether it holds for the whole tensor or for each input.
    pub scope: Scope,
    /// Its value where nothing is set.
    pub default: DefaultValue,
    /// The values that it may take.
    pub range: Range,
    /// What it does, in one line.
    pub description: &'static str,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// On or off.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
}

/// What a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The output tensor: one value. Settings under a single model do not count.
    Shared,
    /// Every input: one value each, the base included.
    Input,
    /// Every input but the base: one value each.
    NonBase,
}

/// A parameter's value where nothing is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// It must be set.
    Required,
    /// Nothing: the method does without.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
}

/// The values that a parameter may take. All are finite, and small enough for 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Any.
    Any,
    /// From the first to the second, both included.
    Within(f64, f64),
    /// This or more.
    AtLeast(f64),
    /// More than this.
    Above(f64),
}

impl Range {
    /// Whether a value lies in the range.
    pub fn contains(self, value: f64) -> bool {
        value.abs() <= f64::from(f32::MAX)
            && match self {
                Range::Any => true,
                Range::Within(low, high) => (low..=high).contains(&value),
                Range::AtLeast(low) => value >= low,
                Range::Above(low) => value > low,
            }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::Any => write!(f, "a finite number"),
            Range::Within(low, high) => write!(f, "a number from {low} to {high}"),
            Range::AtLeast(low) => write!(f, "a number of at least {low}"),
            Range::Above(low) => write!(f, "a number above {low}"),
        }
    }
}

impl Type {
    /// The type in words for a message.
    pub fn describe(self) -> &'static str {
        match self {
            Type::Bool => "true or false",
            Type::Int => "a whole number",
            Type::Float => "a number",
        }
    }
}

impl Method {
    /// The method of a name.
    pub fn find(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// The parameter of a name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The parameters that hold for the whole tensor.
    pub fn shared_parameters(&self) -> impl Iterator<Item = &'static Parameter> + use<> {
        self.parameters.iter().filter(|parameter| parameter.scope == Scope::Shared)
    }

    /// The parameters that each input has; the base has those of [`Scope::Input`] alone.
    pub fn input_parameters(&self, is_base: bool) -> impl Iterator<Item = &'static Parameter> + use<> {
        self.parameters.iter().filter(move |parameter| match parameter.scope {
            Scope::Shared => false,
            Scope::Input => true,
            Scope::NonBase => !is_base,
        })
    }
}
