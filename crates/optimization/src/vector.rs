//! Products and norms of slices.

/// Partial sums that [`dot`] keeps, so that it compiles to vector instructions.
const LANES: usize = 16;

/// `aᵀ b`, over the shorter length; the order of the sum depends on the length alone.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// `‖a‖₂`.
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `‖a - b‖₂`.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Adds `scale * x` to `out`.
pub(crate) fn add_scaled(out: &mut [f64], scale: f64, x: &[f64]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += scale * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_lengths() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f64> = (0..n).map(f64::from).collect();
            let b = vec![2.0; n as usize];
            assert_eq!(dot(&a, &b), f64::from(n * (n - 1)));
            assert!((norm(&a) - distance(&a, &vec![0.0; n as usize])).abs() < 1e-12);
        }
    }
}
