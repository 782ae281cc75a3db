//! The fast Walsh–Hadamard transform.

use consilience_core::{Error, Result};

/// Replaces `values` by H `values`, where H is the Hadamard matrix of Sylvester's order with entries ±1 (not normalised):
/// applying it twice multiplies by the length.
///
/// Cost: `n log2 n` additions, in place.
///
/// ```
/// use consilience_linalg::hadamard::transform;
///
/// let mut x = [1.0, 2.0, 3.0, 4.0];
/// transform(&mut x)?;
/// assert_eq!(x, [10.0, -2.0, -4.0, 0.0]);
/// # Ok::<(), consilience_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] where the length is no power of two.
pub fn transform(values: &mut [f64]) -> Result<()> {
    if !values.len().is_power_of_two() {
        return Err(Error::shape("values", [values.len()], "a length that is a power of two; pad with zeros"));
    }
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || butterflies(values, 1),
    );
    Ok(())
}

/// Applies H along the slow axis of `values` as a `[length / lane, lane]` array: one transform for each of the `lane`
/// interleaved sequences. `values.len() / lane` is a power of two.
///
/// Two levels at a time, so that memory is passed over half as often.
#[inline(always)]
pub(crate) fn butterflies(values: &mut [f64], lane: usize) {
    let mut half = lane;
    while 2 * half < values.len() {
        for block in values.chunks_exact_mut(4 * half) {
            let (low, high) = block.split_at_mut(2 * half);
            let ((a, b), (c, d)) = (low.split_at_mut(half), high.split_at_mut(half));
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                let (ab, amb, cd, cmd) = (*a + *b, *a - *b, *c + *d, *c - *d);
                (*a, *b, *c, *d) = (ab + cd, amb + cmd, ab - cd, amb - cmd);
            }
        }
        half *= 4;
    }
    if half < values.len() {
        let (a, b) = values.split_at_mut(half);
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Entry (i, j) of H is 1 where i and j share an even number of set bits.
    pub(crate) fn entry(i: usize, j: usize) -> f64 {
        if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
    }

    #[test]
    fn lengths_are_powers_of_two() {
        assert!(transform(&mut [1.0, 2.0, 3.0]).unwrap_err().to_string().contains("a power of two"));
        assert!(transform(&mut []).is_err());
        let mut one = [7.0];
        transform(&mut one).unwrap();
        assert_eq!(one, [7.0]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_matrix_and_is_its_own_inverse(log in 0_u32..8, values in prop::collection::vec(-9_i32..9, 256)) {
            let n = 1_usize << log;
            let x: Vec<f64> = values[..n].iter().map(|v| f64::from(*v)).collect();
            let mut y = x.clone();
            transform(&mut y).unwrap();
            for (i, found) in y.iter().enumerate() {
                let wanted: f64 = (0..n).map(|j| entry(i, j) * x[j]).sum();
                prop_assert_eq!(*found, wanted);
            }
            transform(&mut y).unwrap();
            prop_assert!(y.iter().zip(&x).all(|(y, x)| *y == n as f64 * x));
        }

        #[test]
        fn lanes_are_transforms_of_interleaved_sequences(log in 0_u32..7, values in prop::collection::vec(-9_i32..9, 64 * 8)) {
            let n = 1_usize << log;
            let mut x: Vec<f64> = values[..n * 8].iter().map(|v| f64::from(*v)).collect();
            let mut sequence: Vec<f64> = x.iter().skip(3).step_by(8).copied().collect();
            butterflies(&mut x, 8);
            transform(&mut sequence).unwrap();
            prop_assert_eq!(x.iter().skip(3).step_by(8).copied().collect::<Vec<_>>(), sequence);
        }
    }
}
