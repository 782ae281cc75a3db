//! Linear measurements ⟨A_i, X⟩ of symmetric matrices.

use std::borrow::Cow;

use consilience_core::{Error, Result, Seed};
use consilience_linalg::check;
use faer::{Mat, MatRef};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::packed_size;

/// Measurements that one accumulator is for: sums are in this order whatever the number of threads.
const GROUP: usize = 64;

/// What a residual becomes before it is projected back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// Its sign, 0 for 0: the sub-gradient of the absolute loss, which is returned.
    Sign,
    /// Itself: the gradient of half the squared loss, which is returned.
    Value,
}

/// m symmetric matrices A_i `[d, d]` that X is seen through.
///
/// Symmetric matrices are packed: their lower triangle, column by column, `d (d + 1) / 2` numbers.
pub trait Sensing: Sync {
    /// m.
    fn len(&self) -> usize;

    /// d.
    fn size(&self) -> usize;

    /// Whether there are no measurements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A_i, packed: a view, or made anew.
    fn matrix(&self, i: usize) -> Cow<'_, [f64]>;

    /// A root mean square of ‖A_i‖_F over a few i, for scale.
    fn typical_norm(&self) -> f64 {
        let some = self.len().min(16);
        let square: f64 = (0..some).map(|i| inner_product(&self.matrix(i), &self.matrix(i), self.size())).sum();
        (square / some.max(1) as f64).sqrt()
    }

    /// One pass over the measurements: the residuals ⟨A_i, X⟩ − y_i of `doubled` (X packed, off-diagonal entries doubled), and
    /// (1/m) Σ g(residual_i) A_i into `q`, packed. Returns the mean loss.
    fn sweep(&self, doubled: &[f64], y: &[f64], residual: Residual, q: &mut [f64]) -> f64 {
        accumulate(
            self.len(),
            q,
            #[inline(always)]
            |i, q| {
                let a = self.matrix(i);
                let difference = dot(&a, doubled) - y[i];
                let (loss, weight) = judge(difference, residual);
                add(weight, &a, q);
                loss
            },
        )
    }

    /// (1/m) Σ w_i A_i into `q`, packed.
    fn back_project(&self, weights: &[f64], q: &mut [f64]) {
        accumulate(
            self.len(),
            q,
            #[inline(always)]
            |i, q| {
                add(weights[i], &self.matrix(i), q);
                0.0
            },
        );
    }

    /// ⟨A_i, X⟩ for all i.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Data`] unless `x` is symmetric of the right size.
    fn measure(&self, x: MatRef<'_, f64>) -> Result<Vec<f64>> {
        if check::symmetric("x", x)? != self.size() {
            return Err(Error::shape("x", [x.nrows(), x.ncols()], format!("[{0}, {0}]", self.size())));
        }
        let mut doubled = vec![0.0; packed_size(self.size())];
        pack(x, &mut doubled);
        Ok((0..self.len()).into_par_iter().map(|i| dot(&self.matrix(i), &doubled)).collect())
    }
}

pub(super) fn judge(difference: f64, residual: Residual) -> (f64, f64) {
    match residual {
        Residual::Sign => (difference.abs(), if difference == 0.0 { 0.0 } else { difference.signum() }),
        Residual::Value => (0.5 * difference * difference, difference),
    }
}

/// `q` ← (1/m) Σ of what `each` adds, and the mean of what it returns.
fn accumulate(count: usize, q: &mut [f64], each: impl Fn(usize, &mut [f64]) -> f64 + Sync) -> f64 {
    // A few groups at a time bound the memory; within a wave they run in parallel, and are added in their order.
    let wave = GROUP * 4 * rayon::current_num_threads().max(1);
    q.fill(0.0);
    let mut loss = 0.0;
    for first in (0..count).step_by(wave) {
        let groups: Vec<(f64, Vec<f64>)> = (first..(first + wave).min(count))
            .into_par_iter()
            .step_by(GROUP)
            .map(|start| {
                let mut part = vec![0.0; q.len()];
                let loss = pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let mut loss = 0.0;
                        for i in start..(start + GROUP).min(count) {
                            loss += each(i, &mut part);
                        }
                        loss
                    },
                );
                (loss, part)
            })
            .collect();
        for (part_loss, part) in groups {
            loss += part_loss;
            add(1.0, &part, q);
        }
    }
    let scale = 1.0 / count.max(1) as f64;
    q.iter_mut().for_each(|q| *q *= scale);
    loss * scale
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for l in 0..16 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

#[inline(always)]
fn add(weight: f64, a: &[f64], q: &mut [f64]) {
    if weight != 0.0 {
        q.iter_mut().zip(a).for_each(|(q, a)| *q += weight * a);
    }
}

/// Packs a symmetric matrix with its off-diagonal entries doubled, so that products with packed matrices are inner products.
pub(super) fn pack(x: MatRef<'_, f64>, out: &mut [f64]) {
    let d = x.nrows();
    let mut at = 0;
    for j in 0..d {
        for i in j..d {
            out[at] = if i == j { x[(i, j)] } else { x[(i, j)] + x[(j, i)] };
            at += 1;
        }
    }
}

/// A packed symmetric matrix, whole.
pub(super) fn unpack(packed: &[f64], d: usize) -> Mat<f64> {
    let mut out = Mat::zeros(d, d);
    let mut at = 0;
    for j in 0..d {
        for i in j..d {
            out[(i, j)] = packed[at];
            out[(j, i)] = packed[at];
            at += 1;
        }
    }
    out
}

/// ⟨A, B⟩ of packed matrices.
pub(super) fn inner_product(a: &[f64], b: &[f64], d: usize) -> f64 {
    let (mut sum, mut at) = (0.0, 0);
    for j in 0..d {
        for i in j..d {
            sum += a[at] * b[at] * if i == j { 1.0 } else { 2.0 };
            at += 1;
        }
    }
    sum
}

/// Measurement matrices in memory, packed: `4 m d (d + 1)` bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseMeasurements {
    size: usize,
    packed: Vec<f64>,
    symmetrized: usize,
}

impl DenseMeasurements {
    /// Matrices from an array `[m, d, d]` in row-major order. Those that are not symmetric are replaced by (A + Aᵀ)/2, which
    /// measures the same; [`DenseMeasurements::symmetrized`] counts them.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`].
    pub fn new(values: &[f64], size: usize) -> Result<Self> {
        let square = size * size;
        if size == 0 || values.is_empty() || !values.len().is_multiple_of(square) {
            return Err(Error::shape("A", [values.len()], format!("[m, {size}, {size}], at least one matrix")));
        }
        check::finite_slice("A", values)?;
        let mut packed = Vec::with_capacity(values.len() / square * packed_size(size));
        let mut symmetrized = 0;
        for a in values.chunks_exact(square) {
            let largest = a.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
            let mut uneven = false;
            for j in 0..size {
                for i in j..size {
                    let (below, above) = (a[i * size + j], a[j * size + i]);
                    uneven |= (below - above).abs() > 1e-8 * largest;
                    packed.push(0.5 * (below + above));
                }
            }
            symmetrized += usize::from(uneven);
        }
        Ok(Self { size, packed, symmetrized })
    }

    /// m symmetrised Gaussian matrices (G + Gᵀ)/2, G of independent standard normal entries.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no matrices or size 0.
    pub fn gaussian(count: usize, size: usize, seed: Seed) -> Result<Self> {
        let source = SeededGaussian::new(count, size, seed)?;
        let length = packed_size(size);
        let mut packed = vec![0.0; count * length];
        packed.par_chunks_exact_mut(length).enumerate().for_each(|(i, out)| source.fill(i, out));
        Ok(Self { size, packed, symmetrized: 0 })
    }

    /// How many matrices were not symmetric.
    pub fn symmetrized(&self) -> usize {
        self.symmetrized
    }
}

impl Sensing for DenseMeasurements {
    fn len(&self) -> usize {
        self.packed.len() / packed_size(self.size)
    }
    fn size(&self) -> usize {
        self.size
    }
    fn matrix(&self, i: usize) -> Cow<'_, [f64]> {
        let length = packed_size(self.size);
        Cow::Borrowed(&self.packed[i * length..(i + 1) * length])
    }
}

/// Symmetrised Gaussian matrices that are made from a seed whenever they are needed: no memory, about ten times the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeededGaussian {
    count: usize,
    size: usize,
    seed: Seed,
}

impl SeededGaussian {
    /// `count` matrices of this size; the same as those of [`DenseMeasurements::gaussian`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for no matrices or size 0.
    pub fn new(count: usize, size: usize, seed: Seed) -> Result<Self> {
        match count > 0 && size > 0 {
            true => Ok(Self { count, size, seed }),
            false => Err(Error::parameter("count, size", format!("{count}, {size}"), "at least 1 each")),
        }
    }

    /// The packed matrix: variance 1 on the diagonal, 1/2 off it.
    fn fill(&self, i: usize, out: &mut [f64]) {
        let mut rng = self.seed.nth(i as u64).rng();
        let mut at = 0;
        for j in 0..self.size {
            for row in j..self.size {
                let normal: f64 = StandardNormal.sample(&mut rng);
                out[at] = if row == j { normal } else { normal * std::f64::consts::FRAC_1_SQRT_2 };
                at += 1;
            }
        }
    }
}

impl Sensing for SeededGaussian {
    fn len(&self) -> usize {
        self.count
    }
    fn size(&self) -> usize {
        self.size
    }
    fn matrix(&self, i: usize) -> Cow<'_, [f64]> {
        let mut packed = vec![0.0; packed_size(self.size)];
        self.fill(i, &mut packed);
        Cow::Owned(packed)
    }
}

/// Quadratic measurements: A_i = a_i a_iᵀ, as in covariance sketching and phase retrieval. The theorem does not cover them.
#[derive(Clone, Debug, PartialEq)]
pub struct RankOneMeasurements {
    size: usize,
    vectors: Vec<f64>,
}

impl RankOneMeasurements {
    /// The vectors a_i as an array `[m, d]` in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`].
    pub fn new(vectors: Vec<f64>, size: usize) -> Result<Self> {
        if size == 0 || vectors.is_empty() || !vectors.len().is_multiple_of(size) {
            return Err(Error::shape("a", [vectors.len()], format!("[m, {size}], at least one vector")));
        }
        check::finite_slice("a", &vectors)?;
        Ok(Self { size, vectors })
    }
}

impl Sensing for RankOneMeasurements {
    fn len(&self) -> usize {
        self.vectors.len() / self.size
    }
    fn size(&self) -> usize {
        self.size
    }
    fn matrix(&self, i: usize) -> Cow<'_, [f64]> {
        let a = &self.vectors[i * self.size..(i + 1) * self.size];
        Cow::Owned((0..a.len()).flat_map(|j| a[j..].iter().map(move |other| a[j] * other)).collect())
    }
}

/// Single entries X_ij: robust completion of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryMeasurements {
    size: usize,
    /// Positions in the packed matrix.
    places: Vec<usize>,
    /// 1 on the diagonal, 1/2 off it.
    weights: Vec<f64>,
}

impl EntryMeasurements {
    /// The entries at these places (row, column) of a `size` × `size` matrix.
    ///
    /// # Errors
    /// [`Error::Data`] for no places, or one outside of the matrix.
    pub fn new(places: &[(usize, usize)], size: usize) -> Result<Self> {
        if places.is_empty() {
            return Err(Error::data("entries", "empty, wanted some observed entries"));
        }
        if let Some((i, j)) = places.iter().find(|(i, j)| *i >= size || *j >= size) {
            return Err(Error::data("entries", format!("({i}, {j}) lies outside of the {size} x {size} matrix")));
        }
        let position = |&(i, j): &(usize, usize)| {
            let (low, high) = (i.min(j), i.max(j));
            low * size - low * low.saturating_sub(1) / 2 + high - low
        };
        let weights = places.iter().map(|(i, j)| if i == j { 1.0 } else { 0.5 }).collect();
        Ok(Self { size, places: places.iter().map(position).collect(), weights })
    }
}

impl Sensing for EntryMeasurements {
    fn len(&self) -> usize {
        self.places.len()
    }
    fn size(&self) -> usize {
        self.size
    }
    fn matrix(&self, i: usize) -> Cow<'_, [f64]> {
        let mut packed = vec![0.0; packed_size(self.size)];
        packed[self.places[i]] = self.weights[i];
        Cow::Owned(packed)
    }
    fn typical_norm(&self) -> f64 {
        1.0
    }
    fn sweep(&self, doubled: &[f64], y: &[f64], residual: Residual, q: &mut [f64]) -> f64 {
        q.fill(0.0);
        let scale = 1.0 / self.places.len() as f64;
        let mut sum = 0.0;
        for ((place, weight), y) in self.places.iter().zip(&self.weights).zip(y) {
            let (loss, sign) = judge(weight * doubled[*place] - y, residual);
            sum += loss;
            q[*place] += scale * sign * weight;
        }
        sum * scale
    }
    fn back_project(&self, weights: &[f64], q: &mut [f64]) {
        q.fill(0.0);
        let scale = 1.0 / self.places.len() as f64;
        for ((place, own), weight) in self.places.iter().zip(&self.weights).zip(weights) {
            q[*place] += scale * own * weight;
        }
    }
}

/// Measurements ⟨A_i, M⟩ of a rectangular M `[d₁, d₂]`, lifted: M is the upper right block of the positive semi-definite
/// matrix W Wᵀ with W = [U; V], M = U Vᵀ, and A_i becomes [[0, A_i], [A_iᵀ, 0]] / 2. From a small start U and V stay
/// balanced (UᵀU = VᵀV) by themselves, as the penalty of the asymmetric form asks. The theorems cover the square case only.
#[derive(Clone, Debug, PartialEq)]
pub struct RectangularMeasurements {
    shape: [usize; 2],
    values: Vec<f64>,
}

impl RectangularMeasurements {
    /// Matrices from an array `[m, d1, d2]` in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`].
    pub fn new(values: Vec<f64>, shape: [usize; 2]) -> Result<Self> {
        let count = shape[0] * shape[1];
        if count == 0 || values.is_empty() || !values.len().is_multiple_of(count) {
            return Err(Error::shape(
                "A",
                [values.len()],
                format!("[m, {}, {}], at least one matrix", shape[0], shape[1]),
            ));
        }
        check::finite_slice("A", &values)?;
        Ok(Self { shape, values })
    }

    /// M, the upper right block of what was recovered.
    pub fn block(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(self.shape[0], self.shape[1], |i, j| x[(i, self.shape[0] + j)])
    }
}

impl Sensing for RectangularMeasurements {
    fn len(&self) -> usize {
        self.values.len() / (self.shape[0] * self.shape[1])
    }
    fn size(&self) -> usize {
        self.shape[0] + self.shape[1]
    }
    fn matrix(&self, i: usize) -> Cow<'_, [f64]> {
        let ([rows, columns], d) = (self.shape, self.size());
        let a = &self.values[i * rows * columns..(i + 1) * rows * columns];
        let mut packed = vec![0.0; packed_size(d)];
        for (row, a) in a.chunks_exact(columns).enumerate() {
            // Column `row` of the lower triangle, its entries below the first block.
            let start = row * d - row * row.saturating_sub(1) / 2 + (rows - row);
            packed[start..start + columns].iter_mut().zip(a).for_each(|(out, a)| *out = 0.5 * a);
        }
        Cow::Owned(packed)
    }
}
