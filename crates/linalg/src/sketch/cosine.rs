//! The subsampled randomised cosine transform.

use std::sync::Arc;

use faer::{Mat, MatRef};
use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::Sketch;

pub(super) fn apply(sketch: &Sketch, a: MatRef<'_, f64>) -> Mat<f64> {
    let (m, n, d) = (sketch.rows, sketch.columns, a.ncols());
    let philox = sketch.seed.philox();
    let mut words = vec![0_u32; n.div_ceil(32)];
    philox.words(0, 0, &mut words);
    let mut samples = vec![0_u32; m];
    philox.words(1, 0, &mut samples);
    let samples: Vec<usize> = samples.iter().map(|word| ((u64::from(*word) * n as u64) >> 32) as usize).collect();
    let signed = |i: usize, value: f64| if words[i / 32] >> (i % 32) & 1 == 0 { value } else { -value };
    let transform = Cosine::new(n);
    let scale = (n as f64).sqrt() * sketch.scale();
    let mut out = vec![0.0; m * d];
    out.par_chunks_mut(m).enumerate().for_each_init(
        || transform.memory(),
        |memory, (j, out)| {
            transform.run(memory, |i| signed(i, a[(i, j)]));
            out.iter_mut().zip(&samples).for_each(|(out, k)| *out = scale * transform.coefficient(memory, *k));
        },
    );
    MatRef::from_column_major_slice(&out, m, d).to_owned()
}

/// The orthonormal discrete cosine transform of the second kind, by one complex Fourier transform of the same length
/// (Makhoul, "A fast cosine transform in one and two dimensions", 1980).
struct Cosine {
    fourier: Arc<dyn Fft<f64>>,
}

impl Cosine {
    fn new(n: usize) -> Self {
        Self { fourier: FftPlanner::new().plan_fft_forward(n) }
    }

    /// What one thread needs: the values, and scratch.
    fn memory(&self) -> [Vec<Complex<f64>>; 2] {
        let zero = Complex::new(0.0, 0.0);
        [vec![zero; self.fourier.len()], vec![zero; self.fourier.get_inplace_scratch_len()]]
    }

    /// Transforms the values x(0), x(1), …: even ones forwards, odd ones backwards.
    fn run(&self, [values, scratch]: &mut [Vec<Complex<f64>>; 2], x: impl Fn(usize) -> f64) {
        let n = values.len();
        for (at, value) in values.iter_mut().enumerate() {
            let from = if 2 * at < n { 2 * at } else { 2 * (n - at) - 1 };
            *value = Complex::new(x(from), 0.0);
        }
        self.fourier.process_with_scratch(values, scratch);
    }

    /// Coefficient k of the values that were transformed.
    fn coefficient(&self, [values, _]: &[Vec<Complex<f64>>; 2], k: usize) -> f64 {
        let n = values.len() as f64;
        let turned = values[k] * Complex::from_polar(1.0, -std::f64::consts::PI * k as f64 / (2.0 * n));
        turned.re * if k == 0 { 1.0 / n } else { 2.0 / n }.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_the_definition() {
        for n in [1_usize, 2, 5, 8, 13] {
            let x: Vec<f64> = (0..n).map(|i| (1.3 * i as f64).sin() + 0.1).collect();
            let cosine = Cosine::new(n);
            let mut memory = cosine.memory();
            cosine.run(&mut memory, |i| x[i]);
            for k in 0..n {
                let angle = |i: usize| std::f64::consts::PI * (2 * i + 1) as f64 * k as f64 / (2 * n) as f64;
                let sum: f64 = (0..n).map(|i| x[i] * angle(i).cos()).sum();
                let wanted = sum * if k == 0 { 1.0 / n as f64 } else { 2.0 / n as f64 }.sqrt();
                assert!((cosine.coefficient(&memory, k) - wanted).abs() < 1e-13);
            }
        }
    }
}
