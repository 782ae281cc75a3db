//! The ridge regression that classes and samples are added to.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_matmul};
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatRef, Par, Side};
use serde::{Deserialize, Serialize};

use super::{Analytic, AnalyticMode};

/// Weights `W = (sum X^T X + gamma I)^-1 sum X^T Y`, with Y one-hot over the classes seen so far, whatever the order and the
/// batches were.
#[derive(Clone, Debug)]
pub struct Regression {
    settings: Analytic,
    m: usize,
    /// C = sum X^T Y, one column a class.
    cross: Mat<f64>,
    counts: Vec<u64>,
    /// Classes that tasks before the present one had.
    exposed: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Recursive {
        inverse: Mat<f64>,
        weights: Mat<f64>,
    },
    /// The lower triangle of sum X^T X, and the weights once they have been solved for.
    Normal {
        gram: Mat<f64>,
        solved: Option<Mat<f64>>,
    },
    Balanced {
        grams: Vec<Mat<f64>>,
        solved: Option<Mat<f64>>,
    },
}

/// A regression as it is written down: matrices column by column.
#[derive(Serialize, Deserialize)]
struct Saved {
    settings: Vec<u8>,
    m: usize,
    cross: Vec<f64>,
    counts: Vec<u64>,
    exposed: usize,
    matrices: Vec<Vec<f64>>,
}

impl Regression {
    pub(super) fn new(settings: Analytic, m: usize) -> Self {
        let state = match settings.mode {
            AnalyticMode::Recursive => State::Recursive {
                inverse: Mat::from_fn(m, m, |i, j| if i == j { 1.0 / settings.gamma } else { 0.0 }),
                weights: Mat::zeros(m, 0),
            },
            AnalyticMode::Normal => State::Normal { gram: Mat::zeros(m, m), solved: None },
            AnalyticMode::Balanced => State::Balanced { grams: Vec::new(), solved: None },
        };
        Self { settings, m, cross: Mat::zeros(m, 0), counts: Vec::new(), exposed: 0, state }
    }

    /// The number of features.
    pub fn features(&self) -> usize {
        self.m
    }

    /// The number of classes, one more than the highest label seen.
    pub fn classes(&self) -> usize {
        self.cross.ncols()
    }

    /// The number of samples of each class.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The bytes of all matrices.
    pub fn bytes(&self) -> usize {
        let square = match &self.state {
            State::Recursive { .. } | State::Normal { .. } => 1,
            State::Balanced { grams, .. } => grams.len(),
        };
        8 * (square * self.m * self.m + 2 * self.m * self.classes())
    }

    /// A task begins: the classes so far count as exposed. Matters without [`Analytic::exposed_gain`] only.
    pub fn begin_task(&mut self) {
        self.exposed = self.classes();
    }

    /// Adds samples with features `x` (`[n, m]`) and a class each. No samples change nothing.
    ///
    /// Time: n m² (normal), about 4 n m² (recursive; n up to m, larger batches go in parts).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] (also of the weights after the update, with advice), or a batch that breaks the
    /// recursion ([`Error::Rank`]).
    pub fn update(&mut self, x: MatRef<'_, f64>, labels: &[u32]) -> Result<()> {
        if x.ncols() != self.m || x.nrows() != labels.len() {
            let wanted = format!("[{}, {}]: one row a label, as many features as before", labels.len(), self.m);
            return Err(Error::shape("features", [x.nrows(), x.ncols()], wanted));
        }
        check::finite("features", x)?;
        if labels.is_empty() {
            return Ok(());
        }
        // A gain of more samples than features costs more than the features' own matrix.
        if matches!(self.state, State::Recursive { .. }) && labels.len() > self.m {
            let rows = labels.len() / 2;
            let (first, second) = labels.split_at(rows);
            self.update(x.subrows(0, rows), first)?;
            return self.update(x.subrows(rows, second.len()), second);
        }
        let known = self.classes();
        let classes = labels.iter().max().map_or(0, |top| *top as usize + 1).max(known);
        self.grow(classes);
        for label in labels {
            if let Some(count) = self.counts.get_mut(*label as usize) {
                *count += 1;
            }
        }
        let y = Mat::from_fn(labels.len(), classes, |i, c| {
            f64::from(labels.get(i).is_some_and(|label| *label as usize == c))
        });
        let par = Par::rayon(0);
        matmul(self.cross.as_mut(), Accum::Add, x.transpose(), y.as_ref(), 1.0, par);
        match &mut self.state {
            State::Normal { gram, solved } => {
                *solved = None;
                lower_product(gram, x, par);
                Ok(())
            }
            State::Balanced { grams, solved } => {
                *solved = None;
                for (class, gram) in grams.iter_mut().enumerate() {
                    let rows: Vec<usize> =
                        labels.iter().enumerate().filter(|(_, l)| **l as usize == class).map(|(i, _)| i).collect();
                    if !rows.is_empty() {
                        let own = Mat::from_fn(rows.len(), self.m, |i, j| x[(rows[i], j)]);
                        lower_product(gram, own.as_ref(), par);
                    }
                }
                Ok(())
            }
            State::Recursive { inverse, weights } => {
                let dropped = if self.settings.exposed_gain { 0 } else { self.exposed };
                recursion(inverse, weights, x, &y, dropped, par)?;
                match weights.as_ref().norm_max().is_finite() {
                    true => Ok(()),
                    false => Err(Error::NotFinite {
                        argument: format!("weights after the update (gamma = {})", self.settings.gamma),
                        found: "NaN or infinity".into(),
                        position: "the last batch; a larger gamma makes the recursion stable".into(),
                    }),
                }
            }
        }
    }

    fn grow(&mut self, classes: usize) {
        let m = self.m;
        let wider = |old: &Mat<f64>| Mat::from_fn(m, classes, |i, j| if j < old.ncols() { old[(i, j)] } else { 0.0 });
        if classes > self.cross.ncols() {
            self.cross = wider(&self.cross);
            self.counts.resize(classes, 0);
            match &mut self.state {
                State::Recursive { weights, .. } => *weights = wider(weights),
                State::Normal { .. } => {}
                State::Balanced { grams, .. } => grams.resize(classes, Mat::zeros(m, m)),
            }
        }
    }

    /// The weights `[m, classes]`; solved for where the mode is not recursive and samples came since.
    ///
    /// # Errors
    /// [`Error::Data`] where no class has been seen, [`Error::Rank`] where gamma is too small for the precision.
    pub fn weights(&mut self) -> Result<&Mat<f64>> {
        if self.classes() == 0 {
            return Err(Error::data("regression", "no class has been seen, so there is nothing to predict")
                .with_help("update it with labelled samples first"));
        }
        let gamma = self.settings.gamma;
        match &mut self.state {
            State::Recursive { weights, .. } => Ok(weights),
            State::Normal { gram, solved } => match solved {
                Some(weights) => Ok(weights),
                None => Ok(solved.insert(ridge(gram.clone(), &self.cross, gamma)?)),
            },
            State::Balanced { grams, solved } => match solved {
                Some(weights) => Ok(weights),
                None => {
                    // w_y = (1 / n_y) C / sum(1 / n), over the classes with a sample.
                    let seen = self.counts.iter().filter(|count| **count > 0);
                    let (classes, inverse_sum) =
                        seen.fold((0.0, 0.0), |(k, sum), count| (k + 1.0, sum + 1.0 / *count as f64));
                    let weight = |count: u64| if count == 0 { 0.0 } else { classes / (count as f64 * inverse_sum) };
                    let mut gram = Mat::zeros(self.m, self.m);
                    for (own, count) in grams.iter().zip(&self.counts) {
                        let w = weight(*count);
                        for j in 0..self.m {
                            for i in j..self.m {
                                gram[(i, j)] += w * own[(i, j)];
                            }
                        }
                    }
                    let weights: Vec<f64> = self.counts.iter().map(|count| weight(*count)).collect();
                    let cross = Mat::from_fn(self.m, self.cross.ncols(), |i, c| {
                        weights.get(c).copied().unwrap_or(0.0) * self.cross[(i, c)]
                    });
                    Ok(solved.insert(ridge(gram, &cross, gamma)?))
                }
            },
        }
    }

    /// The scores `[n, classes]` of samples with features `x` (`[n, m]`).
    ///
    /// # Errors
    /// Those of [`Regression::weights`], [`Error::Shape`], [`Error::NotFinite`].
    pub fn scores(&mut self, x: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if x.ncols() != self.m {
            let wanted = format!("[n, {}], as in training", self.m);
            return Err(Error::shape("features", [x.nrows(), x.ncols()], wanted));
        }
        check::finite("features", x)?;
        let weights = self.weights()?;
        let mut scores = Mat::zeros(x.nrows(), weights.ncols());
        matmul(scores.as_mut(), Accum::Replace, x, weights.as_ref(), 1.0, Par::rayon(0));
        Ok(scores)
    }

    /// The certificate of weight invariance: `|A W - C| / |C|` in the Frobenius norm, with A the (regularised) sum that the
    /// weights must solve. For the recursion, A is the inverse of R, so it is taken there as `|W - R C| / |W|`.
    ///
    /// # Errors
    /// Those of [`Regression::weights`].
    pub fn certificate(&mut self) -> Result<f64> {
        let weights = self.weights()?.clone();
        let par = Par::rayon(0);
        Ok(match &self.state {
            State::Recursive { inverse, .. } => {
                let mut rest = weights.clone();
                matmul(rest.as_mut(), Accum::Add, inverse.as_ref(), self.cross.as_ref(), -1.0, par);
                rest.norm_l2() / weights.norm_l2().max(f64::MIN_POSITIVE)
            }
            State::Normal { gram, .. } => {
                let mut full = symmetric(gram);
                (0..self.m).for_each(|i| full[(i, i)] += self.settings.gamma);
                let mut rest = self.cross.clone();
                matmul(rest.as_mut(), Accum::Add, full.as_ref(), weights.as_ref(), -1.0, par);
                rest.norm_l2() / self.cross.norm_l2().max(f64::MIN_POSITIVE)
            }
            State::Balanced { .. } => 0.0,
        })
    }

    /// R, the inverse of the regularised sum, in the recursive mode.
    pub fn inverse(&self) -> Option<MatRef<'_, f64>> {
        match &self.state {
            State::Recursive { inverse, .. } => Some(inverse.as_ref()),
            _ => None,
        }
    }

    /// Everything as bytes.
    ///
    /// # Errors
    /// [`Error::Data`] where it cannot be written.
    pub fn save(&self) -> Result<Vec<u8>> {
        let matrices = match &self.state {
            State::Recursive { inverse, weights } => vec![columns(inverse), columns(weights)],
            State::Normal { gram, .. } => vec![columns(gram)],
            State::Balanced { grams, .. } => grams.iter().map(columns).collect(),
        };
        let saved = Saved {
            settings: crate::learner::to_bytes(&self.settings)?,
            m: self.m,
            cross: columns(&self.cross),
            counts: self.counts.clone(),
            exposed: self.exposed,
            matrices,
        };
        crate::learner::to_bytes(&saved)
    }

    /// A regression from its bytes.
    ///
    /// # Errors
    /// [`Error::Data`] on anything that [`Regression::save`] did not write.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let saved: Saved = crate::learner::from_bytes(bytes)?;
        let settings: Analytic = crate::learner::from_bytes(&saved.settings)?;
        let damaged = || Error::data("saved regression", "it is damaged");
        let mut regression = settings.regression(saved.m)?;
        let (m, classes) = (saved.m, saved.counts.len());
        let matrix = |values: &[f64], n: usize| -> Result<Mat<f64>> {
            match values.len() == m * n && values.iter().all(|v| v.is_finite()) {
                true => Ok(MatRef::from_column_major_slice(values, m, n).to_owned()),
                false => Err(damaged()),
            }
        };
        regression.cross = matrix(&saved.cross, classes)?;
        regression.counts = saved.counts;
        regression.exposed = saved.exposed.min(classes);
        regression.state = match (settings.mode, saved.matrices.as_slice()) {
            (AnalyticMode::Recursive, [inverse, weights]) => {
                State::Recursive { inverse: matrix(inverse, m)?, weights: matrix(weights, classes)? }
            }
            (AnalyticMode::Normal, [gram]) => State::Normal { gram: matrix(gram, m)?, solved: None },
            (AnalyticMode::Balanced, grams) if grams.len() == classes => State::Balanced {
                grams: grams.iter().map(|gram| matrix(gram, m)).collect::<Result<_>>()?,
                solved: None,
            },
            _ => return Err(damaged()),
        };
        Ok(regression)
    }
}

/// One step of the recursion: the gain, R, then W by the updated R.
fn recursion(
    inverse: &mut Mat<f64>,
    weights: &mut Mat<f64>,
    x: MatRef<'_, f64>,
    y: &Mat<f64>,
    dropped: usize,
    par: Par,
) -> Result<()> {
    let (n, m) = (x.nrows(), x.ncols());
    // P = R X^T, S = I + X R X^T.
    let mut p = Mat::zeros(m, n);
    matmul(p.as_mut(), Accum::Replace, inverse.as_ref(), x.transpose(), 1.0, par);
    let mut s = Mat::<f64>::identity(n, n);
    matmul(s.as_mut(), Accum::Add, x, p.as_ref(), 1.0, par);
    let factor = s.llt(Side::Lower).map_err(|_| Error::Rank {
        argument: "I + X R X^T".into(),
        found: "not positive definite: the recursion has lost its precision".into(),
        wanted: "a larger gamma, smaller batches, or the normal mode".into(),
    })?;
    // R <- R - P S^-1 P^T, on the lower triangle, then mirrored: R stays symmetric to the last bit.
    let gain = factor.solve(p.transpose());
    triangular_matmul(
        inverse.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Add,
        p.as_ref(),
        BlockStructure::Rectangular,
        gain.as_ref(),
        BlockStructure::Rectangular,
        -1.0,
        par,
    );
    mirror(inverse);
    // W <- W + R X^T (Y - X W). Without the gain of exposed classes, their labels count as absent.
    let mut rest = Mat::from_fn(n, y.ncols(), |i, c| if c >= dropped { y[(i, c)] } else { 0.0 });
    matmul(rest.as_mut(), Accum::Add, x, weights.as_ref(), -1.0, par);
    let mut step = Mat::zeros(m, y.ncols());
    matmul(step.as_mut(), Accum::Replace, x.transpose(), rest.as_ref(), 1.0, par);
    matmul(weights.as_mut(), Accum::Add, inverse.as_ref(), step.as_ref(), 1.0, par);
    Ok(())
}

/// Copies the lower triangle to the upper one, block by block, so that both sides stay in the cache.
fn mirror(matrix: &mut Mat<f64>) {
    const BLOCK: usize = 64;
    let m = matrix.nrows();
    for column in (0..m).step_by(BLOCK) {
        for row in (column..m).step_by(BLOCK) {
            for j in column..(column + BLOCK).min(m) {
                for i in row.max(j + 1)..(row + BLOCK).min(m) {
                    matrix[(j, i)] = matrix[(i, j)];
                }
            }
        }
    }
}

/// Adds the lower triangle of `x^T x`.
fn lower_product(gram: &mut Mat<f64>, x: MatRef<'_, f64>, par: Par) {
    triangular_matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Add,
        x.transpose(),
        BlockStructure::Rectangular,
        x,
        BlockStructure::Rectangular,
        1.0,
        par,
    );
}

/// The solution of `(gram + gamma I) W = cross` from the lower triangle of `gram`.
fn ridge(mut gram: Mat<f64>, cross: &Mat<f64>, gamma: f64) -> Result<Mat<f64>> {
    let m = gram.nrows();
    (0..m).for_each(|i| gram[(i, i)] += gamma);
    let factor = gram.llt(Side::Lower).map_err(|_| Error::Rank {
        argument: "sum X^T X + gamma I".into(),
        found: format!("not positive definite to working precision with gamma = {gamma}"),
        wanted: "a larger gamma".into(),
    })?;
    Ok(factor.solve(cross))
}

fn symmetric(lower: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(lower.nrows(), lower.ncols(), |i, j| if i >= j { lower[(i, j)] } else { lower[(j, i)] })
}

fn columns(matrix: &Mat<f64>) -> Vec<f64> {
    (0..matrix.ncols()).flat_map(|j| matrix.col(j).iter().copied().collect::<Vec<_>>()).collect()
}

#[cfg(test)]
#[path = "regression_tests.rs"]
mod tests;
