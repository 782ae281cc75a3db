//! The sixteen variants of an image that instance contrast tells apart (Guo et al., 2022).

use consilience_core::{Error, Result};

/// The first `count` (1, 4 or 16) variants of an image `[channels, height, width]`, row-major: the image itself first.
///
/// Four inner ones: the image; its left half turned by 180 degrees in place; both halves, each in place; its right half. Then
/// all four turned by 0, 180, 90 and 270 degrees. With 4, the image in the four turns.
///
/// # Errors
/// [`Error::Parameter`] on another count, [`Error::Shape`] on an image that is not square (for 4 and 16), or of odd width (16).
pub fn variants(image: &[f32], shape: [usize; 3], count: usize) -> Result<Vec<Vec<f32>>> {
    let [channels, height, width] = shape;
    if image.len() != channels * height * width {
        return Err(Error::shape("image", [image.len()], format!("{shape:?}")));
    }
    if ![1, 4, 16].contains(&count) {
        return Err(Error::parameter("variants", count, "1, 4 or 16"));
    }
    if count > 1 && height != width {
        return Err(Error::shape("image", shape, "a square image to turn"));
    }
    if count == 16 && !width.is_multiple_of(2) {
        return Err(Error::shape("image", shape, "an even width, to halve it"));
    }
    let inner: Vec<Vec<f32>> = match count {
        16 => [(false, false), (true, false), (true, true), (false, true)]
            .into_iter()
            .map(|(left, right)| halves(image, shape, left, right))
            .collect(),
        _ => vec![image.to_vec()],
    };
    let turns: &[usize] = if count == 1 { &[0] } else { &[0, 2, 1, 3] };
    Ok(turns.iter().flat_map(|turns| inner.iter().map(move |image| turned(image, shape, *turns))).collect())
}

/// The image with its left or right half turned by 180 degrees in place.
fn halves(image: &[f32], [_, height, width]: [usize; 3], left: bool, right: bool) -> Vec<f32> {
    let half = width / 2;
    let from = |place: usize| {
        let (channel, y, x) = (place / (height * width), place / width % height, place % width);
        let turn = if x < half { left } else { right };
        let (y, x) = match (turn, x < half) {
            (false, _) => (y, x),
            (true, true) => (height - 1 - y, half - 1 - x),
            (true, false) => (height - 1 - y, half + (width - 1 - x)),
        };
        (channel * height + y) * width + x
    };
    (0..image.len()).map(|place| image.get(from(place)).copied().unwrap_or(0.0)).collect()
}

/// The image turned counter-clockwise by so many quarters; square for odd ones.
fn turned(image: &[f32], [_, height, width]: [usize; 3], quarters: usize) -> Vec<f32> {
    let from = |place: usize| {
        let (channel, y, x) = (place / (height * width), place / width % height, place % width);
        let (y, x) = match quarters {
            1 => (x, width - 1 - y),
            2 => (height - 1 - y, width - 1 - x),
            3 => (height - 1 - x, y),
            _ => (y, x),
        };
        (channel * height + y) * width + x
    };
    (0..image.len()).map(|place| image.get(from(place)).copied().unwrap_or(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_variants_differ_and_turn_back() {
        let image: Vec<f32> = (0..2 * 4 * 4).map(|v| v as f32).collect();
        let all = variants(&image, [2, 4, 4], 16).unwrap();
        assert_eq!((all.len(), &all[0]), (16, &image));
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "variant {i} is there twice");
        }
        // Variant 4 is the whole image turned by 180 degrees.
        assert_eq!(variants(&all[4], [2, 4, 4], 16).unwrap()[4], image);
        assert_eq!(variants(&all[1], [2, 4, 4], 16).unwrap()[1], image);
        assert_eq!(variants(&image, [2, 4, 4], 4).unwrap()[1], all[4]);
        assert_eq!(variants(&image, [2, 4, 4], 1).unwrap(), std::slice::from_ref(&image));
    }

    #[test]
    fn images_that_cannot_turn_are_refused() {
        assert!(variants(&[0.0; 6], [1, 2, 3], 4).is_err() && variants(&[0.0; 9], [1, 3, 3], 16).is_err());
        assert_eq!(variants(&[0.0; 4], [1, 2, 2], 8).unwrap_err().to_string(), "variants = 8, wanted 1, 4 or 16");
        assert!(variants(&[0.0; 5], [1, 2, 2], 1).is_err());
    }
}
