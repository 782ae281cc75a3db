//! Merging on spheres: slerp, nuslerp, multislerp and the Karcher mean.
//!
//! All four give a weighted sum of their inputs whose weights depend on inner products alone. So each takes two passes:
//! one for the inner products (in f64), one for the sum.

use consilience_core::{Error, Result};

use super::gram::{self, Fibres, Gram};
use super::group::{Group, Output};
use super::linear::WeightedSum;

/// Spherical linear interpolation (Shoemake 1985) from the base (t = 0) to the one model (t = 1), each tensor as one
/// vector; linear interpolation where the two are parallel (|cosine| > 0.9995). A zero vector counts as orthogonal to all others.
#[derive(Clone, Debug)]
pub struct Slerp {
    /// The way from the base to the model.
    pub t: f64,
}

impl Slerp {
    /// Merges `group` (a base and one model) into `output`. Two passes.
    ///
    /// Errors: another number of inputs.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        two_inputs(group, "slerp", 1)?;
        let gram = gram::whole(group, false)?;
        let norm = |i| if gram.norm(i) > 1e-8 { gram.norm(i) } else { 1.0 };
        let cosine = (gram.get(0, 1) / (norm(0) * norm(1))).clamp(-1.0, 1.0);
        let coefficients = if cosine.abs() > 0.9995 { [1.0 - self.t, self.t] } else { arc(self.t, cosine) };
        group.write(output, &WeightedSum::new(coefficients, false))
    }
}

/// The weights of the ends at fraction `t` of an arc whose ends have this cosine.
fn arc(t: f64, cosine: f64) -> [f64; 2] {
    let theta = cosine.acos();
    [((1.0 - t) * theta).sin() / theta.sin(), (t * theta).sin() / theta.sin()]
}

fn two_inputs(group: &Group<'_>, method: &str, models: usize) -> Result<()> {
    if group.models() != models {
        return Err(Error::shape(
            "models",
            [group.models()],
            format!("[{models}]: {method} takes exactly that many beside a base"),
        ));
    }
    Ok(())
}

/// Spherical interpolation between two models, of their differences from the base where there is one.
#[derive(Clone, Debug)]
pub struct Nuslerp {
    /// The weights of the two models; only their ratio counts.
    pub weights: [f64; 2],
    /// Interpolates along the first axis instead of along the last one (only where not `flatten`).
    pub row_wise: bool,
    /// Takes each tensor as one vector; otherwise each row is interpolated on its own.
    pub flatten: bool,
}

impl Nuslerp {
    /// Merges `group` (two models, with or without a base) into `output`. Two passes.
    ///
    /// Errors: another number of models.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        two_inputs(group, "nuslerp", 2)?;
        let deltas = group.has_base();
        let sum: f64 = self.weights.iter().sum();
        let t = if sum.abs() < 1e-6 { 0.5 } else { self.weights[1] / sum };
        let coefficients = |gram: &Gram| {
            let norm = |i| gram.norm(i).max(1e-7);
            let cosine = (gram.get(0, 1) / (norm(0) * norm(1))).clamp(-1.0, 1.0);
            let colinear = 1.0 - cosine * cosine <= COLINEAR;
            if colinear { vec![1.0 - t, t] } else { arc(t, cosine).to_vec() }
        };
        if self.flatten || group.shape().len() < 2 {
            return group.write(output, &WeightedSum::new(coefficients(&gram::whole(group, deltas)?), deltas));
        }
        let (_, width) = group.rows();
        let fibres = if self.row_wise {
            Fibres::First(group.len().checked_div(group.shape()[0]).unwrap_or(0))
        } else {
            Fibres::Last(width)
        };
        gram::write_fibres(group, output, fibres, deltas, coefficients)
    }
}

/// Below this squared sine an arc cannot be told from a chord in f32, in which the published form computes its cosines.
const COLINEAR: f64 = 6e-8;

/// Barycentric interpolation on the sphere through the models (Multi-SLERP, Goddard 2025), around the base where there is
/// one: their weighted mean direction, corrected in its tangent space, with their weighted mean norm.
#[derive(Clone, Debug)]
pub struct MultiSlerp {
    /// One weight a model.
    pub weights: Vec<f64>,
    /// Whether the weights are divided by their sum.
    pub normalize_weights: bool,
    /// Guards divisions by norms.
    pub eps: f64,
}

impl MultiSlerp {
    /// Merges `group` into `output`. Two passes; one model alone is copied.
    ///
    /// Errors: as many weights as models are wanted; weights or directions that cancel out.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        let (count, deltas) = (group.models(), group.has_base());
        if self.weights.len() != count || count == 0 {
            return Err(Error::shape("weight", [self.weights.len()], format!("[{count}], one a model, at least one")));
        }
        let finish = |coefficients: Vec<f64>| group.write(output, &WeightedSum::new(coefficients, deltas));
        if count == 1 {
            return finish(vec![1.0]);
        }
        let sum: f64 = self.weights.iter().sum();
        if self.normalize_weights && sum == 0.0 {
            return Err(Error::parameter(
                "weight",
                format!("{:?}, whose sum is 0", self.weights),
                "a sum other than 0",
            ));
        }
        let scale = if self.normalize_weights { 1.0 / sum } else { 1.0 };
        let weights: Vec<f64> = self.weights.iter().map(|w| w * scale).collect();
        let gram = gram::whole(group, deltas)?;
        // Vectors are written in the coordinates of the inputs: unit i has 1 / (‖xᵢ‖ + ε) at place i.
        // A zero vector has no direction, and no part in the sums.
        let shrink = |norm: f64| if norm == 0.0 { 0.0 } else { 1.0 / (norm + self.eps) };
        let shrink: Vec<f64> = (0..count).map(|i| shrink(gram.norm(i))).collect();
        let mean: Vec<f64> = weights.iter().zip(&shrink).map(|(w, s)| w * s).collect();
        let length = gram.inner(&mean, &mean).max(0.0).sqrt();
        if length < self.eps {
            if count == 2 {
                return finish(weights);
            }
            return Err(Error::parameter(
                "weight",
                format!("{:?}", self.weights),
                "weights that do not balance the models' directions out to zero",
            ));
        }
        let mean: Vec<f64> = mean.iter().map(|m| m / length).collect();
        let along: f64 = (0..count)
            .map(|i| weights[i] * shrink[i] * mean.iter().enumerate().map(|(j, m)| m * gram.get(i, j)).sum::<f64>())
            .sum();
        let tangent: Vec<f64> = (0..count).map(|i| weights[i] * shrink[i] - along * mean[i]).collect();
        let angle = gram.inner(&tangent, &tangent).max(0.0).sqrt() + self.eps;
        let radius: f64 = (0..count).map(|i| weights[i] * gram.norm(i)).sum();
        let point = (0..count).map(|i| radius * (mean[i] * angle.cos() + tangent[i] * angle.sin() / angle)).collect();
        finish(point)
    }
}

/// The Karcher (Riemannian) mean of the directions of all inputs, with their mean norm.
#[derive(Clone, Debug)]
pub struct Karcher {
    /// The most steps of the fixed-point iteration.
    pub max_iter: usize,
    /// Stops once the mean moves by less than this angle, in radians.
    pub tol: f64,
}

impl Karcher {
    /// Merges all inputs of `group`, the base among them, into `output`. Two passes: the iteration runs in the coordinates
    /// of the inputs.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        let count = group.inputs();
        let gram = if count > 1 { gram::whole(group, false)? } else { Gram::zeros(1) };
        let coefficients = if count > 1 { self.coordinates(&gram, count) } else { vec![1.0] };
        group.write(output, &WeightedSum::new(coefficients, false))
    }

    /// The mean's coordinates with respect to the inputs.
    fn coordinates(&self, gram: &Gram, count: usize) -> Vec<f64> {
        let usable: Vec<bool> = (0..count).map(|i| gram.norm(i) > self.tol).collect();
        let valid = usable.iter().filter(|u| **u).count();
        let Some(first) = usable.iter().position(|u| *u) else { return vec![0.0; count] };
        let weight = 1.0 / valid as f64;
        let unit = |i: usize| 1.0 / gram.norm(i);
        let dot =
            |mean: &[f64], i: usize| mean.iter().enumerate().map(|(j, m)| m * gram.get(i, j)).sum::<f64>() * unit(i);
        let length = |v: &[f64]| gram.inner(v, v).max(0.0).sqrt();

        let mut mean: Vec<f64> = (0..count).map(|i| if usable[i] { weight * unit(i) } else { 0.0 }).collect();
        let norm = length(&mean);
        if norm < self.tol {
            mean = vec![0.0; count];
            mean[first] = unit(first);
        } else {
            mean.iter_mut().for_each(|m| *m /= norm);
        }
        for _ in 0..self.max_iter {
            let mut tangent = vec![0.0; count];
            for i in (0..count).filter(|i| usable[*i]) {
                let cosine = dot(&mean, i).clamp(-1.0, 1.0);
                let theta = cosine.acos();
                // Opposite vectors pull in no direction more than in another.
                if theta < self.tol || theta.sin() < 1e-7 {
                    continue;
                }
                let pull = weight * theta / theta.sin();
                tangent[i] += pull * unit(i);
                tangent.iter_mut().zip(&mean).for_each(|(t, m)| *t -= pull * cosine * m);
            }
            let step = length(&tangent);
            if step < self.tol {
                break;
            }
            mean.iter_mut().zip(&tangent).for_each(|(m, t)| *m = step.cos() * *m + step.sin() * t / step);
            let norm = length(&mean);
            if norm > self.tol {
                mean.iter_mut().for_each(|m| *m /= norm);
            }
        }
        let radius = (0..count).map(|i| gram.norm(i)).sum::<f64>() / count as f64;
        mean.into_iter().map(|m| radius * m).collect()
    }
}
