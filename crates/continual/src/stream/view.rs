//! How a task sees the samples: as they are, with permuted pixels, or rotated.

use consilience_core::{Error, Result, Seed};
use rand::seq::SliceRandom;

/// A fixed linear map of a sample's values, applied whenever a sample is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum View {
    /// The sample as it is.
    #[default]
    Identity,
    /// Value i of what is seen is value `order[i]` of the sample.
    Permuted(Vec<u32>),
    /// Each value seen is a weighted sum of four values of the sample (bilinear interpolation), clipped to [0, 1].
    Rotated(Vec<[(u32, f32); 4]>),
}

impl View {
    /// A random permutation of `width` values.
    pub fn permutation(width: usize, seed: Seed) -> Self {
        let mut order: Vec<u32> = (0..width as u32).collect();
        order.shuffle(&mut seed.rng());
        Self::Permuted(order)
    }

    /// A rotation of images of shape `[height, width]` or `[channels, height, width]` by `degrees` counter-clockwise about
    /// their centre; what comes from outside of the image is 0.
    ///
    /// Fails with [`Error::Shape`] on samples that are no images, [`Error::Parameter`] on an angle that is not finite.
    pub fn rotation(shape: &[usize], degrees: f64) -> Result<Self> {
        let (channels, height, width) = match *shape {
            [height, width] => (1, height, width),
            [channels, height, width] => (channels, height, width),
            _ => return Err(Error::shape("samples", shape, "[height, width] or [channels, height, width] to rotate")),
        };
        if !degrees.is_finite() {
            return Err(Error::parameter("angle", degrees, "a finite number of degrees"));
        }
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (cy, cx) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let mut map = Vec::with_capacity(channels * height * width);
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let (dy, dx) = (y as f64 - cy, x as f64 - cx);
                    // The place in the sample that the rotation brings here.
                    let (sy, sx) = (cy + cos * dy + sin * dx, cx - sin * dy + cos * dx);
                    let (top, left) = (sy.floor(), sx.floor());
                    let (fy, fx) = (sy - top, sx - left);
                    let corner = |row: f64, column: f64, weight: f64| {
                        let inside = row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64;
                        match inside {
                            true => {
                                let place = (channel * height + row as usize) * width + column as usize;
                                (place as u32, weight as f32)
                            }
                            false => (0, 0.0),
                        }
                    };
                    map.push([
                        corner(top, left, (1.0 - fy) * (1.0 - fx)),
                        corner(top, left + 1.0, (1.0 - fy) * fx),
                        corner(top + 1.0, left, fy * (1.0 - fx)),
                        corner(top + 1.0, left + 1.0, fy * fx),
                    ]);
                }
            }
        }
        Ok(Self::Rotated(map))
    }

    /// Appends what is seen of `sample` to `out`.
    pub fn read(&self, sample: &[f32], out: &mut Vec<f32>) {
        let at = |place: u32| sample.get(place as usize).copied().unwrap_or(0.0);
        match self {
            Self::Identity => out.extend_from_slice(sample),
            Self::Permuted(order) => out.extend(order.iter().map(|place| at(*place))),
            Self::Rotated(map) => {
                out.extend(map.iter().map(|corners| {
                    corners.iter().map(|(place, weight)| weight * at(*place)).sum::<f32>().clamp(0.0, 1.0)
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(view: &View, sample: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        view.read(sample, &mut out);
        out
    }

    #[test]
    fn quarter_turns_move_pixels_exactly() {
        let image = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
        let quarter = View::rotation(&[3, 3], 90.0).unwrap();
        let turned = seen(&quarter, &image);
        // Counter-clockwise: the right column becomes the top row.
        let wanted = [0.3, 0.6, 0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7];
        assert!(turned.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{turned:?}");
        assert_eq!(seen(&View::rotation(&[3, 3], 0.0).unwrap(), &image), image);
    }

    #[test]
    fn permutations_keep_the_values() {
        let image: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let mut permuted = seen(&View::permutation(16, Seed(1)), &image);
        assert_ne!(permuted, image);
        permuted.sort_by(f32::total_cmp);
        assert_eq!(permuted, image);
    }

    #[test]
    fn only_images_rotate() {
        assert!(View::rotation(&[9], 10.0).is_err());
        assert!(View::rotation(&[3, 3], f64::NAN).is_err());
    }
}
