//! Fitting a linear model to data from a file.

use consilience_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::RegressionData;
use crate::Bounds;
use crate::block_coordinate::{BlockCoordinateDescent, LinearModel, Penalty, Smooth, Solution};

/// What the targets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Numbers: least squares.
    LeastSquares,
    /// Two classes: logistic regression.
    Logistic,
    /// Two or more classes: multi-class logistic regression.
    Softmax,
}

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// What the optimiser found.
    pub solution: Solution,
    /// The classes, in the order of the labels 0, 1, …; empty for least squares. Logistic regression's second class is the
    /// positive one.
    pub classes: Vec<String>,
    /// Least squares: the share of the targets' variance that is explained, R². Classes: the share of samples that are
    /// told right. On the data that was fitted.
    pub score: f64,
    features: Vec<String>,
    /// Numbers for each feature.
    width: usize,
}

/// One coefficient of a fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// The feature's name; `(intercept)` for the intercept.
    pub feature: String,
    /// The class, for multi-class models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Its value.
    pub value: f64,
}

impl Fitted {
    /// All coefficients, feature by feature.
    pub fn coefficients(&self) -> Vec<Coefficient> {
        let one = |(i, value): (usize, &f64)| Coefficient {
            feature: self.features.get(i / self.width).cloned().unwrap_or_else(|| "(intercept)".into()),
            class: (self.width > 1).then(|| self.classes.get(i % self.width).cloned()).flatten(),
            value: *value,
        };
        self.solution.x.iter().enumerate().map(one).collect()
    }
}

/// How a linear model is fitted to data: the sum of the losses over all samples, plus `l1` Σ|x| + `l2` Σx²/2 over all
/// coefficients but those of the intercept.
///
/// With scikit-learn's names: for m samples, Lasso's alpha is l1/m, and logistic regression's C is 1/l1 or 1/l2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regression {
    /// What the targets are. Default: numbers.
    pub task: Task,
    /// λ of the ℓ1 norm, at least 0. Default: 0.
    pub l1: f64,
    /// λ of the squared ℓ2 norm, at least 0. Default: 0.
    pub l2: f64,
    /// Whether there is a constant beside the features. Default: yes.
    pub intercept: bool,
    /// The least and the largest value of every coefficient but the intercept's. Default: none.
    pub bounds: Option<(f64, f64)>,
    /// The optimiser. Default: [`BlockCoordinateDescent::sparse`].
    pub method: BlockCoordinateDescent,
}

impl Default for Regression {
    fn default() -> Self {
        Self {
            task: Task::LeastSquares,
            l1: 0.0,
            l2: 0.0,
            intercept: true,
            bounds: None,
            method: BlockCoordinateDescent::sparse(),
        }
    }
}

impl Regression {
    /// Fits the model.
    ///
    /// Fails as [`RegressionData::numbers`] or [`RegressionData::classes`], with [`Error::Data`] on a number of classes that
    /// the task does not take, with [`Error::Parameter`] on settings out of range, and as
    /// [`BlockCoordinateDescent::minimize`].
    pub fn fit(&self, data: RegressionData, progress: &dyn Progress) -> Result<Fitted> {
        let Self { task, l1, l2, intercept, bounds, ref method } = *self;
        let (mut classes, labels) = if task == Task::LeastSquares { Default::default() } else { data.classes()? };
        let numbers = if task == Task::LeastSquares { data.numbers()? } else { Vec::new() };
        let features = data.design.columns();
        let design = if intercept { data.design.with_intercept() } else { data.design };
        let width = if task == Task::Softmax { classes.len() } else { 1 };
        let model = match task {
            Task::LeastSquares => LinearModel::least_squares(design, numbers.clone())?,
            Task::Logistic if classes.len() != 2 => {
                let problem = format!("{} classes, wanted 2 for logistic regression", classes.len());
                return Err(Error::data(&data.source, problem).with_help("take --loss softmax for more classes"));
            }
            Task::Logistic => LinearModel::logistic(design, labels.iter().map(|y| 2.0 * *y as f64 - 1.0).collect())?,
            Task::Softmax => LinearModel::softmax(design, &labels, classes.len())?,
        };
        let n = model.size();
        let free: Vec<usize> = (features * width..n).collect();
        let model = model.with_ridge(l2, &free)?;
        let mut penalty = Penalty::l1(n, l1)?;
        penalty = free.iter().fold(penalty, |penalty, i| penalty.without_l1(*i));
        if let Some((lower, upper)) = bounds {
            let side =
                |bound: f64, none: f64| (0..n).map(|i| if i < features * width { bound } else { none }).collect();
            let bounds = Bounds::new(side(lower, f64::NEG_INFINITY), side(upper, f64::INFINITY))?;
            penalty = penalty.within(bounds)?;
        }
        let solution = method.minimize(&model, &penalty, progress)?;
        let work = model.start(solution.x.clone());
        let score = match task {
            Task::LeastSquares => explained(&work.product, &numbers),
            Task::Logistic => right(&work.product, &labels, |z| usize::from(z[0] > 0.0), 1),
            Task::Softmax => {
                right(&work.product, &labels, |z| (0..z.len()).fold(0, |a, b| if z[b] > z[a] { b } else { a }), width)
            }
        };
        if task == Task::LeastSquares {
            classes.clear();
        }
        Ok(Fitted { solution, classes, score, features: data.features, width })
    }
}

/// R².
fn explained(found: &[f64], wanted: &[f64]) -> f64 {
    let mean = wanted.iter().sum::<f64>() / wanted.len() as f64;
    let spread: f64 = wanted.iter().map(|y| (y - mean).powi(2)).sum();
    let left: f64 = found.iter().zip(wanted).map(|(z, y)| (z - y).powi(2)).sum();
    if spread > 0.0 { 1.0 - left / spread } else { 0.0 }
}

fn right(margins: &[f64], labels: &[usize], class: impl Fn(&[f64]) -> usize, width: usize) -> f64 {
    let count = margins.chunks_exact(width).zip(labels).filter(|(z, y)| class(z) == **y).count();
    count as f64 / labels.len() as f64
}
