//! Bars with error bars and the single seeds as dots.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{FAINT, Frame, INK, LABEL, colour, draw, fault, fit, head, range, text, text_width, tick, title};
use crate::{Error, Result};

/// One bar: a name, a mean, its error, and what it is the mean of.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// Its name, at its left.
    pub name: String,
    /// Its length.
    pub mean: f64,
    /// Half the length of the error bar, usually the standard deviation; 0 for none.
    pub error: f64,
    /// The single measurements, drawn as dots; may be empty.
    pub dots: Vec<f64>,
    /// The colour's number in the palette: equal numbers look alike.
    pub colour: usize,
}

/// Horizontal bars, so that long names can be read, one under the other in the given order. The height follows
/// from the number of bars, whatever the frame says.
///
/// # Errors
/// Nothing to draw, a number that is not finite, more than 400 bars, or a frame that is too small.
pub fn bars(frame: &Frame, groups: &[BarGroup]) -> Result<String> {
    if groups.len() > 400 {
        return Err(Error::parameter("bars", groups.len(), "at most 400"));
    }
    let ends = |g: &BarGroup| [g.mean - g.error.abs(), g.mean + g.error.abs()];
    let values = || groups.iter().flat_map(|g| ends(g).into_iter().chain(g.dots.iter().copied()));
    let span = range("bars", values().chain((!groups.is_empty()).then_some(0.0)))?;
    // A bar starts at 0, and air beyond 0 would look like a value of the other sign.
    let low = if values().all(|v| v >= 0.0) { 0.0 } else { span.start };
    let high = if values().all(|v| v <= 0.0) { 0.0 } else { span.end };
    let names = groups.iter().map(|g| text_width(&g.name, LABEL)).max().unwrap_or(0);
    let left = (names + 20).min(frame.width as i32 / 2);
    let value_room = 20 + groups.iter().map(|g| text_width(&tick(g.mean), LABEL)).max().unwrap_or(0);
    let top = head(frame);
    let bottom = if frame.x.is_empty() { 28 } else { 48 };
    let row = 26;
    let wanted = top + bottom + row * groups.len() as i32;
    let frame = Frame { height: (wanted as u32).max(150), ..frame.clone() };
    draw(&frame, |area| {
        let (width, height) = (frame.width as i32, frame.height as i32);
        let (right, floor) = (width - value_room, height - bottom);
        let scale = f64::from(right - left) / (high - low);
        let x = |value: f64| left + ((value - low) * scale).round() as i32;
        let label = |words: String, end: HPos, at: (i32, i32)| {
            area.draw(&Text::new(words, at, text(LABEL, end))).map_err(fault)
        };
        title(&frame, area)?;
        for value in ticks(low, high, ((right - left) / 60).max(2) as usize) {
            area.draw(&PathElement::new([(x(value), top), (x(value), floor)], FAINT)).map_err(fault)?;
            label(tick(value), HPos::Center, (x(value), floor + 12))?;
        }
        if !frame.x.is_empty() {
            label(fit(&frame.x, LABEL, width - 20), HPos::Center, ((left + right) / 2, height - 12))?;
        }
        for (index, group) in groups.iter().enumerate() {
            let y = top + row * index as i32;
            let (a, b) = (y + 4, y + row - 4);
            let middle = (a + b) / 2;
            let fill = colour(group.colour);
            let (from, to) = (x(0.0).min(x(group.mean)), x(0.0).max(x(group.mean)));
            area.draw(&Rectangle::new([(from, a), (to, b)], fill.mix(0.55).filled())).map_err(fault)?;
            for dot in &group.dots {
                area.draw(&Circle::new((x(*dot), middle), 2, fill.filled())).map_err(fault)?;
            }
            let [low_end, high_end] = ends(group).map(x);
            if group.error.abs() > 0.0 {
                for line in [
                    [(low_end, middle), (high_end, middle)],
                    [(low_end, a + 3), (low_end, b - 3)],
                    [(high_end, a + 3), (high_end, b - 3)],
                ] {
                    area.draw(&PathElement::new(line, INK.stroke_width(1))).map_err(fault)?;
                }
            }
            label(fit(&group.name, LABEL, left - 14), HPos::Right, (left - 8, middle))?;
            let beyond = group.dots.iter().map(|d| x(*d)).chain([to, high_end]).max().unwrap_or(to);
            label(tick(group.mean), HPos::Left, (beyond + 7, middle))?;
        }
        area.draw(&PathElement::new([(x(0.0), top), (x(0.0), floor)], INK)).map_err(fault)?;
        Ok(())
    })
}

/// Round numbers within the range, about `count` of them.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|s| *s >= rough).unwrap_or(rough);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).take(50).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, mean: f64) -> BarGroup {
        BarGroup { name: name.to_owned(), mean, error: 0.1, dots: vec![mean - 0.1, mean + 0.1], colour: 0 }
    }

    #[test]
    fn draws_names_and_dots() {
        let svg = bars(&Frame::titled("Accuracy", "fraction", ""), &[bar("first", 0.5), bar("second", -0.7)]).unwrap();
        for label in ["Accuracy", "fraction", "first", "second", "0.5", "-0.7"] {
            assert!(svg.contains(label), "{label} is missing");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 0.95, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8]);
        assert_eq!(ticks(-3.0, 12.0, 4), [0.0, 5.0, 10.0]);
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let frame = Frame::default();
        assert!(bars(&frame, &[]).is_err());
        assert!(bars(&frame, &[bar("a", f64::NAN)]).is_err());
        assert!(bars(&frame, &vec![bar("a", 1.0); 401]).is_err());
        for mean in [0.0, 1e-200, 1e200, -1e200] {
            let lone = BarGroup { name: String::new(), mean, error: 0.0, dots: vec![], colour: 99 };
            assert!(bars(&frame, &[lone]).is_ok(), "{mean}");
        }
    }
}
