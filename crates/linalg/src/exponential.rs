//! The matrix exponential.

use consilience_core::Result;
use faer::{Mat, MatRef, Scale};

use crate::{check, gram::product};

/// The series is summed for matrices of at most this 1-norm: its remainder beyond degree 12 is then below 1e-17.
const SMALL: f64 = 0.25;

/// `e^A` of a square matrix (`[n, n]`), by scaling, the Taylor series up to degree 12 (in the scheme of Paterson and
/// Stockmeyer, 1973), and squaring. For a matrix without negative entries every entry is good to about 1e-14 of itself.
///
/// Fails with [`Error::Shape`](consilience_core::Error::Shape) or
/// [`Error::NotFinite`](consilience_core::Error::NotFinite), the latter also where the exponential overflows. Cost:
/// `5 + log2(4 ‖A‖₁)` products of matrices on the calling thread.
pub fn exponential(a: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let n = check::square("a", a)?;
    check::finite("a", a)?;
    let norm = (0..n).map(|j| a.col(j).norm_l1()).fold(0.0, f64::max);
    let halvings = if norm > SMALL { (norm / SMALL).log2().ceil().min(1100.0) as i32 } else { 0 };
    let a = Scale(0.5_f64.powi(halvings)) * a;
    let square = product(a.as_ref(), a.as_ref());
    let cube = product(square.as_ref(), a.as_ref());
    let mut factorial = [1.0; 13];
    (1..13).for_each(|k| factorial[k] = factorial[k - 1] * k as f64);
    // sum_k a^k / k! = ((c_4 a^3 + c_3) a^3 + ...) a^3 + c_0, with c_q = sum_r a^r / (3 q + r)! for r below 3.
    let mut sum = Mat::<f64>::zeros(n, n);
    for q in (0..=4).rev() {
        if q < 4 {
            sum = product(sum.as_ref(), cube.as_ref());
        }
        for (r, power) in [None, Some(&a), Some(&square)].into_iter().enumerate().take(if q == 4 { 1 } else { 3 }) {
            let weight = 1.0 / factorial[3 * q + r];
            match power {
                None => (0..n).for_each(|i| sum[(i, i)] += weight),
                Some(power) => sum += Scale(weight) * power,
            }
        }
    }
    for _ in 0..halvings {
        sum = product(sum.as_ref(), sum.as_ref());
    }
    check::finite("e^a", sum.as_ref())?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use consilience_core::{Error, Seed};
    use faer::mat;
    use proptest::prelude::*;

    #[test]
    fn closed_forms() {
        // A rotation's generator, a nilpotent matrix, a diagonal one.
        let turn = exponential(mat![[0.0, -3.0], [3.0, 0.0]].as_ref()).unwrap();
        assert!((turn - mat![[3_f64.cos(), -3_f64.sin()], [3_f64.sin(), 3_f64.cos()]]).norm_max() < 1e-14);
        let shift = exponential(mat![[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]].as_ref()).unwrap();
        assert!((shift - mat![[1.0, 2.0, 2.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]).norm_max() < 1e-14);
        let diagonal = exponential(mat![[10.0, 0.0], [0.0, -30.0]].as_ref()).unwrap();
        assert!((diagonal[(0, 0)] / 10_f64.exp() - 1.0).abs() < 1e-12);
        assert_eq!(exponential(Mat::zeros(0, 0).as_ref()).unwrap().nrows(), 0);
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(matches!(exponential(Mat::zeros(2, 3).as_ref()), Err(Error::Shape { .. })));
        assert!(matches!(exponential(mat![[f64::NAN]].as_ref()), Err(Error::NotFinite { .. })));
        assert!(matches!(exponential(mat![[1e4]].as_ref()), Err(Error::NotFinite { .. })));
    }

    proptest! {
        /// `e^A e^{-A} = I`, and the determinant is the exponential of the trace.
        #[test]
        fn inverses(n in 1_usize..12, seed in any::<u64>()) {
            let a = random::gaussian(n, n, Seed(seed));
            let (up, down) = (exponential(a.as_ref()).unwrap(), exponential((-&a).as_ref()).unwrap());
            let size = up.norm_max() * down.norm_max();
            prop_assert!((&up * &down - Mat::<f64>::identity(n, n)).norm_max() < 1e-13 * size * n as f64);
            let trace: f64 = (0..n).map(|i| a[(i, i)]).sum();
            prop_assert!((up.determinant() / trace.exp() - 1.0).abs() < 1e-8);
        }
    }
}
