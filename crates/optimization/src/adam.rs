//! Adam (Kingma and Ba, 2015), as the published codes of some baselines use it.

use crate::quasi_newton::pseudo_gradient;

/// Settings of a minimisation by Adam.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adam {
    pub rate: f64,
    pub steps: usize,
    /// Stop when twenty steps lower the objective by less than this share of it; 0 runs all steps.
    pub relative: f64,
}

impl Adam {
    /// Lowers `f(x) + sum_i l1[i] |x_i|` (`l1` may be empty) from `x` by steps along its subgradient; returns the last value.
    pub fn minimise(
        &self,
        x: &mut [f64],
        l1: &[f64],
        mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
        stopped: impl Fn() -> bool,
    ) -> f64 {
        let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
        let (mut smooth, mut gradient) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut m, mut v) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let penalty = |x: &[f64]| x.iter().zip(l1).map(|(x, l1)| l1 * x.abs()).sum::<f64>();
        let mut before = f64::INFINITY;
        for t in 1..=self.steps.min(i32::MAX as usize) {
            let value = f(x, &mut smooth) + penalty(x);
            if stopped() {
                return value;
            }
            if t % 20 == 0 {
                if self.relative > 0.0 && before - value <= self.relative * value.abs() {
                    return value;
                }
                before = value;
            }
            pseudo_gradient(x, &smooth, l1, &mut gradient);
            let (c1, c2) = (1.0 - f64::powi(beta1, t as i32), 1.0 - f64::powi(beta2, t as i32));
            for i in 0..x.len() {
                m[i] = beta1 * m[i] + (1.0 - beta1) * gradient[i];
                v[i] = beta2 * v[i] + (1.0 - beta2) * gradient[i] * gradient[i];
                x[i] -= self.rate * (m[i] / c1) / ((v[i] / c2).sqrt() + epsilon);
            }
        }
        f(x, &mut smooth) + penalty(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic() {
        let f = |x: &[f64], g: &mut [f64]| {
            g[0] = x[0] - 3.0;
            0.5 * (x[0] - 3.0) * (x[0] - 3.0)
        };
        let mut x = [0.0];
        let value = Adam { rate: 0.05, steps: 2000, relative: 0.0 }.minimise(&mut x, &[1.0], f, || false);
        assert!((x[0] - 2.0).abs() < 1e-3 && (value - 2.5).abs() < 1e-3);
    }
}
