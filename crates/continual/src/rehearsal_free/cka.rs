//! Linear centred kernel alignment (Kornblith et al., 2019): how alike two representations of the same samples are.

use consilience_core::{Error, Result, Samples};
use consilience_linalg::{check, gram};
use consilience_nn::LinearInputs;
use consilience_nn::{Batch, Tapped};
use faer::{Mat, MatRef};

use crate::model::read;

/// `|Y^T X|² / (|X^T X| |Y^T Y|)` in Frobenius norms, for column-centred `x` and `y` (`[n, d]`, `[n, e]`, rows are samples). 1
/// for the same representation up to rotation and scale, near 0 for unrelated ones of many samples.
///
/// # Errors
/// [`Error::Shape`] where the numbers of samples differ or are below 2, [`Error::NotFinite`], [`Error::Rank`] where a
/// representation is constant.
pub fn linear_cka(x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<f64> {
    if x.nrows() != y.nrows() || x.nrows() < 2 {
        return Err(Error::shape("representations", [x.nrows(), y.nrows()], "the same number of samples, at least 2"));
    }
    check::finite("x", x)?;
    check::finite("y", y)?;
    let (x, y) = (centred(x), centred(y));
    let cross = gram::product(y.transpose(), x.as_ref()).norm_l2();
    let own = |a: &Mat<f64>| gram::product(a.transpose(), a.as_ref()).norm_l2();
    let (xx, yy) = (own(&x), own(&y));
    if xx == 0.0 || yy == 0.0 {
        return Err(Error::Rank {
            argument: if xx == 0.0 { "x".into() } else { "y".into() },
            found: "the same for every sample".into(),
            wanted: "a representation that tells samples apart".into(),
        });
    }
    Ok((cross / xx) * (cross / yy))
}

fn centred(a: MatRef<'_, f64>) -> Mat<f64> {
    let means: Vec<f64> = (0..a.ncols()).map(|j| a.col(j).iter().sum::<f64>() / a.nrows() as f64).collect();
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] - means.get(j).copied().unwrap_or(0.0))
}

/// How alike the inputs of each linear layer of two states of one network are on the same samples: (layer, CKA), in the order in
/// which the network runs them, from its input to its head. A layer whose input is constant is left out.
///
/// # Errors
/// [`Error::Shape`] on samples that the network does not take.
pub fn representation_drift<M: Tapped>(before: &M, after: &M, samples: &Samples) -> Result<Vec<(String, f64)>>
where
    M::Input: Batch,
{
    before.check_example(samples.shape())?;
    let device = before.devices().into_iter().next().unwrap_or_default().without_autodiff();
    let inputs = |network: &M| -> Result<Vec<(String, Mat<f64>)>> {
        let input = M::Input::from_values(samples.as_slice().to_vec(), samples.shape(), &device)?;
        let (mut layers, mut fault) = (Vec::new(), None);
        network.visit_linear_inputs(input, &mut |name, tensor| {
            let [rows, width] = tensor.dims();
            match read(tensor) {
                Ok(values) => {
                    let at = |i: usize, j: usize| values.get(i * width + j).copied().map_or(0.0, f64::from);
                    layers.push((name.to_owned(), Mat::from_fn(rows, width, at)));
                }
                Err(error) => fault = Some(error),
            }
        });
        fault.map_or(Ok(layers), Err)
    };
    let mut drift = Vec::new();
    for ((name, x), (_, y)) in inputs(before)?.into_iter().zip(inputs(after)?) {
        match linear_cka(x.as_ref(), y.as_ref()) {
            Ok(cka) => drift.push((name, cka)),
            Err(Error::Rank { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(drift)
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;
    use consilience_linalg::random::{gaussian, orthonormal};

    use super::*;

    #[test]
    fn rotations_and_scales_do_not_matter() {
        let x = gaussian(60, 7, Seed(1));
        let rotated = &x * orthonormal(7, 7, Seed(2)).unwrap();
        let scaled = Mat::from_fn(60, 7, |i, j| 3.5 * rotated[(i, j)] + 2.0);
        assert!((linear_cka(x.as_ref(), x.as_ref()).unwrap() - 1.0).abs() < 1e-12);
        assert!((linear_cka(x.as_ref(), scaled.as_ref()).unwrap() - 1.0).abs() < 1e-10);
        let (a, b) = (gaussian(500, 10, Seed(3)), gaussian(500, 10, Seed(4)));
        assert!(linear_cka(a.as_ref(), b.as_ref()).unwrap() < 0.1);
    }

    #[test]
    fn constant_and_uneven_representations_are_refused() {
        let x = gaussian(5, 2, Seed(1));
        assert!(matches!(linear_cka(x.as_ref(), Mat::zeros(5, 3).as_ref()), Err(Error::Rank { .. })));
        assert!(linear_cka(x.as_ref(), gaussian(4, 2, Seed(1)).as_ref()).is_err());
    }
}
