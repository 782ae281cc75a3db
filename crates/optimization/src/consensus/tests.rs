//! Invariants of the consensus methods.

use std::sync::Mutex;

use argmin::core::checkpointing::{Checkpoint, CheckpointingFrequency};
use argmin::core::{CostFunction, Executor, PopulationState, State};
use consilience_core::testing::Recorder;
use consilience_core::{Error, Seed, Silent};
use proptest::prelude::*;

use super::*;
use crate::test_functions::TestFunction;
use crate::{Bounds, Objective};

/// ½ x'Ax − b'x with A = [[2, .5], [.5, 1]], b = (1, −1).
fn quadratic(x: &[f64]) -> f64 {
    x[0] * x[0] + 0.5 * x[0] * x[1] + 0.5 * x[1] * x[1] - x[0] + x[1]
}

fn normal(mean: &[f64], deviation: f64) -> Start {
    Start::Normal { mean: mean.to_vec(), deviation }
}

fn small() -> ConsensusOptimization {
    ConsensusOptimization { particles: 40, steps: 60, sigma: 1.0, dt: 0.05, trajectory: true, ..Default::default() }
}

#[test]
fn a_hop_on_a_quadratic_is_the_proximal_step_for_every_alpha() {
    for alpha in [0.3, 1.0, 3.0] {
        // (I + τ A)⁻¹ (x + τ b), τ = α s².
        let tau = alpha;
        let (a, b, d) = (1.0 + 2.0 * tau, 0.5 * tau, 1.0 + tau);
        let (r0, r1) = (3.0 + tau, -2.0 - tau);
        let det = a * d - b * b;
        let wanted = [(d * r0 - b * r1) / det, (a * r1 - b * r0) / det];
        let hop = ConsensusHopping { particles: 1_000_000, alpha, width: 1.0, steps: 1, ..Default::default() };
        let found = hop.minimize(&quadratic, &[3.0, -2.0], &Silent).unwrap().consensus;
        assert!((0..2).all(|i| (found[i] - wanted[i]).abs() < 0.02), "{alpha}: {found:?} {wanted:?}");
        if alpha == 1.0 {
            assert!((wanted[0] - 1.652_173_91).abs() < 1e-8 && (wanted[1] + 1.913_043_48).abs() < 1e-8);
        }
    }
    let scheme = MinimizingMovement { tau: 1.0, steps: 1, ..Default::default() };
    let found = scheme.minimize(&quadratic, &[3.0, -2.0], &Silent).unwrap().point;
    assert!((found[0] - 1.652_173_91).abs() < 1e-6 && (found[1] + 1.913_043_48).abs() < 1e-6, "{found:?}");
}

/// One hop is a gradient step on the local entropy: the consensus point of a dense grid, weighted by the Gaussian, against
/// the gradient of −(1/α) ln E exp(−α f), both by the trapezoid rule.
#[test]
fn hopping_descends_the_local_entropy() {
    let f = |x: f64| x * x + 2.5 * (1.0 - (std::f64::consts::TAU * x).cos());
    let (s, alpha) = (0.4, 3.0);
    let count = 160_001;
    let grid: Vec<f64> = (0..count).map(|i| -8.0 + 16.0 * i as f64 / (count - 1) as f64).collect();
    // The Gaussian goes into the energies: exp(−α (f + |y − x|²/(2 α s²))).
    let energies =
        |x: f64| -> Vec<f64> { grid.iter().map(|y| f(*y) + (y - x).powi(2) / (2.0 * alpha * s * s)).collect() };
    let entropy = |x: f64| {
        let mass: f64 = energies(x).iter().map(|e| (-alpha * e).exp()).sum::<f64>() * 16.0 / (count - 1) as f64;
        -(mass / (s * std::f64::consts::TAU.sqrt())).ln() / alpha
    };
    for (x, hop, value) in
        [(1.7, 0.982_204_75, 2.148_515_26), (0.3, 0.022_168_00, 0.730_188_70), (-2.2, -1.015_870_15, 3.138_799_41)]
    {
        let found = consensus_point(&grid, &energies(x), alpha).unwrap().point[0];
        assert!((found - hop).abs() < 1e-7, "{x}: {found}");
        assert!((entropy(x) - value).abs() < 1e-7, "{x}: {}", entropy(x));
        let h = 1e-4;
        let slope = (entropy(x + h) - entropy(x - h)) / (2.0 * h);
        assert!((found - (x - alpha * s * s * slope)).abs() < 1e-6);
    }
}

/// Particles at `v`, and one at the origin that has all the weight.
fn around_the_origin(v: &[f64], count: usize, method: ConsensusOptimization) -> Vec<Vec<f64>> {
    let mut points = vec![v.to_vec(); count];
    points.push(vec![0.0; v.len()]);
    let method = ConsensusOptimization { particles: count + 1, steps: 1, alpha: 1e12, ..method };
    let start = Start::Points(points);
    method.check(&start).unwrap();
    let bowl = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    let mut cloud = super::cloud::Cloud::begin(&method, &start);
    cloud.look(&method, &bowl, true).unwrap();
    assert_eq!(cloud.consensus, vec![0.0; v.len()]);
    cloud.advance(&method, &bowl);
    cloud.positions.chunks(v.len()).take(count).map(<[f64]>::to_vec).collect()
}

#[test]
fn without_noise_the_cloud_shrinks_by_the_pull() {
    for (lambda, dt) in [(1.0, 0.1), (2.5, 0.3), (4.0, 0.25)] {
        let method = ConsensusOptimization { lambda, dt, sigma: 0.0, ..Default::default() };
        for moved in around_the_origin(&[2.0, -4.0], 3, method) {
            assert!((moved[0] - 2.0 * (1.0 - lambda * dt)).abs() < 1e-15);
            assert!((moved[1] + 4.0 * (1.0 - lambda * dt)).abs() < 1e-15);
        }
    }
}

#[test]
fn the_mean_square_factor_is_as_computed() {
    for noise in [Noise::Isotropic, Noise::Anisotropic] {
        for order in [StepOrder::EulerMaruyama, StepOrder::DriftFirst] {
            let method = ConsensusOptimization { lambda: 1.0, dt: 0.3, sigma: 1.6, noise, order, ..Default::default() };
            let wanted = method.contraction(3);
            let v = [1.0, -2.0, 0.5];
            let moved = around_the_origin(&v, 400_000, method);
            let mean = moved.iter().flatten().map(|x| x * x).sum::<f64>() / moved.len() as f64;
            let found = mean / v.iter().map(|x| x * x).sum::<f64>();
            assert!((found / wanted - 1.0).abs() < 0.01, "{noise:?} {order:?}: {found} {wanted}");
        }
    }
    let figure = ConsensusOptimization { sigma: 1.6, noise: Noise::Isotropic, ..Default::default() };
    assert!((figure.contraction(2) - 1.0313).abs() < 1e-12, "the setting of the paper's figure");
}

#[test]
fn only_isotropic_noise_leaves_the_axis() {
    let method = |noise| ConsensusOptimization { sigma: 1.0, noise, ..Default::default() };
    let off_axis = |noise| around_the_origin(&[1.0, 0.0], 50, method(noise)).iter().filter(|v| v[1] != 0.0).count();
    assert_eq!((off_axis(Noise::Isotropic), off_axis(Noise::Anisotropic)), (50, 0));
}

#[test]
fn equal_particles_stay() {
    for noise in [Noise::Isotropic, Noise::Anisotropic] {
        let method = ConsensusOptimization { noise, tolerance: 0.0, ..small() };
        let found = method.minimize(&quadratic, &normal(&[3.0, 1.0], 0.0), &Silent).unwrap();
        assert_eq!((found.stop, &found.best[..], found.history.len()), (Stop::Converged, &[3.0, 1.0][..], 1));
    }
}

#[test]
fn a_shifted_problem_has_a_shifted_path() {
    let shift = [10.0, -7.0];
    let moved = |x: &[f64]| quadratic(&[x[0] - shift[0], x[1] - shift[1]]);
    for noise in [Noise::Isotropic, Noise::Anisotropic] {
        let method =
            ConsensusOptimization { noise, alpha: 10.0, memory: Some(Memory { lambda: 0.5, sigma: 0.3 }), ..small() };
        let here = method.minimize(&quadratic, &normal(&[3.0, 1.0], 1.0), &Silent).unwrap();
        let there = method.minimize(&moved, &normal(&[13.0, -6.0], 1.0), &Silent).unwrap();
        for (a, b) in here.trajectory.iter().zip(&there.trajectory) {
            assert!((0..2).all(|i| (a[i] + shift[i] - b[i]).abs() < 1e-6), "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_drift_along_the_gradient_alone_is_gradient_descent() {
    struct Exact;
    impl Objective for Exact {
        fn value(&self, x: &[f64]) -> f64 {
            quadratic(x)
        }
        fn gradient(&self, x: &[f64], g: &mut [f64]) -> bool {
            g.copy_from_slice(&[2.0 * x[0] + 0.5 * x[1] - 1.0, 0.5 * x[0] + x[1] + 1.0]);
            true
        }
    }
    let method = ConsensusOptimization {
        particles: 2,
        steps: 30,
        lambda: 0.0,
        sigma: 0.0,
        gradient: 2.0,
        dt: 0.05,
        alpha: 1e12,
        ..Default::default()
    };
    let start = Start::Points(vec![vec![3.0, -2.0], vec![30.0, 30.0]]);
    let found = method.minimize(&Exact, &start, &Silent).unwrap();
    let descent = AnnealedLangevin { learning_rate: 2.0, dt: 0.05, steps: 30, ..Default::default() };
    let wanted = descent.minimize(&Exact, &[3.0, -2.0], &Silent).unwrap();
    assert!((0..2).all(|i| (found.consensus[i] - wanted.point[i]).abs() < 1e-12));
    assert_eq!((wanted.evaluations, wanted.gradients), (1, 30));
    // By differences nearly the same, and each costs values of the function.
    let numeric = method.minimize(&quadratic, &start, &Silent).unwrap();
    assert!((0..2).all(|i| (numeric.consensus[i] - wanted.point[i]).abs() < 1e-6));
    assert_eq!(numeric.evaluations, 31 * 3 + 30 * 2 * 4);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let f = TestFunction::named("rastrigin").unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let method = ConsensusOptimization { particles: 150, steps: 40, ..small() };
        let hop = ConsensusHopping { steps: 20, ..Default::default() };
        pool.install(|| {
            let consensus = method.minimize(f, &normal(&[2.0; 5], 1.0), &Silent).unwrap();
            (consensus.consensus, hop.minimize(f, &[2.0; 5], &Silent).unwrap().consensus)
        })
    };
    let alone = run(1);
    assert_eq!(alone, run(3));
    assert_eq!(alone, run(1));
}

#[test]
fn bounds_hold_and_the_best_point_at_the_edge_is_found() {
    let bounds = Bounds::new(vec![1.0, -1.0], vec![4.0, 1.0]).unwrap();
    let seen = Mutex::new(Vec::new());
    let f = |x: &[f64]| {
        seen.lock().unwrap().push(x.to_vec());
        quadratic(x)
    };
    let method = ConsensusOptimization { bounds: Some(bounds.clone()), steps: 300, sigma: 3.0, ..small() };
    let found = method.minimize(&f, &Start::Uniform(bounds.clone()), &Silent).unwrap();
    for x in seen.lock().unwrap().iter() {
        assert!((1.0..=4.0 + 1e-12).contains(&(x[0] + 1e-12)) && x[1].abs() <= 1.0 + 1e-12, "{x:?}");
    }
    // On x₀ = 1 the function is least at x₁ = −1.5, outside.
    assert!((found.best[0] - 1.0).abs() < 1e-3 && (found.best[1] + 1.0).abs() < 1e-3, "{:?}", found.best);
    let hop = ConsensusHopping { bounds: Some(bounds), ..Default::default() };
    let found = hop.minimize(&quadratic, &[3.0, 0.5], &Silent).unwrap();
    assert!((found.best[0] - 1.0).abs() < 0.05 && (found.best[1] + 1.0).abs() < 0.05, "{:?}", found.best);
}

#[test]
fn all_variants_find_the_minimum_of_a_bowl() {
    let bowl = |x: &[f64]| x.iter().map(|v| (v - 1.0).powi(2)).sum::<f64>();
    let base = ConsensusOptimization { particles: 60, steps: 500, sigma: 1.0, dt: 0.05, ..Default::default() };
    let memory = Some(Memory { lambda: 0.4, sigma: 0.3 });
    let batch = |update| Some(Batches { size: 20, update });
    for (name, method) in [
        ("isotropic", ConsensusOptimization { noise: Noise::Isotropic, sigma: 0.6, ..base.clone() }),
        ("memory", ConsensusOptimization { memory, ..base.clone() }),
        ("batches, all move", ConsensusOptimization { batches: batch(UpdateWhom::All), ..base.clone() }),
        (
            "batches, they move",
            ConsensusOptimization { batches: batch(UpdateWhom::Batch), steps: 1500, ..base.clone() },
        ),
        (
            "cooled and thinned",
            ConsensusOptimization {
                schedule: Some(Schedule { epoch: 25, cool: true, reduce: true }),
                alpha: 50.0,
                ..base.clone()
            },
        ),
        ("shaken", ConsensusOptimization { shake_below: Some(1e-5), steps: 800, ..base.clone() }),
    ] {
        let found = method.minimize(&bowl, &normal(&[0.0; 3], 1.0), &Silent).unwrap();
        assert!(found.value < 2e-3, "{name}: {} after {}", found.value, found.history.len());
    }
}

#[test]
fn clouds_are_thinned_out_when_they_contract() {
    let method = ConsensusOptimization {
        particles: 100,
        sigma: 0.1,
        dt: 0.1,
        schedule: Some(Schedule { epoch: 10, cool: false, reduce: true }),
        steps: 50,
        tolerance: 0.0,
        ..Default::default()
    };
    let counted = std::sync::atomic::AtomicU64::new(0);
    let f = |x: &[f64]| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        quadratic(x)
    };
    let found = method.minimize(&f, &normal(&[0.0; 2], 1.0), &Silent).unwrap();
    assert_eq!(found.evaluations, counted.into_inner(), "every evaluation is counted");
    assert!(found.evaluations < 51 * 101 * 8 / 10, "{}", found.evaluations);
}

#[test]
fn stopping_rules() {
    let start = normal(&[2.0, 2.0], 1.0);
    let target = ConsensusOptimization { target: Some(0.5), ..small() }.minimize(&quadratic, &start, &Silent).unwrap();
    assert!(target.stop == Stop::Target && target.value <= 0.5 && target.history.len() < 61);
    let spent =
        ConsensusOptimization { evaluations: Some(500), ..small() }.minimize(&quadratic, &start, &Silent).unwrap();
    assert_eq!((spent.stop, spent.evaluations), (Stop::Evaluations, 12 * 41));
    let all = small().minimize(&quadratic, &start, &Silent).unwrap();
    assert_eq!((all.stop, all.history.len(), all.trajectory.len(), all.evaluations), (Stop::Steps, 61, 61, 61 * 41));
    let still = ConsensusOptimization { sigma: 0.0, steps: 5000, tolerance: 1e-6, ..small() };
    assert_eq!(still.minimize(&quadratic, &start, &Silent).unwrap().stop, Stop::Converged);
    let stopped = small().minimize(&quadratic, &start, &Recorder::stopping_after(3));
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert!(matches!(
        ConsensusHopping::default().minimize(&quadratic, &[0.0, 0.0], &Recorder::stopping_after(1)),
        Err(Error::Stopped)
    ));
}

#[test]
fn bad_settings_and_starts_are_refused_by_name() {
    let fault = |method: ConsensusOptimization, start: Start| {
        method.minimize(&quadratic, &start, &Silent).unwrap_err().to_string()
    };
    let good = || normal(&[0.0, 0.0], 1.0);
    for (method, wanted) in [
        (ConsensusOptimization { particles: 1, ..small() }, "particles = 1, wanted at least 2"),
        (ConsensusOptimization { alpha: 0.0, ..small() }, "alpha = 0, wanted a finite number above 0"),
        (ConsensusOptimization { dt: f64::NAN, ..small() }, "dt = NaN, wanted a finite number above 0"),
        (ConsensusOptimization { sigma: -1.0, ..small() }, "sigma = -1, wanted a finite number, at least 0"),
        (ConsensusOptimization { lambda: -1.0, ..small() }, "lambda = -1, wanted a finite number, at least 0"),
        (
            ConsensusOptimization { batches: Some(Batches { size: 50, update: UpdateWhom::All }), ..small() },
            "batches.size = 50, wanted from 2 to 40",
        ),
        (
            ConsensusOptimization { evaluations: Some(40), ..small() },
            "evaluations = 40, wanted at least 41, those of one step",
        ),
    ] {
        assert_eq!(fault(method, good()), wanted);
    }
    assert_eq!(fault(small(), normal(&[], 1.0)), "start: the shape is [0], wanted [d] with at least one variable");
    assert_eq!(fault(small(), normal(&[0.0], -1.0)), "deviation = -1, wanted a finite number, at least 0");
    assert_eq!(fault(small(), normal(&[f64::NAN], 1.0)), "start: NaN at entry 0, wanted finite values");
    assert!(fault(small(), Start::Points(vec![vec![0.0]])).starts_with("start: the shape is [1, 1], wanted [40, d]"));
    let bounds = Some(Bounds::uniform(3, 0.0, 1.0).unwrap());
    assert!(
        fault(ConsensusOptimization { bounds, ..small() }, good()).starts_with("bounds: the shape is [3], wanted [2]")
    );
}

#[test]
fn values_that_are_not_finite_are_located_or_worked_around() {
    // NaN left of 0, where some of the particles start.
    let f = |x: &[f64]| if x[0] < 0.0 { f64::NAN } else { quadratic(x) };
    let start = normal(&[0.5, 0.0], 1.0);
    let message = small().minimize(&f, &start, &Silent).unwrap_err().to_string();
    assert!(message.starts_with("objective: NaN at particle ") && message.contains(" in step 0, x = [-"), "{message}");
    let around = ConsensusOptimization { not_finite: NotFinite::AsInfinity, steps: 400, ..small() };
    assert!(around.minimize(&f, &start, &Silent).unwrap().value < -1.09);
    let nowhere = small().minimize(&|_: &[f64]| f64::INFINITY, &start, &Silent).unwrap_err().to_string();
    assert_eq!(nowhere, "objective: infinite at each of the 40 particles of step 0");
    let bottomless = small().minimize(&|_: &[f64]| f64::NEG_INFINITY, &start, &Silent).unwrap_err().to_string();
    assert!(bottomless.starts_with("objective: -inf at particle 0"), "{bottomless}");
    let wild = ConsensusOptimization { sigma: 1e200, steps: 10, ..small() };
    assert!(matches!(wild.minimize(&quadratic, &start, &Silent), Err(Error::NotFinite { .. } | Error::Data { .. })));
}

#[test]
fn warnings_tell_of_overshooting_and_of_lone_leaders() {
    let method = ConsensusOptimization { lambda: 50.0, dt: 0.05, sigma: 0.5, alpha: 1e9, ..small() };
    let found = method.minimize(&quadratic, &normal(&[0.0, 0.0], 1.0), &Silent).unwrap();
    assert!(found.warnings[0].starts_with("lambda · dt = 2.5 is above 2"), "{:?}", found.warnings);
    assert!(found.warnings[1].starts_with("the effective sample size was 1.0 in step 9"), "{:?}", found.warnings);
}

struct Bowl;
impl CostFunction for Bowl {
    type Param = Vec<f64>;
    type Output = f64;
    fn cost(&self, x: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        match x[0] < 40.0 {
            true => Ok(quadratic(x)),
            false => Err(argmin::core::Error::msg("the machine is off")),
        }
    }
}

/// Keeps the last checkpoint as JSON, as a file would.
#[derive(Clone, Default)]
struct Kept(std::sync::Arc<Mutex<Option<String>>>);

impl Checkpoint<ConsensusSolver, PopulationState<Vec<f64>, f64>> for Kept {
    fn save(
        &self,
        solver: &ConsensusSolver,
        state: &PopulationState<Vec<f64>, f64>,
    ) -> Result<(), argmin::core::Error> {
        // JSON has no infinity, which an executor's target is by default.
        let state = state.clone().target_cost(-1e300);
        *self.0.lock().unwrap() = Some(serde_json::to_string(&(solver, state))?);
        Ok(())
    }
    fn load(&self) -> Result<Option<(ConsensusSolver, PopulationState<Vec<f64>, f64>)>, argmin::core::Error> {
        Ok(self.0.lock().unwrap().as_deref().map(serde_json::from_str).transpose()?)
    }
    fn frequency(&self) -> CheckpointingFrequency {
        CheckpointingFrequency::Every(10)
    }
}

#[test]
fn argmin_runs_the_same_steps_and_counts_them() {
    let start = normal(&[2.0, 2.0], 1.0);
    let alone = small().minimize(&quadratic, &start, &Silent).unwrap();
    let solver = ConsensusSolver::new(small(), start.clone()).unwrap();
    let result = Executor::new(Bowl, solver).configure(|state| state.max_iters(60).counting(true)).run().unwrap();
    let state = result.state();
    assert_eq!(state.get_param(), Some(&alone.consensus));
    assert_eq!(state.get_cost(), alone.consensus_value);
    assert_eq!((state.get_best_param(), state.get_best_cost()), (Some(&alone.best), alone.value));
    assert_eq!(state.get_func_counts()["cost_count"], alone.evaluations);
    assert_eq!(state.get_population().map(Vec::len), Some(40));
}

#[test]
fn argmin_goes_on_from_a_checkpoint_to_the_same_bits() {
    let start = normal(&[2.0, 2.0], 1.0);
    let run = |iterations, kept: Option<Kept>| {
        let solver = ConsensusSolver::new(small(), start.clone()).unwrap();
        let executor = Executor::new(Bowl, solver).configure(|state| state.max_iters(iterations));
        let executor = match kept {
            Some(kept) => executor.checkpointing(kept),
            None => executor,
        };
        executor.run().unwrap().state().clone()
    };
    let kept = Kept::default();
    run(30, Some(kept.clone()));
    // The checkpoint's limit is that of the run that wrote it.
    let text = kept.0.lock().unwrap().take().unwrap();
    *kept.0.lock().unwrap() = Some(text.replace("\"max_iters\":30", "\"max_iters\":50"));
    let resumed = run(50, Some(kept));
    let straight = run(50, None);
    assert_eq!(resumed.get_param(), straight.get_param());
    assert_eq!(resumed.get_best_cost(), straight.get_best_cost());
}

#[test]
fn argmin_reports_the_users_own_error() {
    let solver = ConsensusSolver::new(small(), normal(&[50.0, 0.0], 1.0)).unwrap();
    let fault = Executor::new(Bowl, solver).run().err().unwrap().to_string();
    assert_eq!(fault, "the machine is off");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever the settings: an error or a finite best value, never a panic, and the best of the history never rises.
    #[test]
    fn never_a_panic(
        particles in 0_usize..30, d in 0_usize..4, alpha in -1.0..1e6_f64, lambda in 0.0..50_f64, sigma in 0.0..40_f64,
        dt in 0.001..2_f64, isotropic: bool, drift_first: bool, memory: bool, batch in 0_usize..40, seed: u64,
    ) {
        let method = ConsensusOptimization {
            particles, alpha, lambda, sigma, dt, steps: 30,
            noise: if isotropic { Noise::Isotropic } else { Noise::Anisotropic },
            order: if drift_first { StepOrder::DriftFirst } else { StepOrder::EulerMaruyama },
            memory: memory.then(Memory::default),
            batches: (batch > 0).then_some(Batches { size: batch, update: UpdateWhom::Batch }),
            schedule: Some(Schedule { epoch: 7, cool: true, reduce: true }),
            seed: Seed(seed),
            ..Default::default()
        };
        let f = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>();
        if let Ok(found) = method.minimize(&f, &normal(&vec![1.0; d], 1.0), &Silent) {
            prop_assert!(found.value.is_finite() && found.best.len() == d);
            prop_assert!(found.history.windows(2).all(|w| w[1].best <= w[0].best));
        }
    }
}
