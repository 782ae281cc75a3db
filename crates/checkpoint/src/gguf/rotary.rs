//! The factors of the rotary frequencies that Llama 3.1 and later store, and the `rope_scaling` that stands for them.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::header::Stored;
use super::types::Storage;
use crate::Dtype;

/// What the frequencies of the pairs of dimensions are divided by.
pub(super) struct Factors(Vec<f32>);

/// The settings of Llama 3.1 besides the factor, which all its successors kept.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const ORIGINAL: f64 = 8192.0;

/// The most factors that are looked at: half the width of a head, and no head is that wide.
const MOST: usize = 1 << 16;

impl Factors {
    /// The factors as `stored` in `file`; `None` where it is no vector of F32.
    pub fn read(stored: &Stored, file: &[u8]) -> Option<Self> {
        let bytes = file.get(stored.start..stored.end).filter(|bytes| bytes.len() <= 4 * MOST)?;
        if !matches!(stored.kind.storage, Storage::Plain(Dtype::F32)) || stored.shape.len() != 1 {
            return None;
        }
        let mut factors = vec![0.0; bytes.len() / 4];
        Dtype::F32.decode(bytes, &mut factors);
        Some(Self(factors))
    }

    /// The `rope_scaling` of Llama 3.1's kind that gives these factors, for frequencies of base `theta`; `None` where none
    /// does. Slow rotations (wavelengths beyond the original context) are divided by the factor, fast ones not at all, and
    /// those between by a blend (`transformers`, `llama3` scaling).
    pub fn scaling(&self, theta: f64) -> Option<Json> {
        let factor = self.0.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !factor.is_finite() || factor < 1.0 {
            return None;
        }
        let width = 2.0 * self.0.len() as f64;
        let fits = self.0.iter().enumerate().all(|(pair, stored)| {
            let wavelength = 2.0 * std::f64::consts::PI * theta.powf(2.0 * pair as f64 / width);
            let wanted = if wavelength < ORIGINAL / HIGH {
                1.0
            } else if wavelength > ORIGINAL / LOW {
                f64::from(factor)
            } else {
                let share = (ORIGINAL / wavelength - LOW) / (HIGH - LOW);
                1.0 / ((1.0 - share) / f64::from(factor) + share)
            };
            (f64::from(*stored) - wanted).abs() <= 1e-4 * wanted
        });
        fits.then(|| {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": LOW,
                "high_freq_factor": HIGH,
                "original_max_position_embeddings": ORIGINAL as u64,
            })
        })
    }

    /// What to tell about the tensor, which is not carried over.
    pub fn note(&self, path: &Path, known: bool) -> String {
        let path = path.display();
        if known {
            return format!("{path}: `rope_freqs.weight` is left out; `rope_scaling` in `config.json` stands for it");
        }
        format!(
            "{path}: `rope_freqs.weight` is left out, and no `rope_scaling` could be found that stands for it: copy that \
             entry of `config.json` from the model that the file was converted from"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_factors_are_not_taken_for_those_of_llama() {
        assert_eq!(Factors(vec![]).scaling(5e5), None);
        assert_eq!(Factors(vec![1.0, 2.0, 4.0, 8.0]).scaling(5e5), None);
        assert_eq!(Factors(vec![f32::NAN; 4]).scaling(5e5), None);
    }
}
