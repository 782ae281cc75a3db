//! Where particles start.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::check;
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::Bounds;

/// The distribution of the particles before the first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Start {
    /// Normal around `mean` (`[d]`) with the same standard deviation in every direction.
    Normal {
        /// Its centre.
        mean: Vec<f64>,
        /// The standard deviation, at least 0.
        deviation: f64,
    },
    /// Uniform in a box with finite bounds.
    Uniform(Bounds),
    /// These points, one a particle.
    Points(Vec<Vec<f64>>),
}

impl Start {
    /// The number of variables.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Normal { mean, .. } => mean.len(),
            Self::Uniform(bounds) => bounds.len(),
            Self::Points(points) => points.first().map_or(0, Vec::len),
        }
    }

    /// Fails with [`Error::Shape`], [`Error::Parameter`] or [`Error::NotFinite`] unless `particles` points can be drawn.
    pub(super) fn check(&self, particles: usize) -> Result<()> {
        let d = self.dimension();
        if d == 0 {
            return Err(Error::shape("start", [0_usize], "[d] with at least one variable"));
        }
        match self {
            Self::Normal { mean, deviation } => {
                check::finite_slice("start", mean)?;
                check::non_negative("deviation", *deviation)
            }
            Self::Uniform(bounds) => {
                match (0..d).find(|&i| [bounds.of(i).0, bounds.of(i).1].iter().any(|b| b.is_infinite())) {
                    Some(i) => Err(Error::parameter(format!("start of variable {i}"), "unbounded", "finite bounds")),
                    None => Ok(()),
                }
            }
            Self::Points(points) => {
                if points.len() != particles {
                    return Err(Error::shape(
                        "start",
                        [points.len(), d],
                        format!("[{particles}, d], a point a particle"),
                    ));
                }
                points.iter().enumerate().try_for_each(|(i, point)| match point.len() == d {
                    true => check::finite_slice(&format!("start of particle {i}"), point),
                    false => Err(Error::shape(format!("start of particle {i}"), [point.len()], format!("[{d}]"))),
                })
            }
        }
    }

    /// The particles, row by row.
    pub(super) fn draw(&self, particles: usize, seed: Seed) -> Vec<f64> {
        let mut rng = seed.derive("start").rng();
        match self {
            Self::Normal { mean, deviation } => (0..particles)
                .flat_map(|_| mean.iter())
                .map(|m| m + deviation * rng.sample::<f64, _>(StandardNormal))
                .collect(),
            Self::Uniform(bounds) => (0..particles * bounds.len())
                .map(|at| {
                    let (low, high) = bounds.of(at % bounds.len());
                    low + (high - low) * rng.random::<f64>()
                })
                .collect(),
            Self::Points(points) => points.concat(),
        }
    }
}
