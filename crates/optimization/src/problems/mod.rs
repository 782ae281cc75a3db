//! Regression problems from files: tables (CSV) and sparse samples (LIBSVM's format).
//!
//! ```no_run
//! use consilience_core::Silent;
//! use consilience_optimization::problems::{Regression, RegressionData};
//!
//! let data = RegressionData::read("houses.csv", Some("price"))?;
//! let fitted = Regression { l1: 0.1, ..Default::default() }.fit(data, &Silent)?;
//! println!("{:?}", fitted.coefficients());
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod csv_table;
mod fit;
mod libsvm;

use std::path::Path;

use consilience_core::{Error, Result};

use crate::block_coordinate::Design;

pub use fit::{Coefficient, Fitted, Regression, Task};

/// Samples with targets.
#[derive(Clone, Debug, PartialEq)]
pub struct RegressionData {
    /// The features.
    pub design: Design,
    /// Their names; in LIBSVM's format their numbers, from 1.
    pub features: Vec<String>,
    /// The target of each sample, as the file has it.
    pub targets: Vec<String>,
    /// What errors call the file.
    pub source: String,
}

impl RegressionData {
    /// Reads a file: LIBSVM's format (`label index:value …`, one sample a line, indices from 1) where its first line has
    /// such pairs and no target column is named, a table otherwise.
    ///
    /// In a table all columns but the target are features, numbers all of them; a first line whose features are not all
    /// numbers names the columns. `target` is a column's name or its number from 0, by default the last one.
    ///
    /// Fails with [`Error::Io`] where the file cannot be read, [`Error::Format`] (with the line) where it is not what it
    /// should be, and as [`Design::from_entries`].
    pub fn read(path: impl AsRef<Path>, target: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
        match target.is_none() && libsvm::looks_like_it(&bytes) {
            true => libsvm::parse(path, &bytes),
            false => csv_table::parse(path, &bytes, target),
        }
    }

    /// The targets as numbers. Fails with [`Error::Data`] where one is none.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        let number = |(i, text): (usize, &String)| {
            text.parse::<f64>().ok().filter(|y| y.is_finite()).ok_or_else(|| {
                Error::data(&self.source, format!("the target of sample {} is {text:?}, wanted a number", i + 1))
                    .with_help("for targets that are classes take --loss logistic or softmax")
            })
        };
        self.targets.iter().enumerate().map(number).collect()
    }

    /// The targets as classes: their names, in the order of numbers or of the alphabet, and the class of each sample. Fails
    /// with [`Error::Data`] where there are fewer than two.
    pub fn classes(&self) -> Result<(Vec<String>, Vec<usize>)> {
        let mut names: Vec<&String> = self.targets.iter().collect();
        match self.targets.iter().map(|t| t.parse::<f64>().ok().filter(|y| y.is_finite())).collect::<Option<Vec<_>>>() {
            // 1, 1.0 and +1 are the same class.
            Some(numbers) => {
                let mut values = numbers.clone();
                values.sort_by(f64::total_cmp);
                values.dedup();
                let class = |y: &f64| values.iter().position(|v| v == y).unwrap_or_default();
                let labels: Vec<usize> = match values.len() {
                    0..64 => numbers.iter().map(class).collect(),
                    _ => numbers.iter().map(|y| values.partition_point(|v| v < y)).collect(),
                };
                self.at_least_two(values.iter().map(f64::to_string).collect(), labels)
            }
            None => {
                names.sort_unstable();
                names.dedup();
                let labels = self.targets.iter().map(|t| names.partition_point(|name| *name < t)).collect();
                self.at_least_two(names.into_iter().cloned().collect(), labels)
            }
        }
    }

    fn at_least_two(&self, names: Vec<String>, labels: Vec<usize>) -> Result<(Vec<String>, Vec<usize>)> {
        match &names[..] {
            [] => Err(Error::data(&self.source, "holds no samples")),
            [one] => Err(Error::data(&self.source, format!("every target is {one:?}, wanted at least two classes"))),
            _ => Ok((names, labels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, target: Option<&str>) -> Result<RegressionData> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, text).unwrap();
        RegressionData::read(&path, target)
    }

    fn fault(text: &str, target: Option<&str>) -> String {
        let message = read(text, target).unwrap_err().to_string();
        message.split_once("data: ").map_or(message.clone(), |(_, rest)| rest.to_owned())
    }

    #[test]
    fn tables_with_and_without_a_header() {
        let data = read("size, rooms, price\n1, 2, 10\n3, 0, 20\n", None).unwrap();
        assert_eq!(
            (&data.features[..], &data.targets[..]),
            (&["size", "rooms"].map(String::from)[..], &["10", "20"].map(String::from)[..])
        );
        assert_eq!(data.design.times(&[1.0, 10.0]), [21.0, 3.0]);
        let first = read("10,1,2\n20,3,0\n", Some("0")).unwrap();
        assert_eq!((first.design, &first.features[..]), (data.design, &["1", "2"].map(String::from)[..]));
        let named = read("size;price;rooms\n1;yes;2\n3;no;0\n", Some("price")).unwrap();
        assert_eq!(named.classes().unwrap(), (vec!["no".into(), "yes".into()], vec![1, 0]));
    }

    #[test]
    fn libsvm_files() {
        let data = read("+1 1:0.5 3:2 # a remark\n\n-1 2:1e1\n1\n", None).unwrap();
        assert_eq!((data.design.rows(), data.design.columns()), (3, 3));
        assert_eq!(data.design.times(&[2.0, 1.0, 1.0]), [3.0, 10.0, 0.0]);
        assert_eq!(data.classes().unwrap(), (vec!["-1".into(), "1".into()], vec![1, 0, 1]));
        assert_eq!(data.numbers().unwrap(), [1.0, -1.0, 1.0]);
    }

    #[test]
    fn models_are_fitted() {
        use consilience_core::Silent;
        let fit = |text: &str, regression: Regression| regression.fit(read(text, None).unwrap(), &Silent);
        // price = 3 size + 2.
        let line = fit("size,other,price\n1,0,5\n2,1,8\n3,0,11\n4,1,14\n", Regression::default()).unwrap();
        let found = line.coefficients();
        let names: Vec<&str> = found.iter().map(|c| c.feature.as_str()).collect();
        assert_eq!(names, ["size", "other", "(intercept)"]);
        for (c, wanted) in found.iter().zip([3.0, 0.0, 2.0]) {
            assert!((c.value - wanted).abs() < 1e-6, "{found:?}");
        }
        assert!(line.score > 1.0 - 1e-9);
        let rows = "0,a\n1,a\n2,b\n3,b\n5,c\n6,c\n";
        let three = fit(rows, Regression { task: Task::Softmax, l2: 0.01, ..Default::default() }).unwrap();
        assert_eq!(
            (three.score, &three.classes[..], three.coefficients().len()),
            (1.0, &["a", "b", "c"].map(String::from)[..], 6)
        );
        assert_eq!(three.coefficients()[1].class.as_deref(), Some("b"));
        let two = Regression { task: Task::Logistic, l1: 0.1, ..Default::default() };
        let fault = fit(rows, two.clone()).unwrap_err().to_string();
        assert!(fault.ends_with("3 classes, wanted 2 for logistic regression"), "{fault}");
        let held = Regression { bounds: Some((0.0, 0.5)), ..two };
        let held = fit("0,a\n1,a\n2,b\n3,b\n", held).unwrap();
        assert!((held.coefficients()[0].value - 0.5).abs() < 1e-12 && held.score == 1.0, "{held:?}");
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(fault("a,b\n1,2\n1\n", None), "line 3: 1 fields, wanted 2 as in the lines before");
        assert_eq!(fault("a,b\n1,2\nx,2\n", None), "line 3, column \"a\": \"x\" is no number");
        assert_eq!(fault("a,b\n1,2\ninf,2\n", None), "line 3, column \"a\": \"inf\" is not finite");
        assert_eq!(fault("a,b\n1,2\n", Some("c")), "there is no column \"c\"; there are a, b");
        assert_eq!(fault("", None), "holds no samples");
        assert_eq!(fault("a,b\n", None), "holds no samples");
        assert_eq!(fault("1\n2\n", None), "has one column, wanted a target and features");
        assert_eq!(fault("1 0:2\n", None), "line 1: index \"0\", wanted a whole number from 1 up");
        assert_eq!(fault("1 1:2\n1 2:1 2:3\n", None), "line 2: index 2 comes after 2, wanted rising indices");
        assert_eq!(fault("1 1:2\n1 2:x\n", None), "line 2: value \"x\" of index 2, wanted a finite number");
        assert_eq!(fault("1 1:2\n1 2\n", None), "line 2: \"2\", wanted index:value");
        assert!(read("1,3\n1,4\n", None).unwrap().classes().is_ok());
        assert!(read("1,3\n1,3\n", None).unwrap().classes().unwrap_err().to_string().contains("every target is \"3\""));
        assert!(read("1,y\n1,n\n", None).unwrap().numbers().is_err());
    }
}
