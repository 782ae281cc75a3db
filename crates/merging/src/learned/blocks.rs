//! Flat vectors of many tensors, cut into blocks that threads work on.

use std::ops::Range;

use consilience_core::{Error, Result};
use rayon::prelude::*;

/// Entries of a block: enough to pay for handing it to a thread, few enough that one large tensor is spread.
const BLOCK: usize = 1 << 14;

/// A part of one tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// The tensor's number.
    pub tensor: usize,
    /// Where the block starts in the tensor.
    pub offset: usize,
    start: usize,
    len: usize,
}

impl Block {
    /// The block's place in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// The blocks of all tensors, in order. The cut depends on the sizes alone, so sums over blocks are the same for every
/// number of threads.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    list: Vec<Block>,
    sizes: Vec<usize>,
    len: usize,
}

impl Blocks {
    pub fn new(sizes: Vec<usize>) -> Self {
        let mut list = Vec::new();
        let mut len = 0;
        for (tensor, &size) in sizes.iter().enumerate() {
            for offset in (0..size).step_by(BLOCK) {
                list.push(Block { tensor, offset, start: len + offset, len: BLOCK.min(size - offset) });
            }
            len += size;
        }
        Self { list, sizes, len }
    }

    /// The tensors' numbers of entries.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Fails with [`Error::Shape`] unless `values` has an entry for each of all tensors.
    pub fn check(&self, name: &str, values: &[f32]) -> Result<()> {
        match values.len() == self.len {
            true => Ok(()),
            false => Err(Error::shape(name, [values.len()], format!("[{}], one entry for each parameter", self.len))),
        }
    }

    /// The blocks, for parallel work.
    pub fn par(&self) -> rayon::slice::Iter<'_, Block> {
        self.list.par_iter()
    }

    /// The blocks' parts of `flat`, whose length has been checked.
    pub fn split<'a>(&self, mut flat: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        let mut parts = Vec::with_capacity(self.list.len());
        for block in &self.list {
            let (part, rest) = flat.split_at_mut(block.len);
            parts.push(part);
            flat = rest;
        }
        parts
    }

    /// The sums over each tensor of what the blocks have summed.
    pub fn sums(&self, partial: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.sizes.len()];
        for (block, value) in self.list.iter().zip(partial) {
            sums[block.tensor] += value;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_tile_the_vector_and_never_cross_tensors() {
        let sizes = vec![3, 0, BLOCK, 2 * BLOCK + 5, 1];
        let blocks = Blocks::new(sizes.clone());
        let total: usize = sizes.iter().sum();
        let mut flat = vec![0.0; total];
        let lengths: Vec<usize> = blocks.split(&mut flat).iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [3, BLOCK, BLOCK, BLOCK, 5, 1]);
        let mut next = 0;
        for block in &blocks.list {
            assert_eq!(block.range().start, next);
            next = block.range().end;
        }
        assert_eq!(next, total);
        assert_eq!(blocks.sums(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [1.0, 0.0, 2.0, 12.0, 6.0]);
        assert!(blocks.check("x", &flat).is_ok());
        let message = blocks.check("x", &flat[1..]).unwrap_err().to_string();
        assert!(message.starts_with("x: the shape is ["), "{message}");
    }
}
