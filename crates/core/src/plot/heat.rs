//! Matrices as coloured cells with their numbers.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Frame, INK, LABEL, draw, fault, fit, head, range, text, text_width, tick, title, upright};
use crate::{Error, Result};

/// A matrix to draw, with names for its rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// One name a row; or none at all.
    pub rows: Vec<String>,
    /// One name a column; or none at all.
    pub columns: Vec<String>,
    /// The rows, all of the same length. NaN is an empty cell.
    pub values: Vec<Vec<f64>>,
    /// The values that get the lightest and the darkest colour; `None` takes the smallest and the largest.
    pub limits: Option<(f64, f64)>,
}

/// Light to dark blue: lightness alone carries the value, so that it reads in any colour vision and in print.
const LIGHT: (f64, f64, f64) = (247.0, 251.0, 255.0);
const DARK: (f64, f64, f64) = (8.0, 48.0, 107.0);

/// A heat map, each cell with its number where there is room.
///
/// # Errors
/// No cells, rows of different lengths, names of another number, an infinite value, no finite value, more than 200 rows or
/// columns, or limits that are not a range.
pub fn heat_map(frame: &Frame, grid: &Grid) -> Result<String> {
    let (rows, columns) = check(grid)?;
    let (low, high) = match grid.limits {
        Some((low, high)) if low.is_finite() && high.is_finite() && low < high => (low, high),
        Some((low, high)) => {
            return Err(Error::parameter("limits", format!("({low}, {high})"), "two numbers, the lower first"));
        }
        None => {
            let present = || grid.values.iter().flatten().copied().filter(|v| !v.is_nan());
            range("values", present())?;
            let low = present().fold(f64::INFINITY, f64::min);
            let high = present().fold(f64::NEG_INFINITY, f64::max);
            (low, if high > low { high } else { low + 1.0 })
        }
    };
    draw(frame, |area| {
        let (width, height) = (frame.width as i32, frame.height as i32);
        let widest = |names: &[String]| names.iter().map(|n| text_width(n, LABEL)).max().unwrap_or(0);
        let left = (if frame.y.is_empty() { 12 } else { 36 }) + widest(&grid.rows).min(width / 3);
        let top = head(frame);
        let cell_width = f64::from(width - left - 14) / columns as f64;
        let upright_names = f64::from(widest(&grid.columns) + 6) > cell_width;
        let name_room = if grid.columns.is_empty() {
            0
        } else if upright_names {
            widest(&grid.columns).min(height / 3) + 8
        } else {
            20
        };
        let bottom = name_room + if frame.x.is_empty() { 8 } else { 26 };
        let cell_height = f64::from(height - top - bottom) / rows as f64;
        let x = |column: usize| left + (column as f64 * cell_width).round() as i32;
        let y = |row: usize| top + (row as f64 * cell_height).round() as i32;
        let label = |words: String, style: TextStyle<'_>, at: (i32, i32)| {
            area.draw(&Text::new(words, at, style)).map_err(fault)
        };
        title(frame, area)?;
        for (row, values) in grid.values.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                if value.is_nan() {
                    continue;
                }
                let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
                let corner = [(x(column), y(row)), (x(column + 1), y(row + 1))];
                area.draw(&Rectangle::new(corner, shade(share).filled())).map_err(fault)?;
                let words = short(value);
                if f64::from(text_width(&words, LABEL) + 4) <= cell_width && cell_height >= 16.0 {
                    let ink = if share > 0.55 { WHITE } else { INK };
                    let middle = ((corner[0].0 + corner[1].0) / 2, (corner[0].1 + corner[1].1) / 2);
                    label(words, text(LABEL, HPos::Center).color(&ink), middle)?;
                }
            }
        }
        area.draw(&Rectangle::new([(x(0), y(0)), (x(columns), y(rows))], INK)).map_err(fault)?;
        // Where rows are thinner than a line of text, every name would overlap the next.
        let every = |size: f64| (16.0 / size).ceil().max(1.0) as usize;
        for (row, name) in grid.rows.iter().enumerate().step_by(every(cell_height)) {
            let middle = (y(row) + y(row + 1)) / 2;
            label(fit(name, LABEL, left - 12), text(LABEL, HPos::Right), (left - 8, middle))?;
        }
        for (column, name) in grid.columns.iter().enumerate().step_by(every(cell_width)) {
            let middle = (x(column) + x(column + 1)) / 2;
            if upright_names {
                label(fit(name, LABEL, name_room), upright(LABEL, HPos::Right), (middle, y(rows) + 6))?;
            } else {
                label(name.clone(), text(LABEL, HPos::Center), (middle, y(rows) + 12))?;
            }
        }
        if !frame.x.is_empty() {
            label(fit(&frame.x, LABEL, width - 20), text(LABEL, HPos::Center), ((left + width) / 2, height - 12))?;
        }
        if !frame.y.is_empty() {
            let words = fit(&frame.y, LABEL, height - 20);
            label(words, upright(LABEL, HPos::Center), (14, (top + y(rows)) / 2))?;
        }
        Ok(())
    })
}

fn check(grid: &Grid) -> Result<(usize, usize)> {
    let rows = grid.values.len();
    let columns = grid.values.first().map_or(0, Vec::len);
    if rows == 0 || columns == 0 {
        return Err(Error::data("values", "there is nothing to draw"));
    }
    if rows > 200 || columns > 200 {
        return Err(Error::shape("values", [rows, columns], "at most 200 rows and 200 columns"));
    }
    if let Some(row) = grid.values.iter().find(|r| r.len() != columns) {
        return Err(Error::shape("values", [row.len()], format!("rows of the same length, {columns}")));
    }
    for (argument, names, count) in [("rows", &grid.rows, rows), ("columns", &grid.columns, columns)] {
        if !names.is_empty() && names.len() != count {
            return Err(Error::shape(argument, [names.len()], format!("[{count}], one name each, or none")));
        }
    }
    if grid.values.iter().flatten().any(|v| v.is_infinite()) {
        return Err(Error::NotFinite {
            argument: "values".to_owned(),
            found: "an infinite value".to_owned(),
            position: "a cell to be drawn".to_owned(),
        });
    }
    Ok((rows, columns))
}

fn shade(share: f64) -> RGBColor {
    let mix = |light: f64, dark: f64| (light + share * (dark - light)).round() as u8;
    RGBColor(mix(LIGHT.0, DARK.0), mix(LIGHT.1, DARK.1), mix(LIGHT.2, DARK.2))
}

fn short(value: f64) -> String {
    if value != 0.0 && !(1e-2..1e4).contains(&value.abs()) {
        tick(value)
    } else {
        tick((value * 1000.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(values: Vec<Vec<f64>>) -> Grid {
        Grid { rows: vec![], columns: vec![], values, limits: None }
    }

    #[test]
    fn cells_carry_their_numbers_and_nan_is_empty() {
        let mut grid = grid(vec![vec![0.25, f64::NAN], vec![0.5, 1.0]]);
        grid.rows = vec!["after A".to_owned(), "after B".to_owned()];
        grid.columns = vec!["A".to_owned(), "B".to_owned()];
        let svg = heat_map(&Frame::titled("Accuracy", "task", "learnt"), &grid).unwrap();
        for label in ["0.25", "0.5", "after A", "after B", "task", "learnt"] {
            assert!(svg.contains(label), "{label} is missing");
        }
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let draw = |g: &Grid| heat_map(&Frame::default(), g);
        assert!(draw(&grid(vec![])).is_err() && draw(&grid(vec![vec![]])).is_err());
        assert!(draw(&grid(vec![vec![1.0], vec![1.0, 2.0]])).is_err());
        assert!(draw(&grid(vec![vec![f64::NAN]])).is_err() && draw(&grid(vec![vec![f64::INFINITY]])).is_err());
        assert!(draw(&Grid { limits: Some((1.0, 1.0)), ..grid(vec![vec![1.0]]) }).is_err());
        assert!(draw(&Grid { rows: vec![String::new(); 2], ..grid(vec![vec![1.0]]) }).is_err());
        assert!(draw(&grid(vec![vec![0.5; 200]; 200])).is_ok() && draw(&grid(vec![vec![3.0]])).is_ok());
    }
}
