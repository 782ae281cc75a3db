//! Functions that optimisers are tested on, by name.
//!
//! ```
//! use consilience_optimization::test_functions::TestFunction;
//!
//! let ackley = TestFunction::named("ackley")?;
//! let minimiser = ackley.minimiser(10);
//! assert!(ackley.value(&minimiser).abs() < 1e-12);
//! # Ok::<(), consilience_core::Error>(())
//! ```

use std::f64::consts::{E, PI};

use consilience_core::{Error, Result};

use crate::{Bounds, Objective};

/// Writes the gradient at a point.
type Gradient = fn(&[f64], &mut [f64]);

/// A function with a known minimum.
#[derive(Clone, Copy, Debug)]
pub struct TestFunction {
    /// Its name, lower case and hyphens.
    pub name: &'static str,
    /// The function in one line.
    pub summary: &'static str,
    /// The fewest and the most dimensions that it has.
    pub dimensions: (usize, usize),
    /// The interval that each variable usually lies in.
    pub range: (f64, f64),
    value: fn(&[f64]) -> f64,
    gradient: Option<Gradient>,
    /// Each coordinate of the minimiser: (index, number of dimensions).
    minimiser: fn(usize, usize) -> f64,
}

const ANY: (usize, usize) = (1, usize::MAX);
const PAIRS: (usize, usize) = (2, usize::MAX);
/// Where Styblinski and Tang's function of one variable is least: the root of 4 x³ − 32 x + 5 near −2.9.
const STYBLINSKI: f64 = -2.903_534_027_771_177;
/// Where −x sin √|x| is least on [−500, 500].
const SCHWEFEL: f64 = 420.968_746_359_982;

/// All of them.
pub static TEST_FUNCTIONS: &[TestFunction] = &[
    TestFunction {
        name: "sphere",
        summary: "a round bowl: Σ x²",
        dimensions: ANY,
        range: (-5.0, 5.0),
        value: |x| x.iter().map(|v| v * v).sum(),
        gradient: Some(|x, g| g.iter_mut().zip(x).for_each(|(g, v)| *g = 2.0 * v)),
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "rosenbrock",
        summary: "a bent valley: Σ 100 (x' − x²)² + (1 − x)²",
        dimensions: PAIRS,
        range: (-2.0, 2.0),
        value: |x| x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum(),
        gradient: Some(|x, g| {
            g.fill(0.0);
            for (i, w) in x.windows(2).enumerate() {
                let off = w[1] - w[0] * w[0];
                g[i] += -400.0 * w[0] * off - 2.0 * (1.0 - w[0]);
                g[i + 1] += 200.0 * off;
            }
        }),
        minimiser: |_, _| 1.0,
    },
    TestFunction {
        name: "rastrigin",
        summary: "a bowl with a lattice of local minima: Σ x² + 10 (1 − cos 2πx)",
        dimensions: ANY,
        range: (-5.12, 5.12),
        value: |x| rastrigin(x, 10.0),
        gradient: Some(|x, g| rastrigin_gradient(x, 10.0, g)),
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "rastrigin-mild",
        summary: "Rastrigin's function with lower barriers: Σ x² + 2.5 (1 − cos 2πx)",
        dimensions: ANY,
        range: (-5.12, 5.12),
        value: |x| rastrigin(x, 2.5),
        gradient: Some(|x, g| rastrigin_gradient(x, 2.5, g)),
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "ackley",
        summary: "a narrow hole in a rough plain",
        dimensions: ANY,
        range: (-32.768, 32.768),
        value: |x| {
            let n = x.len() as f64;
            let radius = (x.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
            let waves = x.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / n;
            -20.0 * (-0.2 * radius).exp() - waves.exp() + 20.0 + E
        },
        gradient: Some(|x, g| {
            let n = x.len() as f64;
            let radius = (x.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
            let waves = (x.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / n).exp();
            // At the minimiser itself the function has a kink; 0 is a subgradient.
            let pull = if radius > 0.0 { 4.0 * (-0.2 * radius).exp() / (n * radius) } else { 0.0 };
            g.iter_mut().zip(x).for_each(|(g, v)| *g = pull * v + waves * 2.0 * PI * (2.0 * PI * v).sin() / n);
        }),
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "griewank",
        summary: "a wide bowl with ripples: 1 + Σ x²/4000 − Π cos(x/√i)",
        dimensions: ANY,
        range: (-600.0, 600.0),
        value: |x| {
            let waves: f64 = x.iter().zip(1..).map(|(v, i)| (v / f64::from(i).sqrt()).cos()).product();
            1.0 + x.iter().map(|v| v * v).sum::<f64>() / 4000.0 - waves
        },
        gradient: None,
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "levy",
        summary: "waves on a bowl, least at (1, …, 1)",
        dimensions: ANY,
        range: (-10.0, 10.0),
        value: |x| {
            let w = |v: f64| 1.0 + (v - 1.0) / 4.0;
            let (Some(first), Some((last, rest))) = (x.first(), x.split_last()) else { return 0.0 };
            let inner: f64 =
                rest.iter().map(|v| (w(*v) - 1.0).powi(2) * (1.0 + 10.0 * (PI * w(*v) + 1.0).sin().powi(2))).sum();
            (PI * w(*first)).sin().powi(2)
                + inner
                + (w(*last) - 1.0).powi(2) * (1.0 + (2.0 * PI * w(*last)).sin().powi(2))
        },
        gradient: None,
        minimiser: |_, _| 1.0,
    },
    TestFunction {
        name: "styblinski-tang",
        summary: "2^n basins: Σ (x⁴ − 16 x² + 5 x) / 2",
        dimensions: ANY,
        range: (-5.0, 5.0),
        value: |x| x.iter().map(|v| 0.5 * (v.powi(4) - 16.0 * v * v + 5.0 * v)).sum(),
        gradient: Some(|x, g| g.iter_mut().zip(x).for_each(|(g, v)| *g = 2.0 * v.powi(3) - 16.0 * v + 2.5)),
        minimiser: |_, _| STYBLINSKI,
    },
    TestFunction {
        name: "schwefel",
        summary: "deceptive: the best basin lies at the edge of the box",
        dimensions: ANY,
        range: (-500.0, 500.0),
        value: |x| x.iter().map(|v| 418.982_887_272_433_8 - v * v.abs().sqrt().sin()).sum(),
        gradient: None,
        minimiser: |_, _| SCHWEFEL,
    },
    TestFunction {
        name: "zakharov",
        summary: "a plate without other minima: Σ x² + s² + s⁴, s = Σ i x / 2",
        dimensions: ANY,
        range: (-5.0, 10.0),
        value: |x| {
            let s: f64 = x.iter().zip(1..).map(|(v, i)| 0.5 * f64::from(i) * v).sum();
            x.iter().map(|v| v * v).sum::<f64>() + s.powi(2) + s.powi(4)
        },
        gradient: Some(|x, g| {
            let s: f64 = x.iter().zip(1..).map(|(v, i)| 0.5 * f64::from(i) * v).sum();
            let slope = 2.0 * s + 4.0 * s.powi(3);
            g.iter_mut().zip(x).zip(1..).for_each(|((g, v), i)| *g = 2.0 * v + 0.5 * f64::from(i) * slope);
        }),
        minimiser: |_, _| 0.0,
    },
    TestFunction {
        name: "dixon-price",
        summary: "a valley: (x₁ − 1)² + Σ i (2 x² − x')²",
        dimensions: ANY,
        range: (-10.0, 10.0),
        value: |x| {
            let first = x.first().map_or(0.0, |v| (v - 1.0).powi(2));
            first + x.windows(2).zip(2..).map(|(w, i)| f64::from(i) * (2.0 * w[1] * w[1] - w[0]).powi(2)).sum::<f64>()
        },
        gradient: None,
        minimiser: |i, _| {
            let power = 2_f64.powi((i + 1).min(60) as i32);
            2_f64.powf(-(power - 2.0) / power)
        },
    },
    TestFunction {
        name: "canyon",
        summary: "a winding canyon with barriers on its floor, of two variables (Riedl et al., 2023)",
        dimensions: (2, 2),
        range: (-4.0, 12.0),
        value: canyon,
        gradient: None,
        minimiser: |_, _| 0.0,
    },
];

impl TestFunction {
    /// The function of that name. Fails with [`Error::Parameter`], listing all names.
    pub fn named(name: &str) -> Result<&'static TestFunction> {
        let known = || TEST_FUNCTIONS.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
        TEST_FUNCTIONS
            .iter()
            .find(|f| f.name == name)
            .ok_or_else(|| Error::parameter("test function", format!("{name:?}"), format!("one of {}", known())))
    }

    /// The value at `x`, which has as many entries as [`TestFunction::check`] accepts.
    pub fn value(&self, x: &[f64]) -> f64 {
        (self.value)(x)
    }

    /// A point where it is least, in n dimensions.
    pub fn minimiser(&self, n: usize) -> Vec<f64> {
        (0..n).map(|i| (self.minimiser)(i, n)).collect()
    }

    /// The least value in n dimensions.
    pub fn minimum(&self, n: usize) -> f64 {
        self.value(&self.minimiser(n))
    }

    /// The usual box in n dimensions. Fails with [`Error::Parameter`] where the function has no n dimensions.
    pub fn bounds(&self, n: usize) -> Result<Bounds> {
        self.check(n)?;
        Bounds::uniform(n, self.range.0, self.range.1)
    }

    /// Fails with [`Error::Parameter`] where the function has no n dimensions.
    pub fn check(&self, n: usize) -> Result<()> {
        let (fewest, most) = self.dimensions;
        match (fewest..=most).contains(&n) {
            true => Ok(()),
            false if fewest == most => {
                Err(Error::parameter("dimensions", n, format!("{fewest}: `{}` has no others", self.name)))
            }
            false => Err(Error::parameter("dimensions", n, format!("at least {fewest} for `{}`", self.name))),
        }
    }
}

impl Objective for TestFunction {
    fn value(&self, x: &[f64]) -> f64 {
        (self.value)(x)
    }

    fn gradient(&self, x: &[f64], gradient: &mut [f64]) -> bool {
        self.gradient.map(|write| write(x, gradient)).is_some()
    }
}

fn rastrigin(x: &[f64], barrier: f64) -> f64 {
    // 1 − cos 2πv = 2 sin² πv, which cancels nothing near the minima.
    let mut sums = [0.0; 4];
    let (fours, rest) = x.as_chunks::<4>();
    for four in fours {
        for (sum, v) in sums.iter_mut().zip(four) {
            *sum += v * v + 2.0 * barrier * square_of_sine(*v);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|v| v * v + 2.0 * barrier * square_of_sine(*v)).sum::<f64>()
}

/// Taylor's series of sin t / t in t², highest power first: on |t| ≤ π/2 what is left out is below 1e-20.
const SINE: [f64; 12] = [
    -3.868170170630684e-23,
    1.9572941063391263e-20,
    -8.22063524662433e-18,
    2.8114572543455206e-15,
    -7.647163731819816e-13,
    1.6059043836821613e-10,
    -2.505210838544172e-08,
    2.7557319223985893e-06,
    -0.0001984126984126984,
    0.008333333333333333,
    -0.16666666666666666,
    1.0,
];

/// sin² πv to within 1e-15, without a call, so that loops over it compile to vector instructions.
#[inline(always)]
fn square_of_sine(v: f64) -> f64 {
    // Adding and taking off 1.5 · 2⁵² rounds to a whole number; beyond 2⁵¹ there are only whole numbers anyway.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let whole = (v + SHIFT) - SHIFT;
    let t = if v.abs() < 2_251_799_813_685_248.0 { PI * (v - whole) } else { 0.0 * v };
    let q = t * t;
    let sine = t * SINE.iter().fold(0.0, |sum, term| sum * q + term);
    sine * sine
}

fn rastrigin_gradient(x: &[f64], barrier: f64, g: &mut [f64]) {
    g.iter_mut().zip(x).for_each(|(g, v)| *g = 2.0 * v + barrier * 2.0 * PI * (2.0 * PI * v).sin());
}

/// `GrandCanyon3` of the published code: y ≈ (x − 1)(x − 4)²/8 + 2 is the canyon's floor.
fn canyon(v: &[f64]) -> f64 {
    let &[x, y] = v else { return f64::NAN };
    let a = y - ((x - 1.0) * (x - 4.0).powi(2) / 8.0 + 2.0);
    let p = -x - 1.6 * y;
    let side = if p > 0.0 { 1.0 - (-9.0 * p * p).exp() } else { 0.0 };
    25.0 * (1.0 - (-1.4 * a * a * (-0.002 * x.powi(4)).exp()).exp())
        + 0.4 * x * x
        + 0.2 * y * y
        + 1.1625 * ((1.0 - (0.75 * PI * x).cos()) + (1.0 - (0.75 * PI * y).cos()))
        + 4.0 * (1.0 - 2.0 * a.powi(4)).exp() * side
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_are_where_they_should_be() {
        for f in TEST_FUNCTIONS {
            let n = f.dimensions.0.max(3).min(f.dimensions.1);
            let least = f.minimum(n);
            let start = f.minimiser(n);
            // A minimiser on a grid of small steps, and no point of a coarse grid below it.
            for i in 0..n {
                for step in [-1e-3, 1e-3] {
                    let mut x = start.clone();
                    x[i] += step;
                    assert!(f.value(&x) >= least - 1e-10, "{}", f.name);
                }
            }
            let (low, high) = f.range;
            for k in 0..20_i32.pow(n as u32) {
                let x: Vec<f64> =
                    (0..n).map(|i| low + (high - low) * f64::from(k / 20_i32.pow(i as u32) % 20) / 19.0).collect();
                assert!(f.value(&x) >= least - 1e-9, "{}: {x:?}", f.name);
            }
            if f.name != "styblinski-tang" {
                assert!(least.abs() < 2e-4, "{}: {least}", f.name);
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let x = [0.3, -1.2, 0.7, 1.9];
        for f in TEST_FUNCTIONS.iter().filter(|f| f.gradient.is_some()) {
            let (mut exact, mut differences) = ([0.0; 4], [0.0; 4]);
            assert!(f.gradient(&x, &mut exact));
            (|x: &[f64]| f.value(x)).gradient_or_differences(&x, 1e-5, &mut differences);
            for (a, b) in exact.iter().zip(&differences) {
                assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{}: {exact:?} {differences:?}", f.name);
            }
        }
    }

    #[test]
    fn values_agree_with_another_implementation() {
        use argmin_testfunctions as other;
        let x = [0.3, -1.2, 0.7, 1.9];
        for (name, wanted) in [
            ("sphere", other::sphere(&x)),
            ("rosenbrock", other::rosenbrock(&x)),
            ("rastrigin", other::rastrigin(&x)),
            ("ackley", other::ackley(&x)),
            ("styblinski-tang", other::styblinski_tang(&x)),
        ] {
            let found = TestFunction::named(name).unwrap().value(&x);
            assert!((found - wanted).abs() < 1e-11 * wanted.abs(), "{name}: {found} {wanted}");
        }
    }

    #[test]
    fn the_canyon_is_that_of_the_published_code() {
        for (point, wanted) in [
            ([8.0, 8.0], 39.012_536_635_371_9),
            ([5.0, 5.0], 38.642_997_281_689_13),
            ([-1.0, 3.0], 29.525),
            ([1.0, -1.5], 30.071_020_667_800_81),
            ([0.0, 0.0], 0.0),
        ] {
            assert!((canyon(&point) - wanted).abs() < 1e-10, "{point:?}: {}", canyon(&point));
        }
    }

    #[test]
    fn the_quick_sine_is_exact() {
        for k in -40_000..40_000 {
            let v = f64::from(k) * 1.234_567e-3;
            // Reduced exactly before it is multiplied by π.
            let wanted = (PI * (v - v.round())).sin().powi(2);
            assert!((square_of_sine(v) - wanted).abs() < 1e-15, "{v}: {} {wanted}", square_of_sine(v));
        }
        assert_eq!(square_of_sine(1e300), 0.0);
        assert!(square_of_sine(f64::NAN).is_nan() && square_of_sine(f64::INFINITY).is_nan());
    }

    #[test]
    fn unknown_names_and_dimensions_are_refused() {
        assert!(
            TestFunction::named("bowl").unwrap_err().to_string().starts_with("test function = \"bowl\", wanted one")
        );
        let canyon = TestFunction::named("canyon").unwrap();
        assert_eq!(canyon.bounds(3).unwrap_err().to_string(), "dimensions = 3, wanted 2: `canyon` has no others");
        assert!(TestFunction::named("rosenbrock").unwrap().check(1).is_err());
    }
}
