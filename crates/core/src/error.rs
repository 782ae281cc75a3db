//! The one error type of the workspace.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};

/// What every fallible function of the workspace returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by the kind of fault. Every message names the argument (or file and tensor), what was found and
/// what is wanted.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// An array has the wrong number of axes or the wrong extent along one.
    #[error("{argument}: the shape is {found}, wanted {wanted}")]
    Shape {
        /// The argument, or file and tensor.
        argument: String,
        /// The shape that was given.
        found: String,
        /// The shape that would have been right.
        wanted: String,
    },
    /// A value is NaN or infinite where it must not be.
    #[error("{argument}: {found} at {position}, wanted finite values")]
    NotFinite {
        /// The argument, or file and tensor.
        argument: String,
        /// What stands there: NaN, inf or -inf (and how many, where counted).
        found: String,
        /// Where the first one stands.
        position: String,
    },
    /// A matrix does not have the rank, or the definiteness, that a method needs.
    #[error("{argument}: {found}, wanted {wanted}")]
    Rank {
        /// The matrix.
        argument: String,
        /// What was found out about it.
        found: String,
        /// What the method needs.
        wanted: String,
    },
    /// A parameter is outside of its range.
    #[error("{name} = {found}, wanted {wanted}")]
    Parameter {
        /// The parameter's name as the user writes it.
        name: String,
        /// Its value.
        found: String,
        /// The values that it may take.
        wanted: String,
    },
    /// An iteration reached its limit before its tolerance.
    #[error(
        "{what} did not converge: {measure} {reached:.3e} after {iterations} iterations, wanted at most {tolerance:.3e}"
    )]
    DidNotConverge {
        /// The iteration.
        what: String,
        /// What is measured, for example "relative residual".
        measure: String,
        /// What it had come to.
        reached: f64,
        /// The tolerance that was asked for.
        tolerance: f64,
        /// The iterations spent.
        iterations: usize,
    },
    /// The data cannot be used: empty, inconsistent, missing.
    #[error("{argument}: {problem}")]
    #[diagnostic()]
    Data {
        /// The data set, file or tensor.
        argument: String,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        #[help]
        help: Option<String>,
    },
    /// The operating system refused to read or write.
    #[error("{action} {}: {reason}", path.display())]
    Io {
        /// What was being done, for example "cannot read".
        action: String,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A file is not what its format asks for.
    #[error("{}: {problem}", path.display())]
    #[diagnostic()]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
        /// What to do about it.
        #[help]
        help: Option<String>,
    },
    /// A configuration file says something wrong at a known place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(Box<ConfigFault>),
    /// Several faults found together, so that they can be mended together.
    #[error("{}", summary(.0))]
    #[diagnostic()]
    Several(#[related] Vec<Error>),
    /// The user asked to stop.
    #[error("stopped on request; nothing was written")]
    Stopped,
}

/// A fault in a configuration file, with its line and the text to show it in.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}:{line}:{column}: {problem}", source_code.name())]
pub struct ConfigFault {
    /// What is wrong.
    pub problem: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
    /// The file's name and text.
    #[source_code]
    pub source_code: NamedSource<String>,
    /// The bytes to underline.
    #[label("here")]
    pub span: SourceSpan,
    /// What to do, or the name that was probably meant.
    #[help]
    pub help: Option<String>,
}

fn summary(faults: &[Error]) -> String {
    match faults {
        [one] => one.to_string(),
        _ => format!("{} faults", faults.len()),
    }
}

impl Error {
    /// A shape fault.
    pub fn shape(argument: impl Into<String>, found: impl std::fmt::Debug, wanted: impl Into<String>) -> Self {
        Self::Shape { argument: argument.into(), found: format!("{found:?}"), wanted: wanted.into() }
    }

    /// A parameter out of range.
    pub fn parameter(name: impl Into<String>, found: impl std::fmt::Display, wanted: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), found: found.to_string(), wanted: wanted.into() }
    }

    /// A fault of the data, without advice.
    pub fn data(argument: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Data { argument: argument.into(), problem: problem.into(), help: None }
    }

    /// A fault of a file's format, without advice.
    pub fn format(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_owned(), problem: problem.into(), help: None }
    }

    /// A refusal of the operating system; `action` reads like "cannot read".
    pub fn io(action: impl Into<String>, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action: action.into(), path: path.as_ref().to_owned(), reason: source }
    }

    /// The same fault with a word of advice, where the variant has room for one.
    #[must_use]
    pub fn with_help(mut self, advice: impl Into<String>) -> Self {
        match &mut self {
            Self::Data { help, .. } | Self::Format { help, .. } => *help = Some(advice.into()),
            Self::Config(fault) => fault.help = Some(advice.into()),
            _ => {}
        }
        self
    }

    /// `Ok` when there are no faults, the fault itself when there is one, all of them together otherwise.
    pub fn all(mut faults: Vec<Error>) -> Result<()> {
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => {
                // Faults of a configuration in the order of its lines, before all others.
                faults.sort_by_key(|fault| match fault {
                    Self::Config(fault) => (fault.line, fault.column),
                    _ => (usize::MAX, 0),
                });
                Err(Self::Several(faults))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_argument_found_and_wanted() {
        assert_eq!(Error::shape("x", [2, 3], "[n, 4]").to_string(), "x: the shape is [2, 3], wanted [n, 4]");
        assert_eq!(
            Error::parameter("density", 1.5, "a number in [0, 1]").to_string(),
            "density = 1.5, wanted a number in [0, 1]"
        );
    }

    #[test]
    fn all_collects() {
        assert!(Error::all(vec![]).is_ok());
        assert!(matches!(Error::all(vec![Error::Stopped]), Err(Error::Stopped)));
        let two = Error::all(vec![Error::data("a", "empty"), Error::data("b", "empty")]);
        assert_eq!(two.unwrap_err().to_string(), "2 faults");
    }
}
