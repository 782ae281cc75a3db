//! The check that every method with a `fit` must pass.

use crate::{Error, Result, Samples, Seed};

/// A method as the check sees it: how it is fitted and asked, and what it needs.
pub struct Fitted<'a> {
    /// The method's name in the check's messages.
    pub name: &'a str,
    /// Values a sample.
    pub width: usize,
    /// The fewest samples that the method can be fitted on.
    pub least: usize,
    /// Fits on samples and applies what was fitted to others: `fit_apply(fit, apply)`. Labels, where the method needs them,
    /// are made up by the closure.
    pub fit_apply: &'a dyn Fn(&Samples, &Samples) -> Result<Vec<f32>>,
}

/// Puts a method through what users do to it:
///
/// - no samples, too few samples, NaN, infinity and another width are refused with an [`Error`], without a panic;
/// - good data is accepted, the result is finite, fitting again gives the same bits, and the input is not changed;
/// - one sample is accepted or refused, but does not panic.
///
/// # Errors
/// A sentence saying what the method did wrong.
pub fn check_fit(method: &Fitted<'_>) -> Result<(), String> {
    let Fitted { name, width, least, fit_apply } = method;
    let fail = |what: &str| Err(format!("{name}: {what}"));
    let broken = |e: Error| format!("{name}: the check could not make its data: {e}");
    let good = made(least.max(&8) * 2, *width).map_err(broken)?;
    let before = good.clone();
    let first = fit_apply(&good, &good).map_err(|e| format!("{name}: good data was refused: {e}"))?;
    if let Some(at) = first.iter().position(|v| !v.is_finite()) {
        return fail(&format!("result {at} on good data is {}", first[at]));
    }
    if good != before {
        return fail("the input was changed");
    }
    let second = fit_apply(&good, &good).map_err(|e| format!("{name}: the second fit was refused: {e}"))?;
    if first.iter().map(|v| v.to_bits()).ne(second.iter().map(|v| v.to_bits())) {
        return fail("fitting again gave another result");
    }
    let empty = made(0, *width).map_err(broken)?;
    if fit_apply(&empty, &good).is_ok() {
        return fail("no samples were accepted");
    }
    for count in 1..*least {
        if fit_apply(&made(count, *width).map_err(broken)?, &good).is_ok() {
            return fail(&format!("{count} samples were accepted, though it says that it needs {least}"));
        }
    }
    if let Ok(result) = fit_apply(&made(1, *width).map_err(broken)?, &good)
        && result.iter().any(|v| !v.is_finite())
    {
        return fail("one sample was accepted and gave results that are not finite");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let spoilt = spoil(&good, bad).map_err(broken)?;
        if fit_apply(&spoilt, &good).is_ok() {
            return fail(&format!("{bad} in the samples to fit on was accepted"));
        }
        if fit_apply(&good, &spoilt).is_ok() {
            return fail(&format!("{bad} in the samples to apply to was accepted"));
        }
    }
    let wide = made(good.len(), width + 1).map_err(broken)?;
    if fit_apply(&good, &wide).is_ok() {
        return fail("samples of another width than was fitted were accepted");
    }
    Ok(())
}

/// Samples with values in [-1, 1), the same at every call.
fn made(count: usize, width: usize) -> Result<Samples> {
    let mut values = vec![0.0; count * width];
    Seed(20).derive("check").philox().uniforms(0, 0, &mut values);
    values.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
    Samples::new(values, &[width])
}

fn spoil(samples: &Samples, bad: f32) -> Result<Samples> {
    let mut values = samples.as_slice().to_vec();
    let middle = values.len() / 2;
    if let Some(value) = values.get_mut(middle) {
        *value = bad;
    }
    Samples::new(values, samples.shape())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Standardizer;

    fn check(fit_apply: &dyn Fn(&Samples, &Samples) -> Result<Vec<f32>>) -> Result<(), String> {
        check_fit(&Fitted { name: "standardizer", width: 3, least: 1, fit_apply })
    }

    fn honest(fit: &Samples, apply: &Samples) -> Result<Vec<f32>> {
        apply.check_finite("samples")?;
        Ok(Standardizer::fit(fit)?.apply(apply)?.into_vec())
    }

    #[test]
    fn an_honest_method_passes() {
        assert_eq!(check(&honest), Ok(()));
    }

    #[test]
    fn each_fault_is_found() {
        let nan = check(&|fit, apply| Ok(Standardizer::fit(fit)?.apply(apply)?.into_vec()));
        assert_eq!(nan.unwrap_err(), "standardizer: NaN in the samples to apply to was accepted");
        let calls = Cell::new(0.0);
        let drifting = check(&|fit, apply| {
            calls.set(calls.get() + 1.0);
            Ok(honest(fit, apply)?.into_iter().map(|v| v + calls.get()).collect())
        });
        assert_eq!(drifting.unwrap_err(), "standardizer: fitting again gave another result");
        let careless = check(&|fit, apply| if fit.is_empty() { Ok(vec![]) } else { honest(fit, apply) });
        assert_eq!(careless.unwrap_err(), "standardizer: no samples were accepted");
        let refusing = check(&|_, _| Err(Error::data("x", "no")));
        assert_eq!(refusing.unwrap_err(), "standardizer: good data was refused: x: no");
        let greedy = check_fit(&Fitted { name: "greedy", width: 3, least: 4, fit_apply: &honest });
        assert_eq!(greedy.unwrap_err(), "greedy: 1 samples were accepted, though it says that it needs 4");
    }
}
