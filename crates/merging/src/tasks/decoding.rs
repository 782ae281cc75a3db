//! An image file as pixels.

use std::io::Cursor;
use std::path::Path;

use consilience_core::{Error, Result};
use image::error::LimitErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage, Rgba};

/// An image of more pixels is refused before it is unpacked: a file of a few kilobytes can claim gigabytes.
const MOST_PIXELS: u64 = 100_000_000;

/// What a decoder may allocate in all: the pixels in their largest format, and as much again.
const MOST_BYTES: u64 = 16 * MOST_PIXELS;

/// Decodes an image file, whatever its ending says, to red, green and blue: grey is repeated, what is transparent
/// laid over white, 16 bits made 8, and of an animation the first picture taken.
pub(super) fn decode(path: &Path) -> Result<RgbImage> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    let fault = |error: ImageError| match error {
        ImageError::Limits(e) if e.kind() == LimitErrorKind::InsufficientMemory => Error::format(path, TOO_LARGE),
        ImageError::Unsupported(e) => Error::format(path, e.to_string()),
        e => Error::format(path, format!("cannot be decoded: {e}")).with_help("fetch or copy the file again"),
    };
    let mut reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|e| Error::io("cannot read", path, e))?;
    let Some(format) = reader.format() else {
        return Err(Error::format(path, "is no JPEG, PNG, GIF, WebP or BMP image, whatever its ending says"));
    };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(&bytes) {
        return Err(
            Error::format(path, "is truncated: a JPEG image without its end").with_help("fetch or copy the file again")
        );
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(Error::format(path, format!("is {width} by {height} pixels, more than {MOST_PIXELS} in all"))
            .with_help("make the image smaller"));
    }
    if width == 0 || height == 0 {
        return Err(Error::format(path, "has no pixels"));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let image = image.into_rgba8();
    Ok(RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let Rgba([red, green, blue, alpha]) = *image.get_pixel(x, y);
        Rgb([red, green, blue].map(|value| over_white(value, alpha)))
    }))
}

/// A value laid over white with an opacity.
pub(super) fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

const TOO_LARGE: &str = "takes too much memory to decode";

/// Whether an end marker follows the picture's data. The decoder would fill what is missing with grey.
///
/// The segments before the data are stepped over by their lengths: they may hold a preview with an end of its own. Within
/// the data a marker cannot occur by chance, since 0xff is followed by 0 there.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match rest {
            // Fill bytes before a marker.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0xda, data @ ..] => return data.windows(2).any(|pair| pair == [0xff, 0xd9]),
            // Markers without a length.
            [0xff, 0x01 | 0xd0..=0xd8, after @ ..] => rest = after,
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(2 + length.max(2)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}
