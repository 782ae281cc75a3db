//! The systems of a folder, and what is known of them beforehand.

use std::path::{Path, PathBuf};

use consilience_checkpoint::natural_cmp;
use consilience_core::{Error, Result};
use consilience_linalg::matrix_market::read_matrix;
use consilience_linalg::sparse::Csr;

/// What the name of a right-hand side ends with.
const RIGHT_SIDE: &str = "_b.mtx";

/// A system of a sequence.
pub struct SystemFiles {
    /// What its files' names have in common.
    pub name: String,
    /// The matrix's file.
    pub matrix: PathBuf,
    /// The right-hand side's file.
    pub right_side: PathBuf,
}

/// The systems of a folder, in the natural order of their names.
pub fn systems_of(folder: &Path) -> Result<Vec<SystemFiles>> {
    let refused = |e| Error::io("cannot list", folder, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(RIGHT_SIDE).map(str::to_owned));
    }
    if names.is_empty() {
        let argument = folder.display().to_string();
        return Err(Error::data(argument, "there is no right-hand side, NAME_b.mtx, in this folder")
            .with_help("name the files NAME.mtx and NAME_b.mtx; a matrix that all systems share A.mtx"));
    }
    names.sort_by(|a, b| natural_cmp(a, b));
    let shared = folder.join("A.mtx");
    let system = |name: String| {
        let own = folder.join(format!("{name}.mtx"));
        let matrix = match (own.is_file(), shared.is_file()) {
            (true, _) => own,
            (false, true) => shared.clone(),
            (false, false) => {
                let problem = format!("{name}{RIGHT_SIDE} has no matrix: neither {name}.mtx nor A.mtx is there");
                return Err(Error::data(folder.display().to_string(), problem));
            }
        };
        let right_side = folder.join(format!("{name}{RIGHT_SIDE}"));
        Ok(SystemFiles { name, matrix, right_side })
    };
    names.into_iter().map(system).collect()
}

/// The matrix that was read last, which the next system often shares.
#[derive(Default)]
pub struct Files {
    last: Option<(PathBuf, Csr)>,
}

impl Files {
    /// The matrix in a file.
    pub fn matrix(&mut self, path: &Path) -> Result<&Csr> {
        let known = self.last.take().filter(|(last, _)| last == path);
        let fresh = match known {
            Some(known) => known,
            None => (path.to_owned(), read_matrix(path)?),
        };
        Ok(&self.last.insert(fresh).1)
    }
}

/// The context of each system: a CSV file with the columns system and context, or one number a line.
pub fn contexts(path: &Path, systems: &[SystemFiles]) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    let fault = |line: usize, problem: String| Error::format(path, format!("line {}: {problem}", line + 1));
    let number = |line: usize, word: &str| match word.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(fault(line, format!("`{word}`: wanted a finite number"))),
    };
    let lines = || text.lines().enumerate().map(|(i, line)| (i, line.trim())).filter(|(_, line)| !line.is_empty());
    let wrong_count = |found: usize| Error::format(path, format!("{found} contexts for {} systems", systems.len()));
    let Some((_, first)) = lines().next() else { return Err(wrong_count(0)) };
    if !first.contains(',') {
        let skip = usize::from(first.parse::<f64>().is_err());
        let values = lines().skip(skip).map(|(i, line)| number(i, line)).collect::<Result<Vec<f64>>>()?;
        return if values.len() == systems.len() { Ok(values) } else { Err(wrong_count(values.len())) };
    }
    let mut of_system = vec![None; systems.len()];
    for (i, line) in lines() {
        let Some((name, value)) = line.split_once(',').map(|(name, value)| (name.trim(), value.trim())) else {
            return Err(fault(i, format!("`{line}`: wanted a system and its context, with a comma between")));
        };
        if i == 0 && (name, value) == ("system", "context") {
            continue;
        }
        let Some(place) = systems.iter().position(|system| system.name == name) else {
            return Err(fault(i, format!("there is no system `{name}`")));
        };
        if of_system[place].replace(number(i, value)?).is_some() {
            return Err(fault(i, format!("the system `{name}` has a context already")));
        }
    }
    let of = |(system, context): (&SystemFiles, Option<f64>)| {
        context.ok_or_else(|| Error::format(path, format!("the system `{}` has no context", system.name)))
    };
    systems.iter().zip(of_system).map(of).collect()
}
