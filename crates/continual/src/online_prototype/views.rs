//! Stochastic views of images.

use consilience_core::{Error, Result};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// How an image is changed at random; everything off is the image itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// The most pixels that it moves, up, down, left and right; what comes in is 0. Default: 1.
    pub shift: usize,
    /// The range of a factor for all values. Default: 0.7 to 1.2.
    pub intensity: [f32; 2],
    /// The deviation of normal noise on each value. Default: 0.05.
    pub noise: f32,
    /// The probability that left and right are swapped. Default: 0; 0.5 for photographs.
    pub flip: f32,
    /// The probability that an image of three channels becomes grey. Default: 0; 0.2 for photographs.
    pub grey: f32,
    /// The least share of the area that a random crop keeps, in (0, 1]; the crop is scaled back to the whole. Default: 1; 0.3 for
    /// photographs.
    pub crop: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { shift: 1, intensity: [0.7, 1.2], noise: 0.05, flip: 0.0, grey: 0.0, crop: 1.0 }
    }
}

impl Augmentation {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field out of range.
    pub fn check(&self) -> Result<()> {
        for (name, p) in [("flip", self.flip), ("grey", self.grey)] {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::parameter(name, p, "a number in [0, 1]"));
            }
        }
        if !(self.crop > 0.0 && self.crop <= 1.0) {
            return Err(Error::parameter("crop", self.crop, "a number in (0, 1]"));
        }
        let [low, high] = self.intensity;
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::parameter("intensity", format!("{low} to {high}"), "a finite range"));
        }
        match self.noise.is_finite() && self.noise >= 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("noise", self.noise, "a finite number, at least 0")),
        }
    }

    /// Appends a random view of `image` (`[channels, height, width]`, row-major) to `out`.
    pub fn view(&self, image: &[f32], shape: [usize; 3], rng: &mut impl rand::Rng, out: &mut Vec<f32>) {
        let [channels, height, width] = shape;
        let reach = self.shift as i64;
        let (dy, dx) = match reach {
            0 => (0, 0),
            _ => (rng.random_range(-reach..=reach), rng.random_range(-reach..=reach)),
        };
        let [low, high] = self.intensity;
        let factor = if low < high { rng.random_range(low..high) } else { low };
        let flip = self.flip > 0.0 && rng.random::<f32>() < self.flip;
        let grey = channels == 3 && self.grey > 0.0 && rng.random::<f32>() < self.grey;
        // A crop keeps a square share of each side, at a random place.
        let side = if self.crop < 1.0 { rng.random_range(self.crop..1.0).sqrt() } else { 1.0 };
        let place = |rng: &mut dyn rand::Rng, extent: usize| match side < 1.0 {
            true => rng.random_range(0.0..(1.0 - side)) * extent as f32,
            false => 0.0,
        };
        let (top, left) = (place(rng, height), place(rng, width));
        let at = |channel: usize, y: i64, x: i64| -> f32 {
            if y < 0 || x < 0 || y >= height as i64 || x >= width as i64 {
                return 0.0;
            }
            image.get((channel * height + y as usize) * width + x as usize).copied().unwrap_or(0.0)
        };
        let read = |channel: usize, y: usize, x: usize| -> f32 {
            let x = if flip { width - 1 - x } else { x };
            if side >= 1.0 {
                return at(channel, y as i64 - dy, x as i64 - dx);
            }
            let (fy, fx) = (top + side * y as f32, left + side * x as f32);
            let (y0, x0) = (fy.floor(), fx.floor());
            let (wy, wx) = (fy - y0, fx - x0);
            let corner = |oy: i64, ox: i64| at(channel, y0 as i64 + oy - dy, x0 as i64 + ox - dx);
            let upper = (1.0 - wx) * corner(0, 0) + wx * corner(0, 1);
            let lower = (1.0 - wx) * corner(1, 0) + wx * corner(1, 1);
            (1.0 - wy) * upper + wy * lower
        };
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let value = match grey {
                        true => (0.299 * read(0, y, x)) + (0.587 * read(1, y, x)) + (0.114 * read(2, y, x)),
                        false => read(channel, y, x),
                    };
                    let noise = match self.noise > 0.0 {
                        true => self.noise * Distribution::<f32>::sample(&StandardNormal, rng),
                        false => 0.0,
                    };
                    out.push(factor * value + noise);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;

    use super::*;

    const STILL: Augmentation =
        Augmentation { shift: 0, intensity: [1.0, 1.0], noise: 0.0, flip: 0.0, grey: 0.0, crop: 1.0 };

    fn view(augmentation: Augmentation, image: &[f32], shape: [usize; 3], seed: u64) -> Vec<f32> {
        let mut out = Vec::new();
        augmentation.view(image, shape, &mut Seed(seed).rng(), &mut out);
        out
    }

    #[test]
    fn nothing_on_changes_nothing() {
        let image: Vec<f32> = (0..12).map(|v| v as f32).collect();
        assert_eq!(view(STILL, &image, [1, 3, 4], 0), image);
        let flipped = view(Augmentation { flip: 1.0, ..STILL }, &image, [1, 3, 4], 0);
        assert_eq!(flipped[..4], [3.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn shifts_move_and_fill_with_zeros() {
        let mut image = vec![0.0; 9];
        image[4] = 1.0;
        let mut places = std::collections::HashSet::new();
        for seed in 0..200 {
            let moved = view(Augmentation { shift: 1, ..STILL }, &image, [1, 3, 3], seed);
            assert_eq!(moved.iter().sum::<f32>(), 1.0);
            places.insert(moved.iter().position(|v| *v == 1.0));
        }
        assert_eq!(places.len(), 9);
        let grey = view(Augmentation { grey: 1.0, ..STILL }, &[1.0, 0.0, 0.0], [3, 1, 1], 0);
        assert!(grey.iter().all(|v| (v - 0.299).abs() < 1e-6));
        let cropped = view(Augmentation { crop: 0.3, ..STILL }, &[0.5; 64], [1, 8, 8], 1);
        assert!(cropped[..49].iter().all(|v| *v <= 0.5 + 1e-6));
        assert!(Augmentation { crop: 0.0, ..STILL }.check().is_err());
    }
}
