//! Samples of rows by their scores.

use consilience_core::{Error, Progress, Result, Seed};
use consilience_linalg::leverage::{self, row_norms};
use consilience_linalg::sampling::RowSample;
use faer::MatRef;
use serde::{Deserialize, Serialize};

use super::exact::{LpSensitivities, SensitivityMethod};
use super::{check_matrix, check_p, lewis_weights};

/// What rows are sampled by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// ℓ_p sensitivities on all rows.
    #[default]
    Sensitivity,
    /// ℓ_p sensitivities on a Lewis-weight sample, for many rows.
    FastSensitivity,
    /// Leverage scores.
    Leverage,
    /// Leverage scores to the power p/2, again and again on the sample: for 1 ≤ p < 2.
    RootLeverage,
    /// Half sensitivities, half leverage scores: for p > 2.
    LeverageAndSensitivity,
    /// Lewis weights: the best known, and costlier than leverage scores.
    Lewis,
    /// All rows alike: no guarantee.
    Uniform,
}

/// Samples rows for an ℓ_p norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LpSampling {
    /// p, from 1. Default: 1.5.
    pub p: f64,
    /// What rows are sampled by. Default: sensitivities.
    pub score: Score,
    /// The expected number of rows, at least d; [`recommended`](super::recommended) tells how many are enough. From n on the
    /// sample is the whole. Default: 1000.
    pub size: usize,
    /// Draws the sample. Default: 0.
    pub seed: Seed,
}

impl Default for LpSampling {
    fn default() -> Self {
        Self { p: 1.5, score: Score::Sensitivity, size: 1000, seed: Seed(0) }
    }
}

/// A sample and what it was drawn by.
#[derive(Clone, Debug, PartialEq)]
pub struct Coreset {
    /// The rows and their weights: ‖SAx‖_p^p has the expectation ‖Ax‖_p^p.
    pub sample: RowSample,
    /// The score of each row of A: in the last round for [`Score::RootLeverage`] those of the first.
    pub scores: Vec<f64>,
    /// The sum of the scores, 𝔖 where they are sensitivities.
    pub total: f64,
    /// Rows of A that are zero: they are never kept, and none need be.
    pub zero_rows: usize,
}

impl LpSampling {
    /// Samples rows of `a` (`[n, d]`, full rank).
    ///
    /// # Errors
    /// [`Error::Parameter`] for p below 1, a size below d, or a score that is not for this p; [`Error::Shape`],
    /// [`Error::NotFinite`], [`Error::Rank`], [`Error::Stopped`].
    pub fn sample(&self, a: MatRef<'_, f64>, progress: &dyn Progress) -> Result<Coreset> {
        check_p(self.p)?;
        if self.size < a.ncols() {
            return Err(Error::parameter("size", self.size, format!("at least {}, the columns of A", a.ncols())));
        }
        let zero_rows = (0..a.nrows()).filter(|&i| a.row(i).norm_max() == 0.0).count();
        let scores = self.scores(a, progress)?;
        let sample = match self.score {
            Score::RootLeverage => self.rounds(a)?,
            _ => RowSample::poisson(&scores, self.size, self.p, self.seed)?,
        };
        let total = scores.iter().sum();
        Ok(Coreset { sample, scores, total, zero_rows })
    }

    /// The score of each row.
    ///
    /// # Errors
    /// Those of [`LpSampling::sample`].
    pub fn scores(&self, a: MatRef<'_, f64>, progress: &dyn Progress) -> Result<Vec<f64>> {
        let p = self.p;
        check_p(p)?;
        let sensitivities = |method| {
            LpSensitivities { p, method, seed: self.seed.derive("scores"), ..Default::default() }.compute(a, progress)
        };
        let leverage = || -> Result<Vec<f64>> { Ok(row_norms(a, check_matrix(a)?.as_ref())) };
        match self.score {
            // The upper ends never miss a row that matters.
            Score::Sensitivity => Ok(sensitivities(SensitivityMethod::Exact)?.upper),
            Score::FastSensitivity => Ok(sensitivities(SensitivityMethod::Coreset { size: 0 })?.upper),
            Score::Leverage => leverage(),
            Score::RootLeverage if p < 2.0 => Ok(leverage()?.into_iter().map(|tau| tau.powf(0.5 * p)).collect()),
            Score::RootLeverage => {
                Err(Error::parameter("score", "root-leverage", "p below 2 for it; by sensitivity instead"))
            }
            Score::LeverageAndSensitivity if p > 2.0 => {
                let sigma = sensitivities(SensitivityMethod::Exact)?;
                let total: f64 = sigma.upper.iter().sum();
                let d = a.ncols() as f64;
                Ok(sigma.upper.iter().zip(leverage()?).map(|(s, tau)| s / total + tau / d).collect())
            }
            Score::LeverageAndSensitivity => {
                Err(Error::parameter("score", "leverage-and-sensitivity", "p above 2 for it; by sensitivity instead"))
            }
            Score::Lewis => lewis_weights(a, p),
            Score::Uniform => {
                check_matrix(a)?;
                Ok(vec![1.0; a.nrows()])
            }
        }
    }

    /// Root-leverage sampling of the sample, with the leverage scores of the weighted rows, until the size is reached or a
    /// round no longer shrinks it by a fifth.
    fn rounds(&self, a: MatRef<'_, f64>) -> Result<RowSample> {
        let (p, d) = (self.p, a.ncols() as f64);
        let mut all = RowSample { rows: (0..a.nrows()).collect(), weights: vec![1.0; a.nrows()] };
        for round in 0.. {
            let now = all.len();
            let shrunk = (now as f64).powf(1.0 - 0.5 * p) * d.powf(0.5 * p) * 4.0 * (d + 2.0).ln();
            let size = (shrunk.ceil() as usize).max(self.size);
            let last = size <= self.size || size as f64 > 0.8 * now as f64;
            let size = if last { self.size } else { size };
            if size >= now {
                return Ok(all);
            }
            let weighted = all.apply(a)?;
            let scores: Vec<f64> =
                leverage::exact(weighted.as_ref())?.into_iter().map(|tau| tau.powf(0.5 * p)).collect();
            let next = RowSample::poisson(&scores, size, p, self.seed.nth(round))?;
            all = RowSample {
                rows: next.rows.iter().map(|&i| all.rows[i]).collect(),
                weights: next.rows.iter().zip(&next.weights).map(|(&i, weight)| all.weights[i] * weight).collect(),
            };
            if last {
                break;
            }
        }
        Ok(all)
    }
}
