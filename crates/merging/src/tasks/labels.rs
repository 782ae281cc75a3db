//! Labels as they are written to numbers of classes.

use std::collections::HashMap;
use std::path::Path;

use consilience_checkpoint::natural_cmp;
use consilience_core::{Error, Result};

use super::Labels;
use super::rows::Rows;

/// The largest number of a class, as elsewhere in files of labels.
const LARGEST: f64 = 16_777_215.0;

/// The classes of the rows `chosen`: whole numbers as they are, names by their places among those of all rows.
pub(super) fn number(path: &Path, rows: &Rows, chosen: &[usize]) -> Result<Labels> {
    let fault = |row: usize, problem: String| Error::format(path, format!("line {}: {problem}", rows.lines[row]));
    let texts = || rows.labels.iter().map(|label| label.trim()).enumerate();
    if let Some((row, _)) = texts().find(|(_, label)| label.is_empty()) {
        return Err(fault(row, "the label is empty, wanted a whole number or a name".to_owned()));
    }
    let numeric = |label: &str| label.parse::<f64>().ok().filter(|value| value.is_finite());
    if let Some((row, label)) = texts().find(|(_, label)| numeric(label).is_none()) {
        // A number among names is a slip rather than the name of a class.
        return match texts().find(|(_, label)| numeric(label).is_some()) {
            None => Ok(names(texts().map(|(_, label)| label), chosen)),
            Some((other, number)) => Err(fault(
                row.max(other),
                format!("some labels are numbers, as \"{number}\", and others names, as \"{label}\""),
            )),
        };
    }
    let class = |value: f64| (value.fract() == 0.0 && (0.0..=LARGEST).contains(&value)).then_some(value as u32);
    let mut numbers = Vec::with_capacity(rows.labels.len());
    for (row, label) in texts() {
        numbers.push(numeric(label).and_then(class).ok_or_else(|| {
            let error = fault(row, format!("the label is {label}, wanted a whole number from 0 or a name"));
            if label == "-1" {
                error.with_help("test sets have -1 where labels are held back: name a set with labels")
            } else {
                error
            }
        })?);
    }
    Ok(Labels { numbers: Some(chosen.iter().map(|&row| numbers[row]).collect()), names: None })
}

fn names<'a>(labels: impl Iterator<Item = &'a str>, chosen: &[usize]) -> Labels {
    let labels: Vec<&str> = labels.collect();
    let mut names = labels.clone();
    names.sort_unstable_by(|a, b| natural_cmp(a, b));
    names.dedup();
    let places: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, place)| (*name, place)).collect();
    let numbers = chosen.iter().map(|&row| places[labels[row]]).collect();
    Labels { numbers: Some(numbers), names: Some(names.into_iter().map(str::to_owned).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[&str], chosen: &[usize]) -> Result<Labels> {
        let rows = Rows {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            lines: (2..).take(labels.len()).collect(),
            ..Default::default()
        };
        number(Path::new("t.csv"), &rows, chosen)
    }

    #[test]
    fn numbers_stay_and_names_are_numbered() {
        let numbers = of(&["3", " 0", "1.0"], &[2, 0]).unwrap();
        assert_eq!(numbers, Labels { numbers: Some(vec![1, 3]), names: None });
        let names = of(&["class 10", "class 2", "class 10"], &[0, 1]).unwrap();
        let wanted = vec!["class 2".to_owned(), "class 10".to_owned()];
        assert_eq!(names, Labels { numbers: Some(vec![1, 0]), names: Some(wanted) });
    }

    #[test]
    fn other_labels_are_refused() {
        for (labels, problem) in [
            (["0", "0.5"], "t.csv: line 3: the label is 0.5, wanted a whole number from 0 or a name"),
            (["-1", "0"], "t.csv: line 2: the label is -1, wanted a whole number from 0 or a name"),
            (["99999999", "0"], "t.csv: line 2: the label is 99999999, wanted a whole number from 0 or a name"),
            (["a", " "], "t.csv: line 3: the label is empty, wanted a whole number or a name"),
            (["a", "1"], "t.csv: line 3: some labels are numbers, as \"1\", and others names, as \"a\""),
        ] {
            assert_eq!(of(&labels, &[0, 1]).unwrap_err().to_string(), problem);
        }
    }
}
