//! Seeds, and random numbers that do not depend on the thread count.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The source of everything random: the same seed gives the same result, whatever the thread count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// An independent seed for a named part of the work (a tensor, a task, a repetition).
    pub fn derive(self, label: &str) -> Seed {
        // FNV-1a spreads the label, the finaliser of SplitMix64 mixes it with the seed.
        let hash =
            label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Seed(mix(self.0 ^ mix(hash)))
    }

    /// An independent seed for part number `index` of the work.
    pub fn nth(self, index: u64) -> Seed {
        Seed(mix(self.0.wrapping_add(mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15)))))
    }

    /// A sequential generator.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }

    /// A generator addressed by position.
    pub fn philox(self) -> Philox {
        Philox::new(self)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Counters that [`Philox::words`] works on together.
const LANES: usize = 16;

/// The counter-based generator Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
/// 2011): the number at a position can be computed without those before it, so any block of a tensor can be filled by
/// any thread, and filled again later instead of being stored.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// A generator whose key is the seed.
    pub fn new(seed: Seed) -> Self {
        Self { key: [seed.0 as u32, (seed.0 >> 32) as u32] }
    }

    /// The four words of one counter.
    #[inline(always)]
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let [mut c0, mut c1, mut c2, mut c3] = counter;
        let [mut k0, mut k1] = self.key;
        for _ in 0..10 {
            let p0 = u64::from(c0) * 0xD251_1F53;
            let p1 = u64::from(c2) * 0xCD9E_8D57;
            (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        [c0, c1, c2, c3]
    }

    /// The words of [`LANES`] counters in a row, in the order of their positions: one loop over the counters in every round,
    /// so that it compiles to vector instructions.
    #[inline(always)]
    fn blocks(&self, stream: u32, first: u64, out: &mut [u32; 4 * LANES]) {
        let mut c0: [u32; LANES] = std::array::from_fn(|l| (first + l as u64) as u32);
        let mut c1: [u32; LANES] = std::array::from_fn(|l| ((first + l as u64) >> 32) as u32);
        let (mut c2, mut c3) = ([stream; LANES], [0_u32; LANES]);
        let [mut k0, mut k1] = self.key;
        for _ in 0..10 {
            for l in 0..LANES {
                let p0 = u64::from(c0[l]) * 0xD251_1F53;
                let p1 = u64::from(c2[l]) * 0xCD9E_8D57;
                c0[l] = (p1 >> 32) as u32 ^ c1[l] ^ k0;
                c1[l] = p1 as u32;
                c2[l] = (p0 >> 32) as u32 ^ c3[l] ^ k1;
                c3[l] = p0 as u32;
            }
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        for l in 0..LANES {
            out[4 * l] = c0[l];
            out[4 * l + 1] = c1[l];
            out[4 * l + 2] = c2[l];
            out[4 * l + 3] = c3[l];
        }
    }

    /// Fills `out` with the words at positions `start .. start + out.len()` of stream `stream`.
    ///
    /// A word is 32 uniform bits. Cost: about one nanosecond a word, less where the caller is compiled for wide vectors.
    #[inline(always)]
    pub fn words(&self, stream: u32, start: u64, out: &mut [u32]) {
        let mut position = start;
        let mut rest = out;
        while !rest.is_empty() {
            let counter = position / 4;
            let skip = (position % 4) as usize;
            if skip == 0 && rest.len() >= 4 * LANES {
                let (head, tail) = std::mem::take(&mut rest).split_at_mut(4 * LANES);
                if let Some(head) = head.as_mut_array() {
                    self.blocks(stream, counter, head);
                }
                rest = tail;
                position += 4 * LANES as u64;
                continue;
            }
            let words = self.block([counter as u32, (counter >> 32) as u32, stream, 0]);
            let take = (4 - skip).min(rest.len());
            rest[..take].copy_from_slice(&words[skip..skip + take]);
            rest = &mut rest[take..];
            position += take as u64;
        }
    }

    /// Fills `out` with ones that appear with probability `threshold` / 2³², and zeros, at positions `start ..` of stream
    /// `stream`.
    ///
    /// Half a word decides for nearly every position; only where it equals the threshold's upper half are sixteen bits more
    /// drawn, from stream `!stream`. That is half the cost of [`Philox::words`], for the same probability.
    #[inline(always)]
    pub fn bernoulli(&self, stream: u32, start: u64, threshold: u32, out: &mut [u32]) {
        let (upper, lower) = (threshold >> 16, threshold & 0xffff);
        let mut words = [0_u32; 256];
        let mut position = start;
        let mut rest = out;
        while !rest.is_empty() {
            // An odd first position takes the upper half of its word alone.
            let odd = (position % 2) as usize;
            let (head, tail) = rest.split_at_mut(rest.len().min(2 * words.len() - odd));
            let words = &mut words[..(odd + head.len()).div_ceil(2)];
            self.words(stream, position / 2, words);
            let (first, even) = head.split_at_mut(odd);
            let mut undecided = 0;
            let mut decide = |kept: &mut u32, half: u32| {
                *kept = u32::from(half < upper);
                undecided |= u32::from(half == upper);
            };
            first.iter_mut().for_each(|kept| decide(kept, words[0] >> 16));
            let (pairs, last) = even.as_chunks_mut::<2>();
            for ([left, right], word) in pairs.iter_mut().zip(&words[odd..]) {
                decide(left, word & 0xffff);
                decide(right, word >> 16);
            }
            last.iter_mut().for_each(|kept| decide(kept, words[words.len() - 1] & 0xffff));
            if undecided != 0 {
                for (i, kept) in head.iter_mut().enumerate() {
                    if words[(odd + i) / 2] >> (16 * ((odd + i) % 2)) & 0xffff == upper {
                        let mut more = [0];
                        self.words(!stream, position + i as u64, &mut more);
                        *kept = u32::from(more[0] >> 16 < lower);
                    }
                }
            }
            position += head.len() as u64;
            rest = tail;
        }
    }

    /// Fills `out` with uniform numbers in [0, 1) of 24 bits, at positions `start ..` of stream `stream`.
    #[inline(always)]
    pub fn uniforms(&self, stream: u32, start: u64, out: &mut [f32]) {
        let mut words = [0_u32; 256];
        for (piece, chunk) in out.chunks_mut(256).enumerate() {
            let words = &mut words[..chunk.len()];
            self.words(stream, start + 256 * piece as u64, words);
            for (u, w) in chunk.iter_mut().zip(words) {
                *u = (*w >> 8) as f32 * (1.0 / 16_777_216.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_known_answers() {
        // The known-answer vectors of the Random123 distribution.
        let zero = Philox { key: [0, 0] };
        assert_eq!(zero.block([0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = Philox { key: [u32::MAX; 2] };
        assert_eq!(ones.block([u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = Philox { key: [0xa409_3822, 0x299f_31d0] };
        assert_eq!(
            pi.block([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn words_do_not_depend_on_where_a_block_starts() {
        let philox = Seed(7).philox();
        let mut whole = vec![0; 1000];
        philox.words(3, 0, &mut whole);
        for start in [0_usize, 1, 2, 3, 4, 255, 256, 257, 601] {
            let mut part = vec![0; 300];
            philox.words(3, start as u64, &mut part);
            assert_eq!(part, whole[start..start + 300]);
        }
    }

    #[test]
    fn bernoulli_draws_do_not_depend_on_where_a_block_starts() {
        let philox = Seed(7).philox();
        let mut whole = vec![0; 2000];
        philox.bernoulli(3, 0, 1 << 30, &mut whole);
        for start in [0_usize, 1, 2, 3, 510, 511, 512, 513, 901] {
            for len in [0, 1, 2, 3, 511, 512, 513, 1000] {
                let mut part = vec![7; len];
                philox.bernoulli(3, start as u64, 1 << 30, &mut part);
                assert_eq!(part, whole[start..start + len], "{start} {len}");
            }
        }
    }

    #[test]
    fn bernoulli_draws_have_their_probability_to_the_last_bit_of_the_threshold() {
        let n = 1 << 22;
        let mut draws = vec![0; n];
        // Below 2⁻¹⁶ every draw is decided by the bits behind the first sixteen.
        for threshold in [0_u32, 1, 20_000, 60_000, 1 << 16, 1 << 31, 3_000_000_001, u32::MAX] {
            Seed(3).philox().bernoulli(1, 1, threshold, &mut draws);
            let probability = f64::from(threshold) / (1_u64 << 32) as f64;
            let ones = draws.iter().map(|d| f64::from(*d)).sum::<f64>();
            let deviation = (n as f64 * probability * (1.0 - probability)).sqrt().max(1.0);
            assert!((ones - n as f64 * probability).abs() < 4.5 * deviation, "{threshold}: {ones}");
            assert!(draws.iter().all(|d| *d <= 1));
        }
    }

    #[test]
    fn uniforms_lie_in_the_unit_interval_with_the_right_moments() {
        let mut u = vec![0.0; 100_000];
        Seed(1).philox().uniforms(0, 5, &mut u);
        assert!(u.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = u.iter().map(|u| f64::from(*u)).sum::<f64>() / 1e5;
        let variance = u.iter().map(|u| (f64::from(*u) - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 4e-3 && (variance - 1.0 / 12.0).abs() < 2e-3, "{mean} {variance}");
    }

    #[test]
    fn derived_seeds_differ() {
        let seed = Seed(0);
        let mut all: Vec<_> = ["a", "b", "ab", "ba", ""].map(|l| seed.derive(l).0).to_vec();
        all.extend((0..100).map(|i| seed.nth(i).0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 105);
    }
}
