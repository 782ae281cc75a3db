//! The bias correction of BiC (Wu et al., 2019): two numbers for the logits of the newest classes.

use serde::{Deserialize, Serialize};

/// `alpha z + beta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BiasCorrection {
    /// The factor.
    pub alpha: f32,
    /// The offset.
    pub beta: f32,
}

impl Default for BiasCorrection {
    /// No correction.
    fn default() -> Self {
        Self { alpha: 1.0, beta: 0.0 }
    }
}

impl BiasCorrection {
    /// The minimiser over (alpha, beta) of the mean cross-entropy of `logits` (rows of `classes`), with the logits of the
    /// classes `known..` corrected and the others as they are: convex, so Newton's steps with halving, from (1, 0).
    pub fn fit(logits: &[f32], classes: usize, known: usize, labels: &[u32]) -> Self {
        let loss = |alpha: f64, beta: f64| -> (f64, [f64; 2], [f64; 3]) {
            let (mut value, mut gradient, mut curvature) = (0.0, [0.0; 2], [0.0; 3]);
            for (row, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
                let corrected = |c: usize, z: f32| match c >= known {
                    true => alpha * f64::from(z) + beta,
                    false => f64::from(z),
                };
                let top = row.iter().enumerate().map(|(c, z)| corrected(c, *z)).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = row.iter().enumerate().map(|(c, z)| (corrected(c, *z) - top).exp()).sum();
                // Of the softmax over the new classes: the mass, and moments of the plain logits.
                let (mut p, mut pz, mut pzz, mut own) = (0.0, 0.0, 0.0, 0.0);
                for (c, z) in row.iter().enumerate() {
                    let z64 = f64::from(*z);
                    if c >= known {
                        let mass = (corrected(c, *z) - top).exp() / sum;
                        p += mass;
                        pz += mass * z64;
                        pzz += mass * z64 * z64;
                    }
                    if c == *label as usize {
                        own = corrected(c, *z);
                        if c >= known {
                            gradient[0] -= z64;
                            gradient[1] -= 1.0;
                        }
                    }
                }
                value += top + sum.ln() - own;
                gradient[0] += pz;
                gradient[1] += p;
                curvature[0] += pzz - pz * pz;
                curvature[1] += pz - pz * p;
                curvature[2] += p - p * p;
            }
            (value, gradient, curvature)
        };
        let (mut alpha, mut beta) = (1.0, 0.0);
        for _ in 0..100 {
            let (value, [ga, gb], [haa, hab, hbb]) = loss(alpha, beta);
            let (haa, hbb) = (haa + 1e-6, hbb + 1e-6);
            let determinant = (haa * hbb - hab * hab).max(1e-12);
            let step = [(hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant];
            let mut scale = 1.0;
            while scale > 1e-8 && loss(alpha - scale * step[0], beta - scale * step[1]).0 > value {
                scale *= 0.5;
            }
            if scale <= 1e-8 {
                break;
            }
            alpha -= scale * step[0];
            beta -= scale * step[1];
            // Separable samples have no minimum; the correction need not run away with them.
            if scale * step[0].hypot(step[1]) < 1e-8 || alpha.abs() > 1e3 || beta.abs() > 1e3 {
                break;
            }
        }
        Self { alpha: alpha as f32, beta: beta as f32 }
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;

    use super::*;

    #[test]
    fn finds_the_bias_that_was_added() {
        // Labels drawn from the softmax of z; then the new classes' logits are scaled and moved.
        let mut uniform = vec![0.0; 3 * 4000];
        Seed(1).philox().uniforms(0, 0, &mut uniform);
        let mut draws = vec![0.0; 4000];
        Seed(2).philox().uniforms(0, 0, &mut draws);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for (row, draw) in uniform.chunks(3).zip(&draws) {
            let z: Vec<f32> = row.iter().map(|u| 4.0 * u).collect();
            let sum: f32 = z.iter().map(|z| z.exp()).sum();
            let mut left = draw * sum;
            let mut label = 0;
            for (c, z) in z.iter().enumerate() {
                label = c as u32;
                left -= z.exp();
                if left < 0.0 {
                    break;
                }
            }
            labels.push(label);
            logits.extend([z[0], 2.0 * z[1] + 3.0, 2.0 * z[2] + 3.0]);
        }
        let found = BiasCorrection::fit(&logits, 3, 1, &labels);
        assert!((found.alpha - 0.5).abs() < 0.05 && (found.beta + 1.5).abs() < 0.15, "{found:?}");
    }

    #[test]
    fn separable_samples_do_not_run_away() {
        let found = BiasCorrection::fit(&[0.0, 1.0], 2, 1, &[1]);
        assert!(found.alpha.is_finite() && found.beta.is_finite());
        assert_eq!(BiasCorrection::fit(&[], 2, 1, &[]), BiasCorrection::default());
    }
}
