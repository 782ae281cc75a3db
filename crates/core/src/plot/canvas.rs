//! What all figures share: size, palette, fonts, number formats, and the checks of what is to be drawn.

use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Error, Result};

/// Title, axes and size of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Above the figure; may be empty.
    pub title: String,
    /// What the horizontal axis shows; may be empty.
    pub x: String,
    /// What the vertical axis shows; may be empty.
    pub y: String,
    /// Width in pixels: 640 by default, at least 200.
    pub width: u32,
    /// Height in pixels: 400 by default, at least 150.
    pub height: u32,
}

impl Default for Frame {
    fn default() -> Self {
        Self { title: String::new(), x: String::new(), y: String::new(), width: 640, height: 400 }
    }
}

impl Frame {
    /// A frame of the default size.
    pub fn titled(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self { title: title.into(), x: x.into(), y: y.into(), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(200..=10_000).contains(&self.width) || !(150..=10_000).contains(&self.height) {
            let found = format!("{} x {}", self.width, self.height);
            return Err(Error::parameter("figure size", found, "from 200 x 150 to 10000 x 10000 pixels"));
        }
        Ok(())
    }
}

pub(super) const FONT: &str = "sans-serif";
const TITLE: i32 = 17;
pub(super) const LABEL: i32 = 13;
pub(super) const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
pub(super) const FAINT: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// Okabe and Ito's palette, black last and yellow, which is faint on white, left out.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Text whose given end, or middle, stands at the point that it is drawn at, centred in height. The viewer measures it, not
/// an estimate made here.
pub(super) fn text(size: i32, end: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(end, VPos::Center))
}

/// The same, reading upwards.
pub(super) fn upright(size: i32, end: HPos) -> TextStyle<'static> {
    let font = (FONT, size).into_font().transform(FontTransform::Rotate270);
    font.color(&INK).pos(Pos::new(end, VPos::Center))
}

/// Draws the figure's title, if there is one, centred over everything.
pub(super) fn title(frame: &Frame, area: &Area<'_>) -> Result<()> {
    if frame.title.is_empty() {
        return Ok(());
    }
    let words = fit(&frame.title, TITLE, frame.width as i32 - 20);
    area.draw(&Text::new(words, (frame.width as i32 / 2, 20), text(TITLE, HPos::Center))).map_err(fault)
}

/// The pixels above the plot, with the title or without.
pub(super) fn head(frame: &Frame) -> i32 {
    if frame.title.is_empty() { 12 } else { 40 }
}

/// The width in pixels that `label` takes, estimated: the SVG backend has no font to measure by, and viewers differ.
pub(super) fn text_width(label: &str, size: i32) -> i32 {
    let units: f64 = label
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | ';' | '\'' | '(' | ')' | ' ' | '|' => 0.36,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.9,
            c if c.is_uppercase() => 0.7,
            _ => 0.58,
        })
        .sum();
    (units * f64::from(size)).ceil() as i32
}

/// `label` cut to about `width` pixels, with an ellipsis.
pub(super) fn fit(label: &str, size: i32, width: i32) -> String {
    if text_width(label, size) <= width {
        return label.to_owned();
    }
    let mut kept = String::new();
    for c in label.chars() {
        kept.push(c);
        if text_width(&kept, size) + size > width {
            break;
        }
    }
    kept + "…"
}

/// A number as an axis shows it.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size < 1e-12 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{value:.1e}")
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The smallest range around all values with a little air; a range of nothing is widened.
pub(super) fn range(argument: &str, values: impl Iterator<Item = f64>) -> Result<std::ops::Range<f64>> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        if !value.is_finite() || value.abs() > 1e300 {
            return Err(Error::NotFinite {
                argument: argument.to_owned(),
                found: value.to_string(),
                position: "a point to be drawn".to_owned(),
            });
        }
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return Err(Error::data(argument, "there is nothing to draw"));
    }
    let air =
        if high - low > 1e-12 * low.abs().max(high.abs()) { 0.04 * (high - low) } else { 0.5 * low.abs().max(1e-3) };
    Ok(low - air..high + air)
}

/// A drawing fault as the workspace's error.
pub(super) fn fault(e: impl std::fmt::Display) -> Error {
    Error::data("figure", format!("cannot be drawn: {e}"))
}

/// What figures are painted on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws into a string, on white so that the figure reads the same on a dark page.
pub(super) fn draw(frame: &Frame, paint: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    frame.check()?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (frame.width, frame.height)).into_drawing_area();
        area.fill(&WHITE).map_err(fault)?;
        paint(&area)?;
        area.present().map_err(fault)?;
    }
    Ok(svg.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, 1.0, 0.25, 1500.0, 2e-7, 3e9].map(tick), ["0", "1", "0.25", "1500", "2.0e-7", "3.0e9"]);
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(fit("short", 12, 200), "short");
        let cut = fit("a very long label that does not fit", 12, 60);
        assert!(cut.ends_with('…') && text_width(&cut, 12) <= 66, "{cut}");
    }

    #[test]
    fn ranges_are_never_empty() {
        for values in [vec![0.0], vec![5.0, 5.0], vec![1e12, 1e12], vec![-1.0, 1.0]] {
            let range = range("y", values.into_iter()).unwrap();
            assert!(range.end > range.start);
        }
        assert!(range("y", [f64::NAN].into_iter()).is_err());
        assert_eq!(range("y", std::iter::empty()).unwrap_err().to_string(), "y: there is nothing to draw");
    }

    #[test]
    fn sizes_are_checked() {
        assert!(draw(&Frame { width: 0, ..Frame::default() }, |_| Ok(())).is_err());
    }
}
