//! Lines and scatter.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{
    FAINT, FONT, Frame, INK, LABEL, colour, draw, fault, fit, head, range, text, text_width, tick, title, upright,
};
use crate::{Error, Result};

/// A named row of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend; may be empty.
    pub name: String,
    /// Points (x, y) in drawing order.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A named row of points.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect() }
    }
}

/// A line for each series, with a legend where they have names.
///
/// # Errors
/// Nothing to draw, a point that is not finite, or a frame that is too small.
pub fn lines(frame: &Frame, series: &[Series]) -> Result<String> {
    chart(frame, series, true)
}

/// A cloud of points for each series, with a legend where they have names.
///
/// # Errors
/// Those of [`lines`].
pub fn scatter(frame: &Frame, series: &[Series]) -> Result<String> {
    chart(frame, series, false)
}

fn chart(frame: &Frame, series: &[Series], connected: bool) -> Result<String> {
    let points = || series.iter().flat_map(|s| s.points.iter());
    let x = range("x", points().map(|p| p.0))?;
    let y = range("y", points().map(|p| p.1))?;
    let named: Vec<(usize, &str)> =
        series.iter().enumerate().filter(|(_, s)| !s.name.is_empty()).map(|(i, s)| (i, s.name.as_str())).collect();
    let widest = named.iter().map(|(_, name)| text_width(name, LABEL)).max().unwrap_or(0);
    let legend = if named.is_empty() { 14 } else { (widest + 44).min(frame.width as i32 / 3) };
    draw(frame, |area| {
        let (plot, key) = area.split_horizontally(frame.width as i32 - legend);
        title(frame, area)?;
        let left = 16 + [y.start, y.end].map(|v| text_width(&tick(v), LABEL)).into_iter().max().unwrap_or(0).max(30);
        let mut chart = ChartBuilder::on(&plot)
            .margin_top(head(frame))
            .margin_right(12)
            .margin_bottom(if frame.x.is_empty() { 6 } else { 24 })
            .margin_left(if frame.y.is_empty() { 6 } else { 26 })
            .x_label_area_size(24)
            .y_label_area_size(left)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(fault)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style((FONT, LABEL).into_font().color(&INK))
            .x_labels((frame.width / 90) as usize)
            .y_labels((frame.height / 55) as usize)
            .x_label_formatter(&|v| tick(*v))
            .y_label_formatter(&|v| tick(*v))
            .draw()
            .map_err(fault)?;
        let plot_width = frame.width as i32 - legend;
        if !frame.x.is_empty() {
            let words = fit(&frame.x, LABEL, plot_width - left);
            let at = ((left + plot_width) / 2, frame.height as i32 - 12);
            area.draw(&Text::new(words, at, text(LABEL, HPos::Center))).map_err(fault)?;
        }
        if !frame.y.is_empty() {
            let words = fit(&frame.y, LABEL, frame.height as i32 - 60);
            let at = (14, (frame.height as i32 + head(frame) - 40) / 2);
            area.draw(&Text::new(words, at, upright(LABEL, HPos::Center))).map_err(fault)?;
        }
        for (index, one) in series.iter().enumerate() {
            let style = colour(index);
            if connected {
                chart.draw_series(LineSeries::new(one.points.iter().copied(), style.stroke_width(2))).map_err(fault)?;
            }
            // A line of few points shows where they are; a lone point would otherwise not be seen at all.
            if !connected || one.points.len() <= 12 {
                let size = if connected { 3 } else { 4 };
                let fill = style.mix(if connected { 1.0 } else { 0.7 }).filled();
                chart.draw_series(one.points.iter().map(|p| Circle::new(*p, size, fill))).map_err(fault)?;
            }
        }
        let room = (frame.height as i32 - 50) / 20;
        for (row, (index, name)) in named.iter().enumerate().take(room.max(1) as usize) {
            let y = 44 + 20 * row as i32;
            key.draw(&Rectangle::new([(2, y + 3), (16, y + 9)], colour(*index).filled())).map_err(fault)?;
            key.draw(&Text::new(fit(name, LABEL, legend - 28), (22, y + 6), text(LABEL, HPos::Left))).map_err(fault)?;
        }
        Ok::<(), Error>(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_series_and_its_name() {
        let series =
            [Series::new("one & two", [(0.0, 1.0), (1.0, 2.0)]), Series::new("other", [(0.0, 0.5), (1.0, 0.1)])];
        let svg = lines(&Frame::titled("Curves", "step", "loss"), &series).unwrap();
        assert!(svg.matches("<polyline").count() >= 2);
        for label in ["Curves", "step", "loss", "one &amp; two", "other"] {
            assert!(svg.contains(label), "{label} is missing");
        }
        assert!(scatter(&Frame::default(), &series).unwrap().matches("<circle").count() >= 4);
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let frame = Frame::default();
        assert!(lines(&frame, &[]).is_err());
        assert!(lines(&frame, &[Series::new("a", [])]).is_err());
        assert!(lines(&frame, &[Series::new("a", [(0.0, f64::NAN)])]).is_err());
        assert!(scatter(&frame, &[Series::new("a", [(f64::INFINITY, 0.0)])]).is_err());
        assert!(lines(&frame, &[Series::new("a", [(3.0, 7.0)])]).is_ok(), "one point is fine");
        assert!(lines(&frame, &[Series::new("a", [(-1e299, 7.0), (1e299, 1e-300)])]).is_ok());
    }
}
