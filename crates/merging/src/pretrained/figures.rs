//! Curves and weights of learned merges, drawn.

use consilience_core::Result;
use consilience_core::plot::{Frame, Grid, Series, heat_map, lines};
use indexmap::IndexMap;

use super::write::short;
use crate::learned::Weights;

/// Points of a curve at most; longer ones are averaged over stretches.
const POINTS: usize = 400;
/// Rows of a heat map at most.
const ROWS: usize = 200;

/// A curve over steps.
pub fn curve(title: &str, unit: &str, values: &[f32]) -> Result<String> {
    let stretch = values.len().div_ceil(POINTS).max(1);
    let points = values.chunks(stretch).enumerate().map(|(i, part)| {
        let mean = part.iter().map(|value| f64::from(*value)).sum::<f64>() / part.len() as f64;
        ((i * stretch) as f64, mean)
    });
    lines(&Frame::titled(title, "step", unit), &[Series::new("", points)])
}

/// Merging weights, a row a layer (the mean over its tensors) and a column an expert.
pub fn weights(weights: &Weights, tensors: &[String], experts: &[String]) -> Result<String> {
    let mut layers: IndexMap<String, Vec<usize>> = IndexMap::new();
    for (i, name) in tensors.iter().enumerate() {
        layers.entry(layer(&short(name))).or_default().push(i);
    }
    layers.truncate(ROWS);
    let mean = |task: usize, members: &[usize]| {
        let sum: f64 = members.iter().filter_map(|i| weights.get(task, *i)).map(f64::from).sum();
        sum / members.len() as f64
    };
    let grid = Grid {
        values: layers.values().map(|members| (0..experts.len()).map(|task| mean(task, members)).collect()).collect(),
        rows: layers.into_keys().collect(),
        columns: experts.iter().map(|name| last_part(name)).collect(),
        limits: None,
    };
    let height = (120 + 20 * grid.rows.len() as u32).max(400);
    heat_map(&Frame { height, ..Frame::titled("Merging weights by layer", "", "") }, &grid)
}

/// A tensor's name up to its layer's number, or without its last part.
fn layer(name: &str) -> String {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len() + 1;
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            return name[..end - 1].to_owned();
        }
    }
    name.rsplit_once('.').map_or(name, |(front, _)| front).to_owned()
}

fn last_part(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_belong_to_layers() {
        assert_eq!(layer("layers.11.query.weight"), "layers.11");
        assert_eq!(layer("norm.gamma"), "norm");
        assert_eq!(layer("class_embedding"), "class_embedding");
        assert_eq!(last_part("models/a/"), "a");
    }

    #[test]
    fn long_curves_are_averaged() {
        let svg = curve("loss", "nats", &vec![1.0; 10_000]).unwrap();
        assert!(svg.len() < 60_000, "{}", svg.len());
    }
}
