//! Arrays of images, in the layouts that people save them in.

use consilience_core::samples::{Array, NumberKind};
use consilience_core::{Error, Progress, Result, Samples};

use super::arrays::check_finite;
use super::decoding::over_white;
use super::processing::{Processor, Size};
use super::{Preprocessing, parallel};

/// How the pixels of an image lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelLayout {
    channels: usize,
    size: Size,
    /// Whether the channels of a pixel stand together, `[height, width, channels]`.
    interleaved: bool,
}

impl PixelLayout {
    /// The layout of images of the shape `sample`, where `wanted` is `[channels, height, width]`; `None` where they are no
    /// such images, of whatever size, or could be read in two ways.
    ///
    /// Grey stands for three channels. A fourth one is the opacity over white; that of floating-point images is dropped.
    pub fn of(sample: &[usize], wanted: [usize; 3]) -> Option<Self> {
        let [channels, height, width] = wanted;
        let planes = |channels, size| Some(Self { channels, size, interleaved: false });
        let is_channels = |extent: usize| extent == channels || channels == 3 && (extent == 1 || extent == 4);
        match *sample {
            _ if sample.contains(&0) => None,
            [values] => (values == channels * height * width).then_some(Self {
                channels,
                size: [height, width],
                interleaved: false,
            }),
            [height, width] if channels == 1 || channels == 3 => planes(1, [height, width]),
            [a, b, c] if [a, b, c] == wanted => planes(a, [b, c]),
            [a, b, c] => {
                let interleaved = is_channels(c);
                match is_channels(a) {
                    // Where both ends could be channels, only the wanted size tells.
                    true if interleaved && [a, b] != [height, width] => None,
                    true if !interleaved => planes(a, [b, c]),
                    _ if interleaved => Some(Self { channels: c, size: [a, b], interleaved }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Where the value of a channel of pixel `at` stands; grey for all channels.
    fn index(&self, channel: usize, at: usize) -> usize {
        let channel = if self.channels == 1 { 0 } else { channel };
        let [height, width] = self.size;
        if self.interleaved { at * self.channels + channel } else { channel * height * width + at }
    }
}

/// The images `chosen` of `array` as a network that takes in `shape` wants them: pixels of whole numbers preprocessed,
/// but not resized or cropped where they have the wanted size; floating-point numbers taken as preprocessed, and only
/// resized where they have another size.
pub(super) fn read(
    array: &Array,
    chosen: &[usize],
    shape: [usize; 3],
    preprocessing: &Preprocessing,
    progress: &dyn Progress,
) -> Result<Samples> {
    let [channels, height, width] = shape;
    let layout = PixelLayout::of(array.shape().get(1..).unwrap_or_default(), shape)
        .ok_or_else(|| Error::shape(array.label(), array.shape(), format!("images of {shape:?}")))?;
    let is_pixels = array.kind() != NumberKind::Floats;
    if is_pixels && channels != 3 {
        let wanted = format!("floating-point numbers, preprocessed: the model takes {channels} channels, not three");
        return Err(Error::shape(array.label(), array.shape(), wanted));
    }
    let area = layout.size[0] * layout.size[1];
    let state = || Reader {
        processor: Processor::new(preprocessing, [height, width]),
        row: vec![0.0; array.width()],
        pixels: vec![0; if is_pixels { 3 * area } else { 0 }],
        planes: vec![0.0; if is_pixels { 0 } else { channels * area }],
    };
    let fits = layout.size == [height, width];
    let one = |reader: &mut Reader<'_>, number: usize, out: &mut [f32]| {
        let row = chosen[number];
        let wrong = |problem: String| Error::data(format!("{}, image {row}", array.label()), problem);
        array.read_row(row, &mut reader.row)?;
        if is_pixels {
            reader.pixels(&layout).map_err(wrong)?;
            if fits {
                reader.processor.normalise(&reader.pixels, out);
                return Ok(());
            }
            return reader.processor.image(&reader.pixels, layout.size, out).map_err(wrong);
        }
        check_finite(array, row, &reader.row)?;
        if preprocessing.scale < 1.0 && reader.row.iter().any(|value| *value > LARGEST) {
            let problem = "holds values as of pixels, and floating-point numbers are taken as preprocessed already";
            return Err(wrong(problem.to_owned()).with_help("save pixels as unsigned bytes (numpy.uint8)"));
        }
        if fits {
            reader.planes(&layout, out);
            return Ok(());
        }
        let mut planes = std::mem::take(&mut reader.planes);
        reader.planes(&layout, &mut planes);
        let done = reader.processor.planes(&planes, layout.size, out).map_err(wrong);
        reader.planes = planes;
        done
    };
    parallel::fill("reading images", (chosen.len(), &shape), state, one, progress)
}

/// No normalised pixel is larger.
const LARGEST: f32 = 64.0;

/// A thread's buffers: an image as it is stored, and as a processor takes it.
struct Reader<'p> {
    processor: Processor<'p>,
    row: Vec<f32>,
    pixels: Vec<u8>,
    planes: Vec<f32>,
}

impl Reader<'_> {
    /// Fills the pixels from the row.
    fn pixels(&mut self, layout: &PixelLayout) -> std::result::Result<(), String> {
        if let Some(value) = self.row.iter().find(|value| !(0.0..=255.0).contains(*value)) {
            return Err(format!("holds the value {value}, and pixels that are whole numbers lie between 0 and 255"));
        }
        for (at, pixel) in self.pixels.chunks_exact_mut(3).enumerate() {
            for (channel, value) in pixel.iter_mut().enumerate() {
                let stored = self.row[layout.index(channel, at)] as u8;
                *value = match layout.channels {
                    4 => over_white(stored, self.row[layout.index(3, at)] as u8),
                    _ => stored,
                };
            }
        }
        Ok(())
    }

    /// Writes the row to `out`, `[channels, height, width]`.
    fn planes(&self, layout: &PixelLayout, out: &mut [f32]) {
        let [height, width] = layout.size;
        for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
            for (at, value) in plane.iter_mut().enumerate() {
                *value = self.row[layout.index(channel, at)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_by_the_wanted_shape() {
        let wanted = [3, 8, 8];
        let layout = |sample: &[usize]| PixelLayout::of(sample, wanted);
        let some = |channels, size, interleaved| Some(PixelLayout { channels, size, interleaved });
        assert_eq!(layout(&[3, 8, 8]), some(3, [8, 8], false));
        assert_eq!(layout(&[8, 8, 3]), some(3, [8, 8], true));
        assert_eq!(layout(&[10, 12, 3]), some(3, [10, 12], true));
        assert_eq!(layout(&[1, 10, 12]), some(1, [10, 12], false));
        assert_eq!(layout(&[10, 12, 4]), some(4, [10, 12], true));
        assert_eq!(layout(&[10, 12]), some(1, [10, 12], false));
        assert_eq!(layout(&[192]), some(3, [8, 8], false));
        for sample in [&[3, 9, 3][..], &[10, 12, 5], &[191], &[2, 3, 8, 8], &[0, 8, 3], &[]] {
            assert_eq!(layout(sample), None, "{sample:?}");
        }
        // The size that is wanted tells what the extents alone do not.
        assert_eq!(PixelLayout::of(&[3, 4, 3], [3, 3, 4]), some(3, [3, 4], true));
        assert_eq!(PixelLayout::of(&[10, 12], [2, 10, 12]), None);
    }
}
