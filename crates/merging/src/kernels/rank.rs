//! Ranks of the entries of a row.

/// Buffers for sorting one row after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    pairs: Vec<u64>,
    sorted: Vec<u64>,
    buckets: Vec<u32>,
    starts: Vec<u32>,
}

/// Buckets for each key: with two, most hold one key or none.
const SPREAD: usize = 2;
/// Keys above this multiple of the mean share the last bucket.
const TAIL: f32 = 5.0;
/// The fullest bucket up to which neighbours' exchanges beat moving keys one by one.
const FULLEST: u32 = 12;
/// Moves for each key, on average, after which the radix sort is faster.
const MOVES: usize = 2;
const DIGITS: usize = 256;

impl Ranking {
    /// Calls `place(position, rank)` for every key (at least 0, finite), in ascending order from rank 0; equal keys stay in
    /// the order in which they come.
    ///
    /// Keys are spread over buckets in proportion to their size. What is out of order then lies close to its place: rounds
    /// of exchanges of neighbours sort buckets that hold few keys, insertion those that hold many equal ones, as the
    /// differences of half-precision weights are. Where different keys crowd together, a radix sort takes over. Time:
    /// linear, about 5 ns a key; twice that with the radix sort.
    #[inline(always)]
    pub fn rank(&mut self, keys: impl ExactSizeIterator<Item = f32>, mut place: impl FnMut(usize, usize)) {
        self.pairs.clear();
        self.pairs.extend(keys.enumerate().map(|(i, key)| pair(key, i)));
        self.sorted.resize(self.pairs.len(), 0);
        let sorted = match self.spread() {
            Some(fullest) if fullest <= FULLEST => {
                exchange(&mut self.sorted, fullest);
                true
            }
            Some(_) => insert(&mut self.sorted),
            None => false,
        };
        if !sorted {
            self.radix();
        }
        for (rank, pair) in self.sorted.iter().enumerate() {
            place((*pair & u64::from(u32::MAX)) as usize, rank);
        }
    }

    /// Moves the pairs to `sorted`, ascending but for the order within buckets; the size of the fullest one, or `None`
    /// (with `sorted` as it was) where the keys have no scale. Zeros have a bucket of their own, in which they are sorted.
    #[inline(always)]
    fn spread(&mut self) -> Option<u32> {
        let len = self.pairs.len();
        let buckets = (SPREAD * len).next_power_of_two().max(4);
        let mut sums = [0.0_f32; 16];
        let (chunks, rest) = self.pairs.as_chunks::<16>();
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, pair)| *sum += key(*pair));
        }
        let sum = sums.iter().sum::<f32>() + rest.iter().map(|pair| key(*pair)).sum::<f32>();
        let scale = (buckets - 2) as f32 * len as f32 / (TAIL * sum);
        if !scale.is_finite() {
            return None;
        }
        self.buckets.clear();
        let last = buckets as i32 - 2;
        self.buckets.extend(self.pairs.iter().map(|pair| {
            let key = key(*pair);
            // In range of an i32: the product is below 2 · len² / TAIL, and a saturating cast keeps the order in any case.
            (((key * scale) as i32).min(last) + i32::from(key > 0.0)) as u32
        }));
        self.starts.clear();
        self.starts.resize(buckets, 0);
        let starts = &mut self.starts[..buckets];
        let mask = buckets - 1;
        for bucket in &self.buckets {
            starts[*bucket as usize & mask] += 1;
        }
        let fullest = starts.iter().skip(1).fold(0, |most, count| most.max(*count));
        let mut next = 0;
        for start in starts.iter_mut() {
            (*start, next) = (next, next + *start);
        }
        for (pair, bucket) in self.pairs.iter().zip(&self.buckets) {
            let start = &mut starts[*bucket as usize & mask];
            self.sorted[*start as usize] = *pair;
            *start += 1;
        }
        Some(fullest)
    }

    /// Sorts by all four digits; digits that all keys share cost nothing more.
    #[inline(never)]
    fn radix(&mut self) {
        let len = self.pairs.len();
        let mut counts = [[0_u32; DIGITS]; 4];
        for pair in &self.pairs {
            for (digit, counts) in counts.iter_mut().enumerate() {
                counts[(pair >> (32 + 8 * digit)) as usize % DIGITS] += 1;
            }
        }
        for (digit, counts) in counts.iter_mut().enumerate() {
            if counts.iter().any(|c| *c as usize == len) {
                continue;
            }
            let mut next = 0;
            for count in counts.iter_mut() {
                (*count, next) = (next, next + *count);
            }
            for pair in &self.pairs {
                let place = &mut counts[(pair >> (32 + 8 * digit)) as usize % DIGITS];
                self.sorted[*place as usize] = *pair;
                *place += 1;
            }
            std::mem::swap(&mut self.pairs, &mut self.sorted);
        }
        std::mem::swap(&mut self.pairs, &mut self.sorted);
    }
}

/// A key and its position as one number, in the order of the keys, then of the positions.
#[inline(always)]
fn pair(key: f32, position: usize) -> u64 {
    (u64::from(key.to_bits()) << 32) | position as u64
}

#[inline(always)]
fn key(pair: u64) -> f32 {
    f32::from_bits((pair >> 32) as u32)
}

/// Sorts pairs of which none is `reach` places or more from where it belongs, by `reach` rounds of exchanges of
/// neighbours: without a branch, several at a time.
#[inline(always)]
fn exchange(pairs: &mut [u64], reach: u32) {
    for round in 0..reach as usize {
        let from = (round % 2).min(pairs.len());
        for [a, b] in pairs[from..].as_chunks_mut::<2>().0 {
            (*a, *b) = ((*a).min(*b), (*a).max(*b));
        }
    }
}

/// Sorts pairs of which most are in order, unless that takes too many moves.
#[inline(always)]
fn insert(pairs: &mut [u64]) -> bool {
    let mut moves = MOVES * pairs.len();
    for i in 1..pairs.len() {
        let pair = pairs[i];
        if pair >= pairs[i - 1] {
            continue;
        }
        let mut place = i;
        while place > 0 && pairs[place - 1] > pair {
            pairs[place] = pairs[place - 1];
            place -= 1;
        }
        pairs[place] = pair;
        moves = match moves.checked_sub(i - place) {
            Some(left) => left,
            None => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(keys: &[f32]) -> Vec<usize> {
        let mut order = vec![usize::MAX; keys.len()];
        Ranking::default().rank(keys.iter().copied(), |position, rank| order[rank] = position);
        order
    }

    fn expected(keys: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
        order
    }

    #[test]
    fn ranks_are_those_of_a_stable_sort() {
        let scrambled = |len: usize| (0..len).map(|i| ((i * 7919) % 10007) as f32);
        for len in [0, 1, 2, 3, 63, 500, 4096] {
            let rows: [Vec<f32>; 7] = [
                scrambled(len).map(|k| k * 0.37).collect(),
                scrambled(len).map(|k| (k / 997.0).powi(9)).collect(),
                scrambled(len).map(|k| (k % 5.0).floor()).collect(),
                scrambled(len).map(|k| if k < 9000.0 { 0.0 } else { k }).collect(),
                scrambled(len).map(|k| 1.0 + k * 1e-6).collect(),
                scrambled(len).map(|k| f32::from_bits(k as u32)).collect(),
                vec![0.0; len],
            ];
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(ranks(row), expected(row), "row {i} of {len}");
            }
        }
        let extremes = [f32::MAX, 0.0, f32::MIN_POSITIVE, f32::MAX, 1e-45, 3.0];
        assert_eq!(ranks(&extremes), expected(&extremes));
    }
}
