//! Losses of linear models: least squares, logistic, multi-class logistic.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::MatMut;
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::smooth::{Smooth, Work};

/// Entries of a design from which on a product with it is shared among threads.
const WORTH_SHARING: usize = 100_000;
/// Blocks up to this size have their Gram matrix computed pair by pair.
const PAIRWISE: usize = 12;
/// Samples that one thread takes at a time.
const PIECE: usize = 4096;
/// The kept gradient is computed anew when keeping it has cost so many times that.
const REFRESH: usize = 8;

/// How a linear model is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// ½ (z − y)².
    LeastSquares,
    /// log(1 + exp(−y z)), y = ±1.
    Logistic,
    /// log Σ exp(z_c) − z_y, y from 0 to the number of classes − 1.
    Softmax {
        /// The number of classes, at least 2.
        classes: usize,
    },
}

/// f(x) = Σ_r loss((A x)_r, y_r) + ½ Σ_i ridge_i x_i²: a linear model's loss over its samples, summed.
///
/// For [`Loss::Softmax`] x is features × classes, the classes of a feature side by side: variable f · classes + c.
///
/// Costs: an update of a block touches the samples in which its features are not zero; the whole gradient is kept through
/// the rows of those samples only. Bounds: L_i = |a_i|² (least squares), |a_i|²/4 (logistic; multi-class for single
/// variables), and for blocks A_b'A_b times 1, 1/4, or (1[c = c'] − 1/k')/2 with k' one more than the classes in the block
/// (at most all), Böhning's bound.
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::block_coordinate::{BlockCoordinateDescent, Design, LinearModel, Penalty};
/// use faer::mat;
///
/// let a = Design::dense(mat![[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]].as_ref())?;
/// let model = LinearModel::least_squares(a, vec![1.0, 3.0, 5.0])?;
/// let fit = BlockCoordinateDescent::sparse().minimize(&model, &Penalty::none(2), &Silent)?;
/// assert!((fit.x[0] - 1.0).abs() < 1e-5 && (fit.x[1] - 2.0).abs() < 1e-5);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LinearModel {
    design: Design,
    loss: Loss,
    /// Numbers z for each sample.
    margins: usize,
    targets: Vec<f64>,
    ridge: Vec<f64>,
    constants: Vec<f64>,
}

impl LinearModel {
    /// ½ |A x − y|². Fails with [`Error::Shape`] unless there are as many targets as samples, [`Error::NotFinite`].
    pub fn least_squares(design: Design, targets: Vec<f64>) -> Result<Self> {
        Self::new(design, targets, Loss::LeastSquares)
    }

    /// Σ log(1 + exp(−y a'x)). Fails as [`LinearModel::least_squares`], and with [`Error::Data`] on a label that is not ±1.
    pub fn logistic(design: Design, labels: Vec<f64>) -> Result<Self> {
        if let Some((i, label)) = labels.iter().enumerate().find(|(_, y)| y.abs() != 1.0) {
            return Err(Error::data("labels", format!("label {i} is {label}, wanted -1 or 1")));
        }
        Self::new(design, labels, Loss::Logistic)
    }

    /// Multi-class logistic regression. Fails as [`LinearModel::least_squares`], with [`Error::Parameter`] on fewer than 2
    /// classes, and with [`Error::Data`] on a label that is not below `classes`.
    pub fn softmax(design: Design, labels: &[usize], classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::parameter("classes", classes, "at least 2"));
        }
        if let Some((i, label)) = labels.iter().enumerate().find(|(_, y)| **y >= classes) {
            return Err(Error::data(
                "labels",
                format!("label {i} is {label}, wanted a class from 0 to {}", classes - 1),
            ));
        }
        Self::new(design, labels.iter().map(|y| *y as f64).collect(), Loss::Softmax { classes })
    }

    fn new(design: Design, targets: Vec<f64>, loss: Loss) -> Result<Self> {
        if targets.len() != design.rows() {
            return Err(Error::shape("targets", [targets.len()], format!("[{}], one a sample", design.rows())));
        }
        check::finite_slice("targets", &targets)?;
        let margins = if let Loss::Softmax { classes } = loss { classes } else { 1 };
        let scale = if loss == Loss::LeastSquares { 1.0 } else { 0.25 };
        let square = |j: usize| design.by_column().line(j).1.iter().map(|a| a * a).sum::<f64>();
        let constants: Vec<f64> =
            (0..design.columns()).flat_map(|j| std::iter::repeat_n(scale * square(j), margins)).collect();
        let ridge = vec![0.0; constants.len()];
        Ok(Self { design, loss, margins, targets, ridge, constants })
    }

    /// The same with ½ λ Σ x_i² added over the variables that are not in `free` (an intercept, say).
    ///
    /// Fails with [`Error::Parameter`] unless λ is finite and at least 0.
    pub fn with_ridge(mut self, lambda: f64, free: &[usize]) -> Result<Self> {
        check::non_negative("l2", lambda)?;
        for i in 0..self.ridge.len() {
            let new = if free.contains(&i) { 0.0 } else { lambda };
            // Variables that nothing depends on stay so: they are 0 anyway.
            if self.constants[i] > 0.0 {
                self.constants[i] += new - self.ridge[i];
            }
            self.ridge[i] = new;
        }
        Ok(self)
    }

    /// The data.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    fn feature(&self, i: usize) -> usize {
        i / self.margins
    }

    /// The loss of sample r at its margins.
    fn row_value(&self, r: usize, z: &[f64]) -> f64 {
        let y = self.targets[r];
        match self.loss {
            Loss::LeastSquares => 0.5 * (z[0] - y).powi(2),
            Loss::Logistic => softplus(-y * z[0]),
            Loss::Softmax { .. } => {
                let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln() - z[y as usize]
            }
        }
    }

    /// Its derivative by the margins.
    fn row_slope(&self, r: usize, z: &[f64], slope: &mut [f64]) {
        let y = self.targets[r];
        match self.loss {
            Loss::LeastSquares => slope[0] = z[0] - y,
            Loss::Logistic => slope[0] = -y / (1.0 + (y * z[0]).exp()),
            Loss::Softmax { .. } => {
                let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut sum = 0.0;
                for (s, z) in slope.iter_mut().zip(z) {
                    *s = (z - top).exp();
                    sum += *s;
                }
                slope.iter_mut().for_each(|s| *s /= sum);
                slope[y as usize] -= 1.0;
            }
        }
    }

    /// By how much the loss of sample r changes when its margins z move by u: from the slope, so that nothing cancels.
    fn row_change(&self, r: usize, z: &[f64], slope: &[f64], u: &[f64]) -> f64 {
        if u.iter().all(|u| *u == 0.0) {
            return 0.0;
        }
        let y = self.targets[r];
        match self.loss {
            Loss::LeastSquares => u[0] * (slope[0] + 0.5 * u[0]),
            Loss::Logistic => {
                let up = -y * u[0];
                if up > 30.0 {
                    softplus(-y * (z[0] + u[0])) - softplus(-y * z[0])
                } else {
                    (up.exp_m1() * slope[0].abs()).ln_1p()
                }
            }
            Loss::Softmax { .. } => {
                let target = y as usize;
                if u.iter().any(|u| *u > 30.0) {
                    let moved: Vec<f64> = z.iter().zip(u).map(|(z, u)| z + u).collect();
                    return self.row_value(r, &moved) - self.row_value(r, z);
                }
                let inner = slope.iter().zip(u).map(|(s, u)| s * u.exp_m1()).sum::<f64>() + u[target].exp_m1();
                inner.ln_1p() - u[target]
            }
        }
    }

    /// Puts A_b step into `work.change` and the samples that it touches into `work.touched`.
    fn spread(&self, work: &mut Work, block: &[usize], step: &[f64]) {
        let k = self.margins;
        work.touched.clear();
        // Where many samples are touched, all are: that is cheaper than to find out which.
        let entries: usize = block.iter().map(|&i| self.design.by_column().line(self.feature(i)).0.len()).sum();
        let full = 4 * entries > self.design.rows();
        if full {
            work.touched.extend(0..self.design.rows() as u32);
        }
        for (&i, &d) in block.iter().zip(step).filter(|(_, d)| **d != 0.0) {
            let (rows, values) = self.design.by_column().line(self.feature(i));
            let class = i % k;
            for (r, a) in rows.iter().zip(values) {
                work.change[*r as usize * k + class] += a * d;
            }
            if !full {
                work.touched.extend_from_slice(rows);
            }
        }
        if !full && block.len() > 1 {
            work.touched.sort_unstable();
            work.touched.dedup();
        }
    }

    /// Leaves `work.change` zero again.
    fn clear(&self, work: &mut Work) {
        let k = self.margins;
        for r in &work.touched {
            work.change[*r as usize * k..][..k].fill(0.0);
        }
        work.touched.clear();
    }

    fn ridge_change(&self, work: &Work, block: &[usize], step: &[f64]) -> f64 {
        block.iter().zip(step).map(|(&i, d)| self.ridge[i] * d * (work.x[i] + 0.5 * d)).sum()
    }

    /// Adds Σ_r weight(r, i, j) a_ri a_rj for all pairs of a block to its Gram matrix. The weight may depend on the sample
    /// and on the classes of the pair.
    fn gram(
        &self,
        work: &mut Work,
        block: &[usize],
        weight: impl Fn(usize, usize, usize) -> f64,
        mut h: MatMut<'_, f64>,
    ) {
        let columns = self.design.by_column();
        h.fill(0.0);
        if block.len() <= PAIRWISE {
            for (p, &i) in block.iter().enumerate() {
                let (rows, values) = columns.line(self.feature(i));
                rows.iter().zip(values).for_each(|(r, a)| work.change[*r as usize] = *a);
                for (q, &j) in block.iter().enumerate().skip(p) {
                    let (others, others_values) = columns.line(self.feature(j));
                    let mut sum = 0.0;
                    for (r, b) in others.iter().zip(others_values) {
                        let a = work.change[*r as usize];
                        if a != 0.0 {
                            sum += weight(*r as usize, i, j) * a * b;
                        }
                    }
                    h[(p, q)] = sum;
                    h[(q, p)] = sum;
                }
                rows.iter().for_each(|r| work.change[*r as usize] = 0.0);
            }
            return;
        }
        // The block's entries by rows, by counting.
        let mut start = vec![0_usize; self.design.rows() + 1];
        for &i in block {
            columns.line(self.feature(i)).0.iter().for_each(|r| start[*r as usize + 1] += 1);
        }
        (0..self.design.rows()).for_each(|r| start[r + 1] += start[r]);
        let mut entries = vec![(0_u32, 0.0); start[self.design.rows()]];
        let mut next = start.clone();
        for (p, &i) in block.iter().enumerate() {
            let (rows, values) = columns.line(self.feature(i));
            for (r, a) in rows.iter().zip(values) {
                entries[next[*r as usize]] = (p as u32, *a);
                next[*r as usize] += 1;
            }
        }
        for r in 0..self.design.rows() {
            let row = &entries[start[r]..start[r + 1]];
            for (at, (p, a)) in row.iter().enumerate() {
                let mut column = h.rb_mut().col_mut(*p as usize);
                for (q, b) in &row[at..] {
                    column[*q as usize] += weight(r, block[*p as usize], block[*q as usize]) * a * b;
                }
            }
        }
        for p in 0..block.len() {
            for q in p + 1..block.len() {
                h[(p, q)] = h[(q, p)];
            }
        }
    }

    fn add_ridge(&self, block: &[usize], mut h: MatMut<'_, f64>) {
        block.iter().enumerate().for_each(|(p, &i)| h[(p, p)] += self.ridge[i]);
    }
}

fn softplus(t: f64) -> f64 {
    t.max(0.0) + (-t.abs()).exp().ln_1p()
}

/// k': one more than the classes of a block, at most all.
fn classes_seen(block: &[usize], k: usize) -> f64 {
    let mut seen = vec![false; k];
    block.iter().for_each(|i| seen[i % k] = true);
    (seen.iter().filter(|s| **s).count() + 1).min(k) as f64
}

impl Smooth for LinearModel {
    fn size(&self) -> usize {
        self.constants.len()
    }

    fn constants(&self) -> &[f64] {
        &self.constants
    }

    fn start(&self, x: Vec<f64>) -> Work {
        let (m, k) = (self.design.rows(), self.margins);
        let mut work = Work::new(x, m * k);
        for i in 0..work.x.len() {
            let x = work.x[i];
            if x != 0.0 {
                let (rows, values) = self.design.by_column().line(self.feature(i));
                rows.iter().zip(values).for_each(|(r, a)| work.product[*r as usize * k + i % k] += a * x);
            }
        }
        for r in 0..m {
            self.row_slope(r, &work.product[r * k..(r + 1) * k], &mut work.slope[r * k..(r + 1) * k]);
        }
        work
    }

    fn value(&self, work: &Work) -> f64 {
        let k = self.margins;
        let rows: f64 = (0..self.design.rows()).map(|r| self.row_value(r, &work.product[r * k..(r + 1) * k])).sum();
        rows + work.x.iter().zip(&self.ridge).map(|(x, l)| 0.5 * l * x * x).sum::<f64>()
    }

    fn gradient(&self, work: &Work, block: &[usize], gradient: &mut [f64]) {
        if work.fresh {
            block.iter().zip(gradient).for_each(|(&i, g)| *g = work.gradient[i]);
            return;
        }
        let k = self.margins;
        for (&i, g) in block.iter().zip(gradient) {
            let slope = match k {
                1 => self.design.by_column().dot(i, &work.slope),
                _ => {
                    let (rows, values) = self.design.by_column().line(i / k);
                    rows.iter().zip(values).map(|(r, a)| a * work.slope[*r as usize * k + i % k]).sum()
                }
            };
            *g = slope + self.ridge[i] * work.x[i];
        }
    }

    fn full_gradient(&self, work: &mut Work) {
        work.tracked = true;
        if work.fresh {
            return;
        }
        let k = self.margins;
        let Work { gradient, slope, x, .. } = work;
        let fill = |j: usize, out: &mut [f64]| {
            if k == 1 {
                out[0] = self.design.by_column().dot(j, slope);
            } else {
                out.fill(0.0);
                let (rows, values) = self.design.by_column().line(j);
                for (r, a) in rows.iter().zip(values) {
                    out.iter_mut().zip(&slope[*r as usize * k..][..k]).for_each(|(g, s)| *g += a * s);
                }
            }
            for (c, g) in out.iter_mut().enumerate() {
                *g += self.ridge[j * k + c] * x[j * k + c];
            }
        };
        if self.design.entries() * k > WORTH_SHARING {
            gradient.par_chunks_mut(k).enumerate().with_min_len(16).for_each(|(j, out)| fill(j, out));
        } else {
            gradient.chunks_mut(k).enumerate().for_each(|(j, out)| fill(j, out));
        }
        (work.fresh, work.drift) = (true, 0);
    }

    fn bound(&self, work: &mut Work, block: &[usize], mut h: MatMut<'_, f64>) {
        match self.loss {
            Loss::LeastSquares => self.gram(work, block, |_, _, _| 1.0, h.rb_mut()),
            Loss::Logistic => self.gram(work, block, |_, _, _| 0.25, h.rb_mut()),
            Loss::Softmax { classes } => {
                let share = 1.0 / classes_seen(block, classes);
                let weight =
                    move |_: usize, i: usize, j: usize| 0.5 * (f64::from(u8::from(i % classes == j % classes)) - share);
                self.gram(work, block, weight, h.rb_mut());
            }
        }
        self.add_ridge(block, h);
    }

    fn hessian(&self, work: &mut Work, block: &[usize], mut h: MatMut<'_, f64>) {
        let slope = std::mem::take(&mut work.slope);
        match self.loss {
            Loss::LeastSquares => self.gram(work, block, |_, _, _| 1.0, h.rb_mut()),
            Loss::Logistic => {
                let weight = |r: usize, _: usize, _: usize| slope[r].abs() * (1.0 - slope[r].abs());
                self.gram(work, block, weight, h.rb_mut());
            }
            Loss::Softmax { classes: k } => {
                let p = |r: usize, c: usize| slope[r * k + c] + f64::from(u8::from(self.targets[r] as usize == c));
                let weight = |r: usize, i: usize, j: usize| {
                    let (c, other) = (i % k, j % k);
                    p(r, c) * (f64::from(u8::from(c == other)) - p(r, other))
                };
                self.gram(work, block, weight, h.rb_mut());
            }
        }
        work.slope = slope;
        self.add_ridge(block, h);
    }

    fn bound_times(&self, work: &mut Work, d: &[f64], product: &mut [f64]) {
        let k = self.margins;
        let chosen: Vec<usize> = (0..d.len()).filter(|i| d[*i] != 0.0).collect();
        let step: Vec<f64> = chosen.iter().map(|i| d[*i]).collect();
        self.spread(work, &chosen, &step);
        match self.loss {
            Loss::LeastSquares => {}
            Loss::Logistic => work.touched.iter().for_each(|r| work.change[*r as usize] *= 0.25),
            Loss::Softmax { .. } => {
                for r in &work.touched {
                    let u = &mut work.change[*r as usize * k..][..k];
                    let mean = u.iter().sum::<f64>() / k as f64;
                    u.iter_mut().for_each(|u| *u = 0.5 * (*u - mean));
                }
            }
        }
        product.iter_mut().zip(d.iter().zip(&self.ridge)).for_each(|(p, (d, l))| *p = l * d);
        let rows = self.design.by_row();
        for r in &work.touched {
            let (features, values) = rows.line(*r as usize);
            for c in 0..k {
                let u = work.change[*r as usize * k + c];
                if u != 0.0 {
                    features.iter().zip(values).for_each(|(j, a)| product[*j as usize * k + c] += a * u);
                }
            }
        }
        self.clear(work);
    }

    fn change(&self, work: &mut Work, block: &[usize], step: &[f64]) -> f64 {
        let k = self.margins;
        self.spread(work, block, step);
        let ridge = self.ridge_change(work, block, step);
        let Work { touched, product, slope, change, .. } = &*work;
        let of_rows = |rows: &[u32]| -> f64 {
            rows.iter()
                .map(|r| {
                    let own = *r as usize * k..(*r as usize + 1) * k;
                    self.row_change(*r as usize, &product[own.clone()], &slope[own.clone()], &change[own])
                })
                .sum()
        };
        // Sums of pieces, added in order: the same whatever the number of threads.
        let sums: Vec<f64> = match touched.len() > PIECE {
            true => touched.par_chunks(PIECE).map(of_rows).collect(),
            false => vec![of_rows(touched)],
        };
        self.clear(work);
        ridge + sums.iter().sum::<f64>()
    }

    fn advance(&self, work: &mut Work, block: &[usize], step: &[f64]) {
        let k = self.margins;
        self.spread(work, block, step);
        for (&i, d) in block.iter().zip(step) {
            work.x[i] += d;
        }
        let by_row = self.design.by_row();
        let cost: usize = work.touched.iter().map(|r| by_row.line(*r as usize).0.len()).sum();
        work.drift += cost;
        // Where most rows are touched, or much was added up, the gradient is computed anew when it is wanted next.
        let entries = self.design.entries();
        let keep = work.tracked && work.fresh && 2 * cost < entries && work.drift < REFRESH * entries.max(1000);
        work.fresh = keep;
        if !keep && work.touched.len() == self.design.rows() {
            let Work { product, slope, change, .. } = &mut *work;
            let rows = product.par_chunks_mut(PIECE * k).zip(slope.par_chunks_mut(PIECE * k));
            rows.zip(change.par_chunks_mut(PIECE * k)).enumerate().for_each(|(piece, ((product, slope), change))| {
                let rows = product.chunks_exact_mut(k).zip(slope.chunks_exact_mut(k)).zip(change.chunks_exact_mut(k));
                for (at, ((z, s), u)) in rows.enumerate().filter(|(_, (_, u))| u.iter().any(|u| *u != 0.0)) {
                    z.iter_mut().zip(u.iter()).for_each(|(z, u)| *z += u);
                    u.fill(0.0);
                    self.row_slope(piece * PIECE + at, z, s);
                }
            });
            work.touched.clear();
            return;
        }
        let mut before = vec![0.0; k];
        for at in 0..work.touched.len() {
            let r = work.touched[at] as usize;
            let own = r * k..(r + 1) * k;
            for at in own.clone() {
                work.product[at] += work.change[at];
                work.change[at] = 0.0;
            }
            before.copy_from_slice(&work.slope[own.clone()]);
            self.row_slope(r, &work.product[own.clone()], &mut work.slope[own.clone()]);
            if keep {
                let (features, values) = by_row.line(r);
                for (c, old) in before.iter().enumerate() {
                    let turned = work.slope[r * k + c] - old;
                    if turned != 0.0 {
                        let kept = features.iter().zip(values);
                        kept.for_each(|(j, a)| work.gradient[*j as usize * k + c] += a * turned);
                    }
                }
            }
        }
        if keep {
            block.iter().zip(step).for_each(|(&i, d)| work.gradient[i] += self.ridge[i] * d);
        }
        work.touched.clear();
    }
}
