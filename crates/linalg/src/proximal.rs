//! Projections and proximal maps.

use consilience_core::{Error, Result};

use crate::check;

/// The proximal map of `threshold * |x|`: towards zero by `threshold`, and zero within it.
#[inline]
pub fn shrink(x: f64, threshold: f64) -> f64 {
    x - x.clamp(-threshold, threshold)
}

/// Soft-thresholds `values` in place: [`shrink`] each.
///
/// Fails with [`Error::Parameter`] unless `threshold` is finite and at least 0, with [`Error::NotFinite`] on a NaN or
/// infinite value; `values` is unchanged then.
pub fn soft_threshold(values: &mut [f64], threshold: f64) -> Result<()> {
    check::non_negative("threshold", threshold)?;
    check::finite_slice("values", values)?;
    values.iter_mut().for_each(|value| *value = shrink(*value, threshold));
    Ok(())
}

/// Projects `values` in place onto the simplex `{x >= 0, sum x = radius}`, in the Euclidean norm.
///
/// The threshold is found by Michelot's active-set iteration ("A finite algorithm for finding the projection of a point onto
/// the canonical simplex", 1986): no sort, linear time in practice, one working copy.
///
/// Fails with [`Error::Data`] on an empty vector, [`Error::Parameter`] unless `radius` is finite and positive, and
/// [`Error::NotFinite`] on a NaN or infinite value; `values` is unchanged then.
pub fn project_simplex(values: &mut [f64], radius: f64) -> Result<()> {
    if values.is_empty() {
        return Err(Error::data("values", "empty, wanted at least one entry"));
    }
    if !(radius.is_finite() && radius > 0.0) {
        return Err(Error::parameter("radius", radius, "a finite number above 0"));
    }
    check::finite_slice("values", values)?;
    // Distances from the largest value: the sums stay small whatever the offset of the vector.
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut active: Vec<f64> = values.iter().map(|value| value - largest).collect();
    let threshold = loop {
        let threshold = (active.iter().sum::<f64>() - radius) / active.len() as f64;
        let before = active.len();
        active.retain(|value| *value > threshold);
        if active.len() == before || active.is_empty() {
            break threshold;
        }
    };
    values.iter_mut().for_each(|value| *value = (*value - largest - threshold).max(0.0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn closed_forms() {
        let mut x = [3.0, -0.5, -2.0, 0.0, 1.0];
        soft_threshold(&mut x, 1.0).unwrap();
        assert_eq!(x, [2.0, 0.0, -1.0, 0.0, 0.0]);
        let mut y = [0.5, 0.8, -0.2];
        project_simplex(&mut y, 1.0).unwrap();
        // The third falls out: (0.5 + 0.8 - 1) / 2 = 0.15.
        assert!(y.iter().zip([0.35, 0.65, 0.0]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-15));
        let mut alone = [-7.0];
        project_simplex(&mut alone, 2.5).unwrap();
        assert_eq!(alone, [2.5]);
        let mut vertex = [1e9, 0.0, 0.0];
        project_simplex(&mut vertex, 1.0).unwrap();
        assert_eq!(vertex, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn bad_input_is_refused_and_left_alone() {
        let mut x = [1.0, f64::NAN];
        assert!(matches!(project_simplex(&mut x, 1.0), Err(Error::NotFinite { .. })));
        assert!(matches!(soft_threshold(&mut x, 1.0), Err(Error::NotFinite { .. })));
        assert_eq!(x[0], 1.0);
        assert!(matches!(project_simplex(&mut [], 1.0), Err(Error::Data { .. })));
        assert!(matches!(project_simplex(&mut [1.0], 0.0), Err(Error::Parameter { .. })));
        assert!(matches!(soft_threshold(&mut [1.0], -1.0), Err(Error::Parameter { .. })));
    }

    proptest! {
        #[test]
        fn projections_meet_the_optimality_conditions(
            y in proptest::collection::vec(-50.0..50.0_f64, 1..60), radius in 0.01..100.0_f64,
        ) {
            let mut x = y.clone();
            project_simplex(&mut x, radius).unwrap();
            prop_assert!(x.iter().all(|v| *v >= 0.0));
            prop_assert!((x.iter().sum::<f64>() - radius).abs() < 1e-10 * (1.0 + radius));
            // y - x is one constant on the support and no larger elsewhere.
            let shift = y.iter().zip(&x).filter(|(_, x)| **x > 0.0).map(|(y, x)| y - x).next().unwrap();
            for (y, x) in y.iter().zip(&x) {
                let optimal = if *x > 0.0 { (y - x - shift).abs() < 1e-10 } else { *y <= shift + 1e-10 };
                prop_assert!(optimal);
            }
            let once = x.clone();
            project_simplex(&mut x, radius).unwrap();
            prop_assert!(x.iter().zip(&once).all(|(a, b)| (a - b).abs() < 1e-10 * (1.0 + radius)));
        }

        #[test]
        fn shrinking_minimises(x in -10.0..10.0_f64, threshold in 0.0..5.0_f64, other in -10.0..10.0_f64) {
            let objective = |z: f64| 0.5 * (z - x).powi(2) + threshold * z.abs();
            prop_assert!(objective(shrink(x, threshold)) <= objective(other) + 1e-12);
        }
    }
}
