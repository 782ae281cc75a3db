//! One bit an element: the masks of the random methods, kept between their passes at 1/16 of the size of a bf16 tensor.

/// A growing row of bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Appends one bit an element of `keep` (1 or 0); after a multiple of 64 only.
    #[inline(always)]
    pub fn extend(&mut self, keep: &[u32]) {
        let (words, rest) = keep.as_chunks::<64>();
        self.0.extend(words.iter().map(|bits| pack(bits)));
        if !rest.is_empty() {
            self.0.push(pack(rest));
        }
    }

    /// Appends the bits of `other`, behind a multiple of 64.
    pub fn append(&mut self, other: &Bits) {
        self.0.extend_from_slice(&other.0);
    }

    /// Writes the differences of `model` from `base`, times `factor`, to `out` where the bits from `start` (a multiple of
    /// 64) on are set, and 0 elsewhere.
    #[inline(always)]
    pub fn apply(&self, factor: f32, model: &[f32], base: &[f32], start: usize, out: &mut [f32]) {
        let lanes = out.chunks_mut(64).zip(model.chunks(64)).zip(base.chunks(64));
        for (((out, model), base), word) in lanes.zip(self.words(start)) {
            for (i, ((o, x), b)) in out.iter_mut().zip(model).zip(base).enumerate() {
                *o = if word >> i & 1 == 1 { (x - b) * factor } else { 0.0 };
            }
        }
    }

    /// The bits from `start` on, 64 at a time; `start` must be a multiple of 64.
    #[inline(always)]
    fn words(&self, start: usize) -> &[u64] {
        self.0.get(start / 64..).unwrap_or(&[])
    }
}

#[inline(always)]
fn pack(bits: &[u32]) -> u64 {
    bits.iter().enumerate().fold(0, |word, (i, bit)| word | u64::from(*bit) << i)
}
