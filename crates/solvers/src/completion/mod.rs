//! Low-rank matrix completion by robust alternating minimisation (slug `matrix-completion`; Gu, Song, Yin, Zhang, "Low rank
//! matrix completion via robust alternating minimization in nearly linear time", 2024, arXiv 2302.11068).
//!
//! M ≈ U Vᵀ is found from some of its entries by least squares for V given U and for U given V in turn. Each problem of a
//! row or column is solved nearly only, by a few steps of conjugate gradients from where the last iteration ended, so that
//! an iteration costs about |Ω| k instead of |Ω| k², and as many iterations suffice.
//!
//! ```
//! use consilience_core::Silent;
//! use consilience_solvers::completion::{Entry, MatrixCompletion, Observed};
//!
//! // A matrix of rank 1 with every third entry hidden.
//! let truth = |i: u32, j: u32| (1.0 + f64::from(i)) * (2.0 - 0.1 * f64::from(j));
//! let places = (0..12_u32).flat_map(|i| (0..10_u32).map(move |j| (i, j))).filter(|(i, j)| (i + 2 * j) % 3 != 0);
//! let entries: Vec<Entry> = places.map(|(row, column)| Entry { row, column, value: truth(row, column) }).collect();
//! let observed = Observed::new(12, 10, &entries)?;
//!
//! let found = MatrixCompletion { rank: 1, holdout: 0.0, ..Default::default() }.solve(&observed, &Silent)?;
//! assert!((found.predict(0, 0)? - truth(0, 0)).abs() < 1e-6);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod centre;
mod factor;
mod observed;
mod read;
mod rows;
mod start;

use consilience_core::{Error, Progress, Result, Seed, Unit};
use faer::Mat;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

pub use centre::{Centre, Centring};
pub use observed::{Entry, Observed};
pub use read::{Ratings, RatingsFormat};

use factor::Factor;
use rows::HalfStep;

/// How the least-squares problem of one row or column is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inner {
    /// By the Gram matrix and Cholesky: `n_j k² + k³/3` operations for n_j entries.
    Exact,
    /// A fixed number of steps of conjugate gradients, `4 n_j k` operations each and as many to begin with. From a warm start
    /// 2 or 3 are as good as exact.
    ConjugateGradient {
        /// Steps.
        iterations: usize,
    },
    /// Conjugate gradients until the gradient is 0.1 times the relative residual of the iteration (the accuracy ε_t that the
    /// theorem needs). Where they stall on an ill-conditioned problem (κ > 5 estimated after 5 steps, n_j ≥ 8 k) a sketch
    /// preconditions the rest.
    Adaptive {
        /// The most steps.
        max_iterations: usize,
    },
    /// Conjugate gradients preconditioned by a sketch of `oversampling · k` rows: `O(log 1/ε)` steps whatever the condition
    /// number, at the price of a QR decomposition of `oversampling k³` for each row and column.
    Sketched {
        /// Steps.
        iterations: usize,
        /// Rows of the sketch for each column of the factor.
        oversampling: usize,
    },
}

/// Matrix completion by alternating minimisation.
///
/// Memory: 24 bytes an entry, and `2 (m + n) k` numbers. Time an iteration: `8 |Ω| k` operations for each inner step,
/// and `4 (m + n) k²` to orthonormalise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatrixCompletion {
    /// k, from 1 to the smaller side. Default: 10.
    pub rank: usize,
    /// The most iterations T, each a step for V and one for U. Default: 50.
    pub iterations: usize,
    /// Stops at this relative residual ‖P_Ω(UVᵀ − M)‖ / ‖P_Ω M‖. Default: 1e-8.
    pub tolerance: f64,
    /// Stops where three iterations together improve the residual by less than this share; 0 never does. Default: 0.01.
    pub improvement: f64,
    /// How rows and columns are solved. Default: adaptive, at most 30 steps.
    pub inner: Inner,
    /// Whether a row's problem starts where the iteration before ended, instead of at zero. A fixed number of steps from zero
    /// stalls: the outer error cannot fall below the inner one. Default: true.
    pub warm_start: bool,
    /// λ: adds λ n_j ‖v_j‖² to the problem of a row or column with n_j entries (the weighted regularisation of Zhou et al.,
    /// 2008); for noisy data such as ratings, where 0.02 to 0.2 is usual. Default: 0.
    pub ridge: f64,
    /// What is subtracted before and added after. Default: nothing.
    pub centre: Centre,
    /// The share of the entries that is kept aside to measure the error, from 0 up to but without 1. Default: 0.05.
    pub holdout: f64,
    /// μ, at least 1: entries of the first U above 2 μ √(k/m) are set to zero. Default: estimated, which cuts nothing.
    pub incoherence: Option<f64>,
    /// Passes of subspace iteration for the first U. Default: 5.
    pub power_iterations: usize,
    /// Draws a fresh part of the entries for every half step, as the theorem does; needs 2 T + 1 times the data, and ends
    /// after exactly `iterations`. Default: false, all entries serve every step.
    pub split: bool,
    /// Adds Gaussian noise of this relative size to every solution of a row or column: for studying robustness. Default: 0.
    pub perturbation: f64,
    /// Draws the held-out entries, the first projection, sketches and parts. Default: 0.
    pub seed: Seed,
}

impl Default for MatrixCompletion {
    fn default() -> Self {
        Self {
            rank: 10,
            iterations: 50,
            tolerance: 1e-8,
            improvement: 0.01,
            inner: Inner::Adaptive { max_iterations: 30 },
            warm_start: true,
            ridge: 0.0,
            centre: Centre::None,
            holdout: 0.05,
            incoherence: None,
            power_iterations: 5,
            split: false,
            perturbation: 0.0,
            seed: Seed(0),
        }
    }
}

/// Why the iterations ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The residual fell to the tolerance.
    Tolerance,
    /// Three iterations improved it by too little.
    NoImprovement,
    /// All iterations were done.
    Iterations,
}

/// The completed matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// U, `[m, k]`.
    pub u: Mat<f64>,
    /// V, `[n, k]`.
    pub v: Mat<f64>,
    /// What [`Completion::predict`] adds to U Vᵀ.
    pub centring: Centring,
    /// The relative residual on the entries after each iteration.
    pub residuals: Vec<f64>,
    /// Why it ended.
    pub ending: Ending,
    /// The root of the mean squared error on the held-out entries, and their number.
    pub held_out: Option<HeldOut>,
    /// Steps of conjugate gradients, over all rows, columns and iterations.
    pub inner_steps: usize,
    /// The share of the first U that was cut.
    pub clipped: f64,
    /// What a user should know: rows or columns with too few entries.
    pub warnings: Vec<String>,
}

/// The error on entries that took no part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Root mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// The root mean squared error of the mean of the other entries: what there is to beat.
    pub rmse_of_mean: f64,
    /// How many entries.
    pub count: usize,
}

impl Completion {
    /// The matrix at (row, column).
    ///
    /// # Errors
    /// [`Error::Parameter`] outside of the matrix.
    pub fn predict(&self, row: usize, column: usize) -> Result<f64> {
        for (name, index, size) in [("row", row, self.u.nrows()), ("column", column, self.v.nrows())] {
            if index >= size {
                return Err(Error::parameter(name, index, format!("below {size}")));
            }
        }
        let product: f64 = (0..self.u.ncols()).map(|c| self.u[(row, c)] * self.v[(column, c)]).sum();
        Ok(product + self.centring.at(row, column))
    }
}

impl MatrixCompletion {
    /// Completes the matrix.
    ///
    /// # Errors
    /// [`Error::Parameter`] for settings out of range, [`Error::Data`] for fewer than k (m + n − k) entries without a ridge
    /// (no method could tell the matrix then), [`Error::DidNotConverge`] where numbers grow beyond all bounds, and
    /// [`Error::Stopped`].
    pub fn solve(&self, observed: &Observed, progress: &dyn Progress) -> Result<Completion> {
        self.check(observed)?;
        // The theory has no more rows than columns.
        if observed.rows() > observed.columns() {
            let found = self.fit(&observed.transposed(), progress)?;
            return Ok(Completion { u: found.v, v: found.u, centring: found.centring.transposed(), ..found });
        }
        self.fit(observed, progress)
    }

    fn check(&self, observed: &Observed) -> Result<()> {
        let (m, n, k) = (observed.rows(), observed.columns(), self.rank);
        if k == 0 || k > m.min(n) {
            return Err(Error::parameter("rank", k, format!("from 1 to {}, the smaller side", m.min(n))));
        }
        let limits = [
            ("tolerance", self.tolerance, 0.0, f64::MAX, "a finite number, at least 0"),
            ("improvement", self.improvement, 0.0, 0.999_999, "at least 0, below 1"),
            ("ridge", self.ridge, 0.0, f64::MAX, "a finite number, at least 0"),
            ("holdout", self.holdout, 0.0, 0.999_999, "at least 0, below 1"),
            ("perturbation", self.perturbation, 0.0, f64::MAX, "a finite number, at least 0"),
            ("incoherence", self.incoherence.unwrap_or(1.0), 1.0, f64::MAX, "a finite number, at least 1"),
        ];
        for (name, value, low, high, wanted) in limits {
            if !(low..=high).contains(&value) {
                return Err(Error::parameter(name, value, wanted));
            }
        }
        let steps = match self.inner {
            Inner::Exact => 1,
            Inner::ConjugateGradient { iterations } => iterations,
            Inner::Adaptive { max_iterations } => max_iterations,
            Inner::Sketched { iterations, oversampling } => iterations.min(oversampling),
        };
        if steps == 0 || self.iterations == 0 {
            return Err(Error::parameter("iterations", 0, "at least 1, inner ones too"));
        }
        let needed = k * (m + n - k);
        if observed.len() < needed && self.ridge == 0.0 {
            let problem = format!(
                "{} entries, but a {m} x {n} matrix of rank {k} has {needed} degrees of freedom",
                observed.len()
            );
            return Err(Error::data("entries", problem).with_help("lower the rank, or set a ridge"));
        }
        Ok(())
    }

    fn fit(&self, observed: &Observed, progress: &dyn Progress) -> Result<Completion> {
        let (training, held_out) = self.hold_out(observed)?;
        let centring = self.centre.of(&training);
        let centred = match self.centre {
            Centre::None => training,
            _ => training.map(|i, j, value| value - centring.at(i, j)),
        };
        let parts = if self.split { split(self, &centred)? } else { Vec::new() };
        let mut run = Run::new(self, &centred, &parts)?;
        progress.begin("completion", self.iterations as u64, Unit::Steps);
        let ending = run.iterate(progress);
        progress.end();
        let ending = ending?;
        let mut found = Completion {
            u: run.u.to_mat(),
            v: run.v.to_mat(),
            centring,
            residuals: run.residuals,
            ending,
            held_out: None,
            inner_steps: run.inner_steps,
            clipped: run.clipped,
            warnings: warnings(&centred, self.rank),
        };
        found.held_out = error_on(&held_out, &found, observed)?;
        Ok(found)
    }

    fn hold_out(&self, observed: &Observed) -> Result<(Observed, Vec<Entry>)> {
        let count = (self.holdout * observed.len() as f64).round() as usize;
        if count == 0 {
            return Ok((observed.clone(), Vec::new()));
        }
        let mut entries: Vec<Entry> = observed.entries().collect();
        entries.shuffle(&mut self.seed.derive("held out").rng());
        let held_out = entries.split_off(entries.len() - count.min(entries.len() - 1));
        Ok((Observed::new(observed.rows(), observed.columns(), &entries)?, held_out))
    }
}

fn error_on(held_out: &[Entry], found: &Completion, all: &Observed) -> Result<Option<HeldOut>> {
    if held_out.is_empty() {
        return Ok(None);
    }
    let count = held_out.len() as f64;
    let sum: f64 = all.entries().map(|e| e.value).sum();
    let held: f64 = held_out.iter().map(|e| e.value).sum();
    let mean = (sum - held) / (all.len() - held_out.len()) as f64;
    let (mut square, mut absolute, mut of_mean) = (0.0, 0.0, 0.0);
    for entry in held_out {
        let error = found.predict(entry.row as usize, entry.column as usize)? - entry.value;
        square += error * error / count;
        absolute += error.abs() / count;
        of_mean += (entry.value - mean).powi(2) / count;
    }
    let rmse_of_mean = of_mean.sqrt();
    Ok(Some(HeldOut { rmse: square.sqrt(), mae: absolute, rmse_of_mean, count: held_out.len() }))
}

fn warnings(observed: &Observed, rank: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    for (what, lines) in [("rows", &observed.by_row), ("columns", &observed.by_column)] {
        let counts = || (0..lines.lines()).map(|i| lines.line(i).0.len());
        let (empty, few) = (counts().filter(|c| *c == 0).count(), counts().filter(|c| *c > 0 && *c < rank).count());
        if empty > 0 {
            warnings.push(format!("{empty} {what} without an entry: their factors are zero"));
        }
        if few > 0 {
            warnings.push(format!("{few} {what} with fewer than {rank} entries (the rank): a ridge would steady them"));
        }
    }
    warnings
}

/// The iterations of one matrix that is not taller than wide.
struct Run<'a> {
    settings: &'a MatrixCompletion,
    observed: &'a Observed,
    /// The parts for each half step, where the entries are split.
    parts: &'a [Observed],
    norm: f64,
    u: Factor,
    v: Factor,
    /// Where the next V starts.
    start: Factor,
    residuals: Vec<f64>,
    inner_steps: usize,
    clipped: f64,
}

impl<'a> Run<'a> {
    fn new(settings: &'a MatrixCompletion, observed: &'a Observed, parts: &'a [Observed]) -> Result<Self> {
        let first = parts.first().unwrap_or(observed);
        let norm = observed.norm();
        let start::Start { mut u, clipped } = start::spectral(settings, first)?;
        let mut start = Factor::zeros(observed.columns(), settings.rank);
        if settings.ridge > 0.0 {
            // Factors of like size: their rows' products are as large as the entries.
            let size = (norm / (observed.len() as f64).sqrt()).sqrt().max(f64::MIN_POSITIVE);
            u.scale(size * (observed.rows() as f64 / settings.rank as f64).sqrt());
        } else {
            // p̂⁻¹ P_Ω(M)ᵀ U.
            start = first.by_column.multiply(&u);
            start.scale((observed.rows() * observed.columns()) as f64 / first.len() as f64);
        }
        let v = Factor::zeros(observed.columns(), settings.rank);
        Ok(Self { settings, observed, parts, norm, u, v, start, residuals: Vec::new(), inner_steps: 0, clipped })
    }

    fn iterate(&mut self, progress: &dyn Progress) -> Result<Ending> {
        let settings = self.settings;
        if self.norm == 0.0 {
            // Nothing is left to explain.
            self.u.scale(0.0);
            self.residuals.push(0.0);
            return Ok(Ending::Tolerance);
        }
        for t in 0..settings.iterations {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            match settings.ridge > 0.0 {
                true => self.regularised(t)?,
                false => self.orthonormal(t)?,
            }
            let residual = self.observed.residual_norm(&self.u, &self.v) / self.norm;
            self.residuals.push(residual);
            progress.note(&format!("residual {residual:.2e}"));
            progress.advance(1);
            if !residual.is_finite() {
                return Err(Error::DidNotConverge {
                    what: "matrix completion".into(),
                    measure: "relative residual".into(),
                    reached: residual,
                    tolerance: settings.tolerance,
                    iterations: t + 1,
                });
            }
            if settings.split {
                continue;
            }
            if residual <= settings.tolerance {
                return Ok(Ending::Tolerance);
            }
            if t >= 3 && residual > (1.0 - settings.improvement) * self.residuals[t - 3] {
                return Ok(Ending::NoImprovement);
            }
        }
        Ok(Ending::Iterations)
    }

    /// V given orthonormal U, then U given orthonormal V. After V = Q R the product is U Rᵀ Qᵀ, so U starts from U Rᵀ, and
    /// likewise for V: every start has the residual that was reached.
    fn orthonormal(&mut self, t: usize) -> Result<()> {
        let mut v = self.begin(&self.start);
        let (columns, rows) = (self.part(t + 1), self.part(self.settings.iterations + t + 1));
        let step = self.half_step(t, "V");
        self.inner_steps += step.run(&columns.by_column, &self.u, &mut v)?.inner_steps;
        self.perturb(&mut v, t, "V");
        let (q, r) = v.orthonormalized()?;
        let mut u = self.begin(&self.u.times(r.transpose()));
        let step = self.half_step(t, "U");
        self.inner_steps += step.run(&rows.by_row, &q, &mut u)?.inner_steps;
        self.perturb(&mut u, t, "U");
        let (next, r) = u.orthonormalized()?;
        self.start = q.times(r.transpose());
        // What the iteration found is U Qᵀ; kept as orthonormal U and the rest.
        (self.u, self.v) = (next, self.start.clone());
        Ok(())
    }

    /// With a ridge both factors keep their size, since it weighs it.
    fn regularised(&mut self, t: usize) -> Result<()> {
        let mut v = self.begin(&self.v);
        let (columns, rows) = (self.part(t + 1), self.part(self.settings.iterations + t + 1));
        let step = self.half_step(t, "V");
        self.inner_steps += step.run(&columns.by_column, &self.u, &mut v)?.inner_steps;
        self.perturb(&mut v, t, "V");
        let mut u = self.begin(&self.u);
        let step = self.half_step(t, "U");
        self.inner_steps += step.run(&rows.by_row, &v, &mut u)?.inner_steps;
        self.perturb(&mut u, t, "U");
        (self.u, self.v) = (u, v);
        Ok(())
    }

    fn begin(&self, warm: &Factor) -> Factor {
        if self.settings.warm_start { warm.clone() } else { Factor::zeros(warm.rows(), warm.rank()) }
    }

    fn part(&self, index: usize) -> &'a Observed {
        self.parts.get(index).unwrap_or(self.observed)
    }

    fn half_step(&self, t: usize, side: &str) -> HalfStep {
        let settings = self.settings;
        // In the first iterations of a cold, regularised start more than a few steps are well spent.
        let inner = match settings.inner {
            Inner::ConjugateGradient { iterations } if t == 0 && settings.ridge > 0.0 => {
                Inner::ConjugateGradient { iterations: iterations.max(10) }
            }
            inner => inner,
        };
        HalfStep {
            inner,
            ridge: settings.ridge,
            accuracy: 0.1 * self.residuals.last().copied().unwrap_or(1.0),
            seed: settings.seed.derive(side).nth(t as u64),
        }
    }

    fn perturb(&self, factor: &mut Factor, t: usize, side: &str) {
        let eta = self.settings.perturbation;
        if eta == 0.0 {
            return;
        }
        let (rank, seed) = (factor.rank(), self.settings.seed.derive("perturbation").derive(side).nth(t as u64));
        for i in 0..factor.rows() {
            let mut rng = seed.nth(i as u64).rng();
            let row = &mut factor.row_mut(i)[..rank];
            let size = eta * (row.iter().map(|v| v * v).sum::<f64>() / rank as f64).sqrt();
            row.iter_mut().for_each(|v| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *v += size * normal;
            });
        }
    }
}

/// Every entry into one of 2 T + 1 parts.
fn split(settings: &MatrixCompletion, observed: &Observed) -> Result<Vec<Observed>> {
    let parts = 2 * settings.iterations + 1;
    let mut rng = settings.seed.derive("split").rng();
    let mut entries: Vec<Vec<Entry>> = vec![Vec::new(); parts];
    for entry in observed.entries() {
        entries[rng.random_range(0..parts)].push(entry);
    }
    if let Some(short) = entries.iter().map(Vec::len).min().filter(|short| *short < settings.rank) {
        let problem = format!("{} entries in {parts} parts leave {short} in one of them", observed.len());
        return Err(Error::data("split", problem).with_help("fewer iterations, or no split"));
    }
    entries.iter().map(|part| Observed::new(observed.rows(), observed.columns(), part)).collect()
}

#[cfg(test)]
mod tests;
