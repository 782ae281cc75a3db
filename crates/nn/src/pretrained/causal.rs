//! Causal attention: which keys a query may see, and heads that share keys.

use burn::tensor::{Device, Tensor, TensorData};

use super::layers::attend;
use super::tokens::HIDDEN;

/// What is added to scores so that no position sees a later one or, with a window, one that is `window` or more before it:
/// `[1, 1, positions, positions]`.
pub(super) fn causal_bias(positions: usize, window: Option<usize>, device: &Device) -> Tensor<4> {
    let mut bias = vec![-HIDDEN as f32; positions * positions];
    for (query, row) in bias.chunks_exact_mut(positions.max(1)).enumerate() {
        let first = window.map_or(0, |window| (query + 1).saturating_sub(window));
        row[first..=query].fill(0.0);
    }
    Tensor::from_data(TensorData::new(bias, [1, 1, positions, positions]), device)
}

/// Attention in which `heads / groups` neighbouring heads share the keys and values of a group (Ainslie et al., "GQA",
/// 2023): `[batch, queries, heads * width]`.
///
/// `query` is `[batch, heads, queries, width]`, `key` and `value` `[batch, groups, keys, width]`. `stacked` is the bias
/// `[batch, 1, queries, keys]` repeated along its third axis for the heads of a group. Keys and values are not repeated:
/// the heads of a group stand under each other as further queries. Cost as [`attend`].
pub(super) fn attend_in_groups(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    scale: f64,
    stacked: Tensor<4>,
) -> Tensor<3> {
    let [batch, heads, queries, width] = query.dims();
    let [_, groups, _, _] = key.dims();
    let shared = heads / groups.max(1);
    let query = query.reshape([batch, groups, shared * queries, width]);
    let mixed = attend(query, key, value, scale, Some(stacked));
    let mixed = mixed.reshape([batch, shared, queries, groups, width]).permute([0, 2, 3, 1, 4]);
    mixed.reshape([batch, queries, heads * width])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_window_hides_the_future_and_the_far_past() {
        let device = Device::flex();
        let seen = |window| values(causal_bias(3, window, &device)).iter().map(|b| *b == 0.0).collect::<Vec<_>>();
        assert_eq!(seen(None), [true, false, false, true, true, false, true, true, true]);
        assert_eq!(seen(Some(2)), [true, false, false, true, true, false, false, true, true]);
        assert_eq!(seen(Some(1)), [true, false, false, false, true, false, false, false, true]);
        assert_eq!(seen(Some(9)), seen(None));
    }

    #[test]
    fn grouped_heads_equal_repeated_keys() {
        let device = Device::flex();
        let made = |shape: [usize; 4], step: f32| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * step).sin()).collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let (query, key, value) = (made([2, 6, 3, 2], 0.7), made([2, 2, 3, 2], 1.3), made([2, 2, 3, 2], 0.4));
        let bias = causal_bias(3, None, &device);
        let repeat = |x: Tensor<4>| x.reshape([2, 2, 1, 3, 2]).repeat_dim(2, 3).reshape([2, 6, 3, 2]);
        let stacked = bias.clone().repeat_dim(2, 3);
        let grouped = values(attend_in_groups(query.clone(), key.clone(), value.clone(), 0.7, stacked));
        let repeated = values(attend(query, repeat(key), repeat(value.clone()), 0.7, Some(bias)));
        assert!(grouped.iter().zip(&repeated).all(|(a, b)| (a - b).abs() < 1e-6));
        // The first query sees the first key alone, so it gets its value.
        let first = values(value.slice([0..1, 0..1, 0..1, 0..2]));
        assert!(grouped[..2].iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
