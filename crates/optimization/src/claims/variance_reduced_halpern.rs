//! Variance-reduced Halpern iteration against methods with full evaluations, in passes: evaluations of parts divided by `n`.
//!
//! Two settings. Cocoercive: sums of `½ (I - R_i)` over random rotations of ten planes, where the gain must grow like `√n`
//! and the method must lose at `n = 400`. Monotone: the policeman and the burglar, a matrix game on which extragradient,
//! though it has no rate for the last residual, is fast.

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Seed};
use faer::Mat;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::halpern::{
    CocoerciveHalpern, Deterministic, FiniteSum, MatrixGame, Method, MonotoneHalpern, Solution, Stopping, Unconstrained,
};

const FIRST: &str = "Algorithm 1";
const SECOND: &str = "Algorithm 2";
const SECOND_FAST: &str = "Algorithm 2, inner step x 3";
const EXACT: &str = "Algorithm 1 with full evaluations";
const HALPERN: &str = "Halpern, step 1/L";
const HALPERN_LONG: &str = "Halpern, step 2/L";
const KRASNOSELSKII: &str = "Krasnoselskii–Mann";
const ANCHORED: &str = "extra anchored gradient, step 1/(8L)";
const ANCHORED_LONG: &str = "extra anchored gradient, step 0.9/L";
const EXTRAGRADIENT: &str = "extragradient";

const LARGEST: &str = "passes, cocoercive, largest n";
const SMALLEST: &str = "passes, cocoercive, smallest n";
const SLOPE: &str = "slope of log passes over log n";
const CONSTANT: &str = "largest residual * (k + 4) / (L D)";
const STEPS: &str = "steps, cocoercive, largest n";
const GAME: &str = "passes, game, largest m";
const FALL: &str = "passes at the second largest m over those at the largest";
const CERTIFICATE: &str = "certificate minus the smallest residual";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "variance-reduced-halpern",
    area: "optimization",
    summary: "Halpern iteration with variance reduction: last iterates with a certificate for sums of monotone operators",
    paper: Paper {
        title: "Variance Reduced Halpern Iteration for Finite-Sum Monotone Inclusions",
        year: 2023,
        arxiv: "2310.02987",
    },
    statement: "A residual of ε costs Õ(n + √n L / ε) evaluations of parts: passes fall like 1/√n, below those of methods \
                with full evaluations once n is large.",
    remarks: "",
    seeds: 5,
    headline: GAME,
    bars: &[
        Bar::value("passes fall like 1/√n", SLOPE, FIRST).within(-0.55, -0.35),
        Bar::ratio("0.35 of Halpern's passes", LARGEST, FIRST, HALPERN).at_most(0.35),
        Bar::ratio("0.65 of those with twice the step", LARGEST, FIRST, HALPERN_LONG).at_most(0.65),
        Bar::ratio("as many steps as with full evaluations", STEPS, FIRST, EXACT).within(0.99, 1.01),
        Bar::value("the theorem's constant", CONSTANT, FIRST).at_most(16.0),
        Bar::ratio("0.9 of the best anchored gradient's passes", GAME, SECOND, ANCHORED_LONG).at_most(0.9),
        Bar::ratio("0.2 of the guaranteed one's", GAME, SECOND, ANCHORED).at_most(0.2),
        Bar::ratio("with longer inner steps, 0.9 of extragradient's", GAME, SECOND_FAST, EXTRAGRADIENT).at_most(0.9),
        Bar::value("passes fall with the size of the game", FALL, SECOND).at_least(2.5),
        Bar::value("certificates are not below the truth", CERTIFICATE, SECOND).at_least(-1e-9),
        Bar::ratio("at n = 400 it loses to Halpern", SMALLEST, FIRST, HALPERN).at_least(1.0).reported(),
        Bar::ratio("extragradient without a guarantee", GAME, SECOND, EXTRAGRADIENT).at_most(1.0).reported(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let mut measured = Measurements::new();
    cocoercive(scale, seed.derive("rotations"), progress, &mut measured)?;
    games(scale, seed.derive("games"), progress, &mut measured)?;
    Ok(measured)
}

/// `F_i(u) = ½ (I - R_i) (u - u*)`, with `R_i` a rotation of every plane by its own angle; 1-cocoercive.
struct Rotations {
    /// `(1 - cos, sin) / 2` of each plane, component by component.
    parts: Vec<[f64; 2]>,
    mean: Vec<[f64; 2]>,
    root: Vec<f64>,
}

const PLANES: usize = 10;

impl Rotations {
    fn new(n: usize, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut parts = Vec::with_capacity(n * PLANES);
        for _ in 0..n {
            for plane in 0..PLANES {
                let theta = 10_f64.powf(-3.0 + 3.0 * plane as f64 / (PLANES - 1) as f64);
                let (sin, cos) = (theta * (1.0 + 0.5 * normal())).sin_cos();
                parts.push([0.5 * (1.0 - cos), 0.5 * sin]);
            }
        }
        let mut root: Vec<f64> = (0..2 * PLANES).map(|_| normal()).collect();
        let length = root.iter().map(|r| r * r).sum::<f64>().sqrt();
        root.iter_mut().for_each(|r| *r /= length);
        let mut mean = vec![[0.0; 2]; PLANES];
        for component in parts.chunks_exact(PLANES) {
            for (mean, part) in mean.iter_mut().zip(component) {
                mean[0] += part[0] / n as f64;
                mean[1] += part[1] / n as f64;
            }
        }
        Self { parts, mean, root }
    }
}

fn add_rotated(parts: &[[f64; 2]], weight: f64, at: impl Fn(usize) -> f64, out: &mut [f64]) {
    for (plane, [c, s]) in parts.iter().enumerate() {
        let (x, y) = (weight * at(2 * plane), weight * at(2 * plane + 1));
        out[2 * plane] += c * x + s * y;
        out[2 * plane + 1] += c * y - s * x;
    }
}

impl FiniteSum for Rotations {
    type Sample = usize;

    fn dimension(&self) -> usize {
        2 * PLANES
    }

    fn components(&self) -> usize {
        self.parts.len() / PLANES
    }

    fn lipschitz(&self) -> f64 {
        1.0
    }

    fn evaluate(&self, u: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        add_rotated(&self.mean, 1.0, |i| u[i] - self.root[i], out);
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        rng.random_range(0..self.components())
    }

    fn add_difference(&self, i: &usize, weight: f64, u: &[f64], v: &[f64], out: &mut [f64]) {
        add_rotated(&self.parts[i * PLANES..(i + 1) * PLANES], weight, |i| u[i] - v[i], out);
    }
}

fn cocoercive(scale: Scale, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let (sizes, residual): (&[usize], f64) = match scale {
        Scale::Full => (&[400, 2500, 10_000, 40_000], 1e-3),
        Scale::Smoke => (&[100, 400], 0.05),
    };
    let stopping = Stopping { residual, passes: 2e5, ..Default::default() };
    let full = |method, step| Deterministic { method, step: Some(step), stopping };
    let mut curve = Vec::new();
    for (i, &n) in sizes.iter().enumerate() {
        let problem = Rotations::new(n, seed.nth(n as u64));
        let start = vec![0.0; problem.dimension()];
        let first = CocoerciveHalpern { stopping, seed: seed.derive("draws").nth(n as u64), ..Default::default() };
        let solution = first.solve(&problem, &Unconstrained, &start, progress)?;
        let largest = solution.history.iter().map(|c| c.residual * (c.step as f64 + 4.0)).fold(0.0, f64::max);
        let before = measured.get(FIRST, CONSTANT).unwrap_or(0.0);
        measured.record(FIRST, CONSTANT, largest.max(before));
        curve.push(((n as f64).ln(), solution.passes().ln()));
        let metric = match i {
            0 => SMALLEST,
            _ if i + 1 == sizes.len() => LARGEST,
            _ => {
                measured.record(FIRST, format!("passes, cocoercive, n = {n}"), solution.passes());
                continue;
            }
        };
        measured.record(FIRST, metric, solution.passes());
        let exact = CocoerciveHalpern { exact: true, ..first }.solve(&problem, &Unconstrained, &start, progress)?;
        measured.record(EXACT, metric, exact.passes());
        if metric == LARGEST {
            measured.record(FIRST, STEPS, solution.steps as f64).record(EXACT, STEPS, exact.steps as f64);
            for (arm, solution) in [(FIRST, &solution), (EXACT, &exact)] {
                record_curve(measured, "residual, cocoercive, largest n", arm, solution);
            }
        }
        for (arm, method, step) in [
            (HALPERN, Method::Halpern, 1.0),
            (HALPERN_LONG, Method::Halpern, 2.0),
            (KRASNOSELSKII, Method::KrasnoselskiiMann, 2.0),
        ] {
            let solution = full(method, step).solve(&problem, &Unconstrained, &start, progress)?;
            measured.record(arm, metric, solution.passes());
            if metric == LARGEST {
                record_curve(measured, "residual, cocoercive, largest n", arm, &solution);
            }
        }
    }
    measured.record(FIRST, SLOPE, slope(&curve));
    let points = curve.iter().map(|(n, passes)| (n / std::f64::consts::LN_10, passes / std::f64::consts::LN_10));
    measured.record_curve("passes over n, cocoercive", ["log10 n", "log10 passes"], FIRST, points);
    Ok(())
}

/// The least-squares slope of a row of points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    over / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn games(scale: Scale, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let (sizes, relative): (&[usize], f64) = match scale {
        Scale::Full => (&[100, 200, 400], 1e-3),
        Scale::Smoke => (&[10, 20], 1e-2),
    };
    let mut passes = Vec::new();
    let mut worst = f64::INFINITY;
    for (i, &m) in sizes.iter().enumerate() {
        let game = MatrixGame::new(policeman_and_burglar(m, seed.nth(m as u64)).as_ref())?;
        let norm = game.spectral_norm()?;
        let stopping = Stopping { residual: relative * norm, passes: 1e5, ..Default::default() };
        let (start, set) = (game.uniform(), game.strategies());
        let second = MonotoneHalpern { stopping, seed: seed.derive("draws").nth(m as u64), ..Default::default() };
        let fast = MonotoneHalpern { inner_scale: 3.0, ..second };
        let last = i + 1 == sizes.len();
        let mut record = |arm: &str, solution: &Solution| {
            let name = if last { GAME.to_owned() } else { format!("passes, game, m = {m}") };
            measured.record(arm, name, solution.passes());
            if last {
                record_curve(measured, "residual, game, largest m", arm, solution);
            }
        };
        let solution = second.solve(&game, &set, &start, progress)?;
        worst = worst.min(solution.residual - smallest_residual(&game, &solution.point, m));
        passes.push(solution.passes());
        record(SECOND, &solution);
        record(SECOND_FAST, &fast.solve(&game, &set, &start, progress)?);
        for (arm, method, step) in [
            (ANCHORED, Method::ExtraAnchoredGradient, 0.125),
            (ANCHORED_LONG, Method::ExtraAnchoredGradient, 0.9),
            (EXTRAGRADIENT, Method::Extragradient, 0.9),
        ] {
            let solver = Deterministic { method, step: Some(step / norm), stopping };
            record(arm, &solver.solve(&game, &set, &start, progress)?);
        }
    }
    if let [.., second_largest, largest] = passes[..] {
        measured.record(SECOND, FALL, second_largest / largest);
    }
    measured.record(SECOND, CERTIFICATE, worst);
    Ok(())
}

/// `A_ij = w_i (1 - exp(-0.8 |i - j|))`: the burglar gets away with the wealth of house `i`, the less likely the nearer the
/// policeman is.
fn policeman_and_burglar(m: usize, seed: Seed) -> Mat<f64> {
    let mut rng = seed.rng();
    let wealth: Vec<f64> = (0..m).map(|_| Distribution::<f64>::sample(&StandardNormal, &mut rng).abs()).collect();
    Mat::from_fn(m, m, |i, j| wealth[i] * (1.0 - (-0.8 * i.abs_diff(j) as f64).exp()))
}

/// The distance of `-F(u)` to the normal cone of the two simplices at `u`, computed from nothing but `u`.
fn smallest_residual(game: &MatrixGame, u: &[f64], m: usize) -> f64 {
    let mut value = vec![0.0; u.len()];
    game.evaluate(u, &mut value);
    let side = |u: &[f64], value: &[f64]| {
        // An element of the cone is a constant t, less anything positive where u is zero.
        let part = |t: f64, u: f64, f: f64| if u > 0.0 { f + t } else { (f + t).min(0.0) };
        let slope = |t: f64| u.iter().zip(value).map(|(u, f)| part(t, *u, *f)).sum::<f64>();
        let (mut low, mut high) =
            value.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), f| (low.min(-f), high.max(-f)));
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if slope(middle) > 0.0 { high = middle } else { low = middle }
        }
        u.iter().zip(value).map(|(u, f)| part(0.5 * (low + high), *u, *f).powi(2)).sum::<f64>()
    };
    (side(&u[..m], &value[..m]) + side(&u[m..], &value[m..])).sqrt()
}

fn record_curve(measured: &mut Measurements, title: &str, arm: &str, solution: &Solution) {
    let every = solution.history.len().div_ceil(150).max(1);
    let points = solution.history.iter().step_by(every).filter(|check| check.residual > 0.0);
    let points: Vec<(f64, f64)> = points
        .map(|check| {
            let passes = check.evaluations as f64 / solution.components as f64;
            (passes.log10(), check.residual.log10())
        })
        .collect();
    measured.record_curve(title, ["log10 passes", "log10 residual"], arm, points);
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        for bar in &outcome.bars {
            assert!(bar.problem.is_none(), "{}: {:?}", bar.text, bar.problem);
        }
        let measured = &outcome.seeds[0].measurements;
        assert!(measured.first_not_finite().is_none());
        assert!(measured.get(SECOND, CERTIFICATE).is_some_and(|difference| difference >= -1e-9));
        assert!(measured.get(FIRST, CONSTANT).is_some_and(|constant| constant <= 16.0));
    }

    #[test]
    fn rotations_are_cocoercive() {
        let problem = Rotations::new(50, Seed(1));
        let (mut sum, mut squares) = (0.0, 0.0);
        let (u, v): (Vec<f64>, Vec<f64>) = ((0..20).map(f64::from).collect(), vec![1.0; 20]);
        for i in 0..50 {
            let mut difference = vec![0.0; 20];
            problem.add_difference(&i, 1.0, &u, &v, &mut difference);
            sum += difference.iter().zip(u.iter().zip(&v)).map(|(d, (u, v))| d * (u - v)).sum::<f64>();
            squares += difference.iter().map(|d| d * d).sum::<f64>();
        }
        assert!((sum - squares).abs() < 1e-9 * squares, "with L = 1, exactly: {sum} {squares}");
    }
}
