//! Resolvents of the set-valued part `G`.

use consilience_core::{Error, Result};
use consilience_linalg::{check, proximal};

/// A maximally monotone `G`, known by its resolvent `J_{ηG} = (I + ηG)^{-1}`: a projection where `G` is the normal cone of a
/// convex set, a proximal map where it is the subdifferential of a convex function.
pub trait Resolvent: Sync {
    /// Replaces `v` by `J_{ηG}(v)`, with `step = η`.
    ///
    /// # Errors
    /// What makes the map impossible: another length, a value that is not finite.
    fn apply(&self, step: f64, v: &mut [f64]) -> Result<()>;
}

/// `G = 0`: nothing constrains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unconstrained;

impl Resolvent for Unconstrained {
    fn apply(&self, _step: f64, _v: &mut [f64]) -> Result<()> {
        Ok(())
    }
}

/// The box `low <= u <= high`, entry by entry; an end may be infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Bounds {
    /// A box.
    ///
    /// # Errors
    /// Other lengths, NaN, or a lower end above the upper one.
    pub fn new(low: Vec<f64>, high: Vec<f64>) -> Result<Self> {
        if low.len() != high.len() {
            return Err(Error::shape("high", [high.len()], format!("[{}], as many as low", low.len())));
        }
        match low.iter().zip(&high).position(|(low, high)| !(low <= high)) {
            Some(i) => Err(Error::parameter(
                format!("bounds of entry {i}"),
                format!("[{}, {}]", low[i], high[i]),
                "a lower end that is not above the upper one",
            )),
            None => Ok(Self { low, high }),
        }
    }
}

impl Resolvent for Bounds {
    fn apply(&self, _step: f64, v: &mut [f64]) -> Result<()> {
        check_length(v, self.low.len())?;
        for ((v, low), high) in v.iter_mut().zip(&self.low).zip(&self.high) {
            *v = v.max(*low).min(*high);
        }
        Ok(())
    }
}

/// A product of unit simplices: mixed strategies, one block of entries a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simplices {
    pub(super) sizes: Vec<usize>,
}

impl Simplices {
    /// Blocks of these sizes, one after the other.
    ///
    /// # Errors
    /// No block, or one without entries.
    pub fn new(sizes: Vec<usize>) -> Result<Self> {
        match sizes.is_empty() || sizes.contains(&0) {
            true => {
                Err(Error::parameter("sizes", format!("{sizes:?}"), "at least one block, each of at least one entry"))
            }
            false => Ok(Self { sizes }),
        }
    }
}

impl Resolvent for Simplices {
    fn apply(&self, _step: f64, v: &mut [f64]) -> Result<()> {
        check_length(v, self.sizes.iter().sum())?;
        let mut rest = v;
        for size in &self.sizes {
            let (block, tail) = rest.split_at_mut(*size);
            proximal::project_simplex(block, 1.0)?;
            rest = tail;
        }
        Ok(())
    }
}

/// `G` is the subdifferential of `weight * ‖u‖₁`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Norm {
    /// The norm's weight, at least 0.
    pub weight: f64,
}

impl Resolvent for L1Norm {
    fn apply(&self, step: f64, v: &mut [f64]) -> Result<()> {
        check::non_negative("weight", self.weight)?;
        proximal::soft_threshold(v, step * self.weight)
    }
}

/// The Euclidean ball around 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ball {
    /// Its radius, at least 0.
    pub radius: f64,
}

impl Resolvent for Ball {
    fn apply(&self, _step: f64, v: &mut [f64]) -> Result<()> {
        check::non_negative("radius", self.radius)?;
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > self.radius {
            let scale = self.radius / length;
            v.iter_mut().for_each(|v| *v *= scale);
        }
        Ok(())
    }
}

fn check_length(v: &[f64], wanted: usize) -> Result<()> {
    match v.len() == wanted {
        true => Ok(()),
        false => Err(Error::shape("resolvent", [v.len()], format!("[{wanted}], the entries that it constrains"))),
    }
}
