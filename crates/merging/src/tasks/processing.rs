//! Preprocessing carried out: pixels to what a network takes in.
//!
//! Images are resized by `fast_image_resize`, in Pillow's order, and hardly a pixel differs by one step;
//! the `image` crate's own resizing would cut floating-point images to [0, 1].

use bytemuck::{cast_slice, cast_slice_mut};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::{Preprocessing, Resampling, Resize};

/// An image that would have more pixels than this before it is cropped is refused: the ratio of its sides is absurd.
const MOST_PIXELS: usize = 1 << 26;

/// Height and width in pixels.
pub(super) type Size = [usize; 2];

/// Turns images into examples of one shape. Each thread has its own, for the buffers that it keeps.
///
/// What is wrong with an image is told as a sentence without a subject: the caller knows its name.
pub(super) struct Processor<'p> {
    preprocessing: &'p Preprocessing,
    wanted: Size,
    /// What each byte becomes, for each channel.
    table: Box<[[f32; 256]; 3]>,
    resizer: Resizer,
    bytes: Vec<u8>,
    between: Vec<u8>,
    floats: Vec<f32>,
}

impl<'p> Processor<'p> {
    /// A processor for examples `[channels, height, width]`, `wanted` being the last two.
    pub fn new(preprocessing: &'p Preprocessing, wanted: Size) -> Self {
        let entry = |channel, byte: usize| preprocessing.normalised(channel, byte as f32);
        let table = Box::new(std::array::from_fn(|channel| std::array::from_fn(|byte| entry(channel, byte))));
        Self {
            preprocessing,
            wanted,
            table,
            resizer: Resizer::new(),
            bytes: Vec::new(),
            between: Vec::new(),
            floats: Vec::new(),
        }
    }

    /// Processes `pixels`, `[height, width, 3]`, to `out`, `[3, height, width]` of the wanted size.
    pub fn image(&mut self, pixels: &[u8], size: Size, out: &mut [f32]) -> Result<(), String> {
        let resized = self.resized(size)?;
        let Self { table, resizer, bytes, between, .. } = self;
        let pixels = if resized == size {
            pixels
        } else {
            bytes.resize(3 * area(resized), 0);
            let (resampling, kind) = (self.preprocessing.resampling, PixelType::U8x3);
            Resizing { resizer, resampling, kind, between }.run((pixels, size), (bytes.as_mut_slice(), resized))?;
            bytes.as_slice()
        };
        for (channel, plane) in out.chunks_exact_mut(area(self.wanted)).enumerate().take(3) {
            let table = &table[channel];
            centre(resized, self.wanted, plane, table[0], |at| table[usize::from(pixels[3 * at + channel])]);
        }
        Ok(())
    }

    /// Normalises `pixels`, `[height, width, 3]` of the wanted size already, to `out`.
    pub fn normalise(&self, pixels: &[u8], out: &mut [f32]) {
        for (channel, plane) in out.chunks_exact_mut(area(self.wanted)).enumerate().take(3) {
            let table = &self.table[channel];
            centre(self.wanted, self.wanted, plane, table[0], |at| table[usize::from(pixels[3 * at + channel])]);
        }
    }

    /// Brings `planes`, `[channels, height, width]` and normalised already, to the wanted size in `out`.
    pub fn planes(&mut self, planes: &[f32], size: Size, out: &mut [f32]) -> Result<(), String> {
        let resized = self.resized(size)?;
        let Self { resizer, floats, .. } = self;
        floats.resize(area(resized), 0.0);
        let channels = planes.chunks_exact(area(size)).zip(out.chunks_exact_mut(area(self.wanted)));
        for (channel, (plane, out)) in channels.enumerate() {
            let (source, target) = (cast_slice(plane), cast_slice_mut(floats));
            // One pass here: floating-point numbers are not cut off in between.
            let (resampling, kind) = (self.preprocessing.resampling, PixelType::F32);
            Resizing { resizer, resampling, kind, between: &mut Vec::new() }.step((source, size), (target, resized))?;
            centre(resized, self.wanted, out, self.preprocessing.normalised(channel.min(2), 0.0), |at| floats[at]);
        }
        Ok(())
    }

    /// The size that an image has before it is cropped, where it has the wanted one afterwards.
    fn resized(&self, size: Size) -> Result<Size, String> {
        let [height, width] = size;
        let resized = match self.preprocessing.resize {
            None => size,
            Some(Resize::Exact { height, width }) => [height, width],
            Some(Resize::Shortest(side)) if width <= height => [side.saturating_mul(height) / width.max(1), side],
            Some(Resize::Shortest(side)) => [side, side.saturating_mul(width) / height.max(1)],
        };
        let [tall, wide] = resized;
        if tall.saturating_mul(wide) > MOST_PIXELS {
            return Err(format!(
                "is {height} by {width} pixels, and would become {tall} by {wide} before it is cropped"
            ));
        }
        let cropped = self.preprocessing.crop.unwrap_or(resized);
        if cropped == self.wanted {
            return Ok(resized);
        }
        let ([high, wide], [model_high, model_wide]) = (cropped, self.wanted);
        Err(format!("is {high} by {wide} pixels after preprocessing, and the model takes {model_high} by {model_wide}"))
    }
}

impl Preprocessing {
    /// What a network takes in for the value `pixel` of a channel.
    fn normalised(&self, channel: usize, pixel: f32) -> f32 {
        (pixel * self.scale - self.mean[channel]) / self.std[channel]
    }
}

fn area([height, width]: Size) -> usize {
    height * width
}

/// The way from one size to another, for images of one kind of pixel.
struct Resizing<'r> {
    resizer: &'r mut Resizer,
    resampling: Resampling,
    kind: PixelType,
    /// Kept between images.
    between: &'r mut Vec<u8>,
}

impl Resizing<'_> {
    /// Resizes the image of the bytes `source` into `target`: along the rows first, then along the columns, as Pillow does.
    /// The order shows where a kernel swings beyond black or white, which is cut off in between.
    fn run(&mut self, (source, from): (&[u8], Size), (target, to): (&mut [u8], Size)) -> Result<(), String> {
        let [tall, _] = from;
        let [_, wide] = to;
        if from[1] == wide || tall == to[0] {
            return self.step((source, from), (target, to));
        }
        let mut between = std::mem::take(self.between);
        between.resize(area([tall, wide]) * self.kind.size(), 0);
        let done = self
            .step((source, from), (&mut between, [tall, wide]))
            .and_then(|()| self.step((&between, [tall, wide]), (target, to)));
        *self.between = between;
        done
    }

    fn step(&mut self, (source, from): (&[u8], Size), (target, to): (&mut [u8], Size)) -> Result<(), String> {
        let side = |side: usize| u32::try_from(side).map_err(|_| format!("has a side of {side} pixels"));
        let source = ImageRef::new(side(from[1])?, side(from[0])?, source, self.kind).map_err(|e| e.to_string())?;
        let target = Image::from_slice_u8(side(to[1])?, side(to[0])?, target, self.kind);
        let mut target = target.map_err(|e| e.to_string())?;
        let options = ResizeOptions::new().resize_alg(match self.resampling {
            Resampling::Nearest => ResizeAlg::Nearest,
            Resampling::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
            Resampling::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Resampling::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Resampling::Box => ResizeAlg::Convolution(FilterType::Box),
            Resampling::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
        });
        self.resizer.resize(&source, &mut target, &options).map_err(|e| format!("cannot be resized: {e}"))
    }
}

/// Fills `plane` with the values around the centre of an image, and with `black` beyond its borders.
fn centre(from: Size, to: Size, plane: &mut [f32], black: f32, value: impl Fn(usize) -> f32) {
    // Rounded down below zero too, as Python does: an odd border is wider at the top and the left.
    let offset = |axis: usize| (from[axis] as isize - to[axis] as isize).div_euclid(2);
    let (top, left) = (offset(0), offset(1));
    let within = |at: isize, axis: usize| usize::try_from(at).ok().filter(|at| *at < from[axis]);
    for (y, row) in plane.chunks_exact_mut(to[1]).enumerate() {
        let Some(y) = within(y as isize + top, 0) else {
            row.fill(black);
            continue;
        };
        for (x, out) in row.iter_mut().enumerate() {
            *out = within(x as isize + left, 1).map_or(black, |x| value(y * from[1] + x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Preprocessing {
        Preprocessing {
            resize: None,
            crop: None,
            scale: 1.0,
            mean: [0.0, 1.0, 2.0],
            std: [1.0, 1.0, 2.0],
            ..Default::default()
        }
    }

    #[test]
    fn channels_are_parted_and_normalised() {
        let mut out = [0.0; 6];
        let preprocessing = plain();
        let mut processor = Processor::new(&preprocessing, [1, 2]);
        processor.image(&[1, 2, 3, 4, 5, 6], [1, 2], &mut out).unwrap();
        assert_eq!(out, [1.0, 4.0, 1.0, 4.0, 0.5, 2.0]);
        processor.normalise(&[1, 2, 3, 4, 5, 8], &mut out);
        assert_eq!(out, [1.0, 4.0, 1.0, 4.0, 0.5, 3.0]);
    }

    #[test]
    fn the_centre_is_kept_and_small_images_get_a_border() {
        let mut out = [0.0; 4];
        centre([2, 5], [1, 4], &mut out, -1.0, |at| at as f32);
        assert_eq!(out, [0.0, 1.0, 2.0, 3.0]);
        let mut out = [0.0; 8];
        centre([1, 3], [2, 4], &mut out, -1.0, |at| at as f32);
        assert_eq!(out, [-1.0, -1.0, -1.0, -1.0, -1.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn the_shorter_side_decides() {
        let preprocessing = Preprocessing { resize: Some(Resize::Shortest(4)), crop: Some([4, 4]), ..plain() };
        let processor = Processor::new(&preprocessing, [4, 4]);
        assert_eq!(processor.resized([3, 10]), Ok([4, 13]));
        assert_eq!(processor.resized([10, 3]), Ok([13, 4]));
        assert!(processor.resized([1, 1 << 25]).unwrap_err().contains("would become 4 by 134217728"));
        let other = Processor::new(&preprocessing, [5, 4]);
        assert_eq!(
            other.resized([3, 3]).unwrap_err(),
            "is 4 by 4 pixels after preprocessing, and the model takes 5 by 4"
        );
    }

    #[test]
    fn bytes_and_planes_are_resized_alike() {
        let (size, wanted) = ([7, 9], [4, 5]);
        let preprocessing = Preprocessing {
            resize: Some(Resize::Exact { height: 4, width: 5 }),
            mean: [0.0; 3],
            std: [1.0; 3],
            ..plain()
        };
        let mut processor = Processor::new(&preprocessing, wanted);
        let pixels: Vec<u8> = (0..3 * area(size)).map(|i| (i * 37 % 200) as u8 + 20).collect();
        let planes: Vec<f32> = (0..3).flat_map(|c| pixels[c..].iter().step_by(3).map(|p| f32::from(*p))).collect();
        let (mut bytes, mut floats) = ([0.0; 60], [0.0; 60]);
        processor.image(&pixels, size, &mut bytes).unwrap();
        processor.planes(&planes, size, &mut floats).unwrap();
        let far = bytes.iter().zip(&floats).filter(|(b, f)| (*b - *f).abs() > 1.01).count();
        assert_eq!(far, 0, "{bytes:?} {floats:?}");
    }
}
