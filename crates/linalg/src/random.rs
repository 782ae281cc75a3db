//! Random matrices.

use consilience_core::{Error, Result, Seed};
use faer::Mat;
use rand_distr::{Distribution, StandardNormal};

use crate::sequential::orthonormal_basis;

/// A matrix of independent standard normal entries, drawn row by row: a taller matrix of the same width begins with the
/// same rows.
pub fn gaussian(rows: usize, columns: usize, seed: Seed) -> Mat<f64> {
    let mut rng = seed.rng();
    let mut matrix = Mat::zeros(rows, columns);
    for i in 0..rows {
        for j in 0..columns {
            matrix[(i, j)] = StandardNormal.sample(&mut rng);
        }
    }
    matrix
}

/// A matrix with orthonormal columns, uniform (Haar) over all such: the Q of a Gaussian matrix's QR decomposition, with
/// R's diagonal made positive (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
///
/// Fails with [`Error::Shape`] where there are more columns than rows. Cost: `2 rows columns^2` multiplications.
pub fn orthonormal(rows: usize, columns: usize, seed: Seed) -> Result<Mat<f64>> {
    if columns > rows {
        return Err(Error::shape("orthonormal", [rows, columns], "at most as many columns as rows"));
    }
    Ok(orthonormal_basis(gaussian(rows, columns, seed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaussian_moments() {
        let x = gaussian(400, 250, Seed(5));
        let (mut mean, mut square) = (0.0, 0.0);
        for j in 0..250 {
            for i in 0..400 {
                mean += x[(i, j)] / 1e5;
                square += x[(i, j)].powi(2) / 1e5;
            }
        }
        assert!(mean.abs() < 0.015 && (square - 1.0).abs() < 0.02, "{mean} {square}");
        let taller = gaussian(401, 250, Seed(5));
        assert_eq!(taller.get(..400, ..), x.as_ref());
    }

    #[test]
    fn more_columns_than_rows_are_refused() {
        assert!(matches!(orthonormal(2, 3, Seed(0)), Err(Error::Shape { .. })));
        assert_eq!(orthonormal(4, 0, Seed(0)).unwrap().ncols(), 0);
    }

    #[test]
    fn signs_are_unbiased() {
        let ups = (0..200).filter(|&i| orthonormal(3, 1, Seed(i)).unwrap()[(0, 0)] > 0.0).count();
        assert!((70..=130).contains(&ups), "{ups}");
    }

    proptest! {
        #[test]
        fn columns_are_orthonormal(rows in 1_usize..40, narrower in 0_usize..40, seed in any::<u64>()) {
            let columns = rows.saturating_sub(narrower);
            let q = orthonormal(rows, columns, Seed(seed)).unwrap();
            let error = q.transpose() * &q - Mat::<f64>::identity(columns, columns);
            prop_assert!(columns == 0 || error.norm_max() < 1e-13);
            prop_assert_eq!(q, orthonormal(rows, columns, Seed(seed)).unwrap());
        }
    }
}
