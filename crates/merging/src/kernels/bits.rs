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

    /// The bits from `start` on, 64 at a time; `start` must be a multiple of 64.
    #[inline(always)]
    pub fn words(&self, start: usize) -> &[u64] {
        self.0.get(start / 64..).unwrap_or(&[])
    }
}

#[inline(always)]
fn pack(bits: &[u32]) -> u64 {
    bits.iter().enumerate().fold(0, |word, (i, bit)| word | u64::from(*bit) << i)
}
