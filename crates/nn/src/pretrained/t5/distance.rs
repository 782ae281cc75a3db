//! Biases for the distance of a key from a query, in buckets that grow with the distance (Raffel et al., 2020).

use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::{Device, Int, Tensor};

use super::config::T5Config;
use crate::pretrained::layers::embedding;

/// A bias for each head and each bucket of distances, shared by all layers of a stack.
#[derive(Module, Debug)]
pub(super) struct DistanceBias {
    relative: Embedding,
    buckets: usize,
    furthest: usize,
    bidirectional: bool,
}

impl DistanceBias {
    pub fn new(config: &T5Config, bidirectional: bool, device: &Device) -> Self {
        let buckets = config.relative_attention_num_buckets;
        Self {
            relative: embedding(buckets, config.num_heads, device),
            buckets,
            furthest: config.relative_attention_max_distance,
            bidirectional,
        }
    }

    /// The biases `[1, heads, positions, positions]` of positions that attend to each other.
    pub fn forward(&self, positions: usize) -> Tensor<4> {
        let weight = self.relative.weight.val();
        // Few distances, many pairs: the buckets are worked out once for each distance.
        let span = positions as i64 - 1;
        let of_distance: Vec<i64> = (-span..=span).map(|distance| self.bucket(distance) as i64).collect();
        let pairs = (0..positions).flat_map(|query| {
            let first = positions - 1 - query;
            of_distance[first..first + positions].iter().copied()
        });
        let picked: Vec<i64> = pairs.collect();
        let picked = Tensor::<1, Int>::from_data(picked.as_slice(), &weight.device());
        let [_, heads] = weight.dims();
        weight.select(0, picked).reshape([1, positions, positions, heads]).permute([0, 3, 1, 2])
    }

    /// The bucket of a key that is `distance` positions after the query (negative: before it).
    fn bucket(&self, distance: i64) -> usize {
        bucket(distance, self.bidirectional, self.buckets, self.furthest)
    }
}

/// The first half of a direction's buckets are single distances, the second half share the distances up to `furthest` in
/// equal parts of their logarithm. Keys after the query have half of the buckets, or none where they are not seen.
fn bucket(distance: i64, bidirectional: bool, buckets: usize, furthest: usize) -> usize {
    let (first, buckets) = match (bidirectional, distance > 0) {
        (true, true) => (buckets / 2, buckets / 2),
        (true, false) => (0, buckets / 2),
        (false, _) => (0, buckets),
    };
    let away = match bidirectional {
        true => distance.unsigned_abs() as usize,
        false => distance.min(0).unsigned_abs() as usize,
    };
    let exact = buckets / 2;
    if away < exact {
        return first + away;
    }
    // In f32, in which the models were trained: the bucket of a distance on an edge depends on the rounding.
    let share = (away as f32 / exact as f32).ln() / (furthest as f64 / exact as f64).ln() as f32;
    let further = (share * (buckets - exact) as f32) as usize;
    first + (exact + further).min(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_both_directions() {
        let found = |distance| bucket(distance, true, 32, 128);
        // 16 buckets a direction: 0..8 alone, then edges at 8 * 16^(i/8) = 8, 11.31, 16, 22.63, 32, 45.25, 64, 90.51.
        assert_eq!([0, -1, -7, -8, -11, -12, -15, -16].map(found), [0, 1, 7, 8, 8, 9, 9, 10]);
        assert_eq!([-22, -23, -31, -32, -45, -46, -63, -64].map(found), [10, 11, 11, 12, 12, 13, 13, 14]);
        assert_eq!([-90, -91, -127, -128, -5000].map(found), [14, 15, 15, 15, 15]);
        assert_eq!([1, 7, 8, 12, 128, 5000].map(found), [17, 23, 24, 25, 31, 31]);
    }

    #[test]
    fn buckets_of_the_past_alone() {
        let found = |distance| bucket(distance, false, 32, 128);
        // 0..16 alone, then edges at 16 * 8^(i/16) = 16, 18.22, 20.75, 23.63, 26.91, ...
        assert_eq!([9, 1, 0, -1, -15, -16, -18, -19, -20, -21].map(found), [0, 0, 0, 1, 15, 16, 16, 17, 17, 18]);
        assert_eq!([-23, -24, -26, -27, -112, -113, -128, -999].map(found), [18, 19, 19, 20, 30, 31, 31, 31]);
    }

    #[test]
    fn a_bias_is_that_of_the_bucket_of_key_minus_query() {
        let device = Device::flex();
        let mut biases =
            DistanceBias { relative: embedding(32, 2, &device), buckets: 32, furthest: 128, bidirectional: true };
        let values: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let weight = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([32, 2]);
        biases.relative.weight = burn::module::Param::from_tensor(weight);
        let found: Vec<f32> = biases.forward(3).into_data().iter::<f32>().collect();
        let head = |head: usize| [0, 17, 18, 1, 0, 17, 2, 1, 0].map(|bucket| (2 * bucket + head) as f32);
        assert_eq!(found, [head(0), head(1)].concat());
    }
}
