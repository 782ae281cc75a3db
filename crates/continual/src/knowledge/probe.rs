//! What the features of a network are good for, whatever its head says.

use consilience_core::{Error, LabelledSamples, Result, metrics};
use consilience_nn::Batch;
use rayon::prelude::*;

use crate::analytic::{Analytic, Expansion};
use crate::model::Model;
use crate::network::Featured;

/// The accuracy of a new head on all classes, fitted to the features of `train` by ridge regression, on `test`.
///
/// # Errors
/// Those of the network, [`Error::Shape`].
pub fn head_probe<M: Featured>(model: &Model<M>, train: &LabelledSamples, test: &LabelledSamples) -> Result<f64>
where
    M::Input: Batch,
{
    let (x, width) = model.features(train.samples().as_slice(), train.samples().shape())?;
    let (z, _) = model.features(test.samples().as_slice(), test.samples().shape())?;
    // A column of ones for the offset.
    let with_one = |values: &[f32]| -> Vec<f32> {
        values.chunks_exact(width.max(1)).flat_map(|row| row.iter().copied().chain([1.0])).collect()
    };
    let mut regression = Analytic { gamma: 1e-3, ..Analytic::default() }.regression(width + 1)?;
    regression.update(Expansion::Identity.apply(&with_one(&x), width + 1)?.as_ref(), train.labels())?;
    let scores = regression.scores(Expansion::Identity.apply(&with_one(&z), width + 1)?.as_ref())?;
    let rows = (0..scores.nrows()).flat_map(|i| (0..scores.ncols()).map(move |j| (i, j)));
    let scores_f32: Vec<f32> = rows.map(|at| scores[at] as f32).collect();
    metrics::accuracy(&metrics::predictions(&scores_f32, scores.ncols())?, test.labels())
}

/// The accuracy of the majority among the `k` nearest training features (the lowest class of equals), on `test`. The usual k is
/// 100. Time: n_train n_test width.
///
/// # Errors
/// [`Error::Parameter`] on a k of 0 or above the number of training samples; those of the network.
pub fn nearest_neighbours<M: Featured>(
    model: &Model<M>,
    train: &LabelledSamples,
    test: &LabelledSamples,
    k: usize,
) -> Result<f64>
where
    M::Input: Batch,
{
    if k == 0 || k > train.len() {
        return Err(Error::parameter("k", k, format!("1 to {}, the number of training samples", train.len())));
    }
    let (x, width) = model.features(train.samples().as_slice(), train.samples().shape())?;
    let (z, _) = model.features(test.samples().as_slice(), test.samples().shape())?;
    let predicted: Vec<u32> = z
        .par_chunks_exact(width.max(1))
        .map(|row| {
            let mut distances: Vec<(f32, u32)> = x
                .chunks_exact(width.max(1))
                .zip(train.labels())
                .map(|(other, label)| (other.iter().zip(row).map(|(a, b)| (a - b).powi(2)).sum(), *label))
                .collect();
            distances.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0));
            let mut votes = vec![0_u32; train.classes()];
            for (_, label) in distances.iter().take(k) {
                if let Some(votes) = votes.get_mut(*label as usize) {
                    *votes += 1;
                }
            }
            let best = votes.iter().enumerate().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(&a.0)));
            best.map_or(0, |(class, _)| class as u32)
        })
        .collect();
    metrics::accuracy(&predicted, test.labels())
}
