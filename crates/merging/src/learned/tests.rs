//! What holds for the learned merges together, on an objective whose gradient is plain to see.

use std::sync::Arc;

use consilience_core::testing::Recorder;
use consilience_core::{Error, Result, Silent};
use consilience_nn::Parameters;

use super::*;
use crate::library::testing::{pool, vector};
use crate::library::{Merge, Pool, TaskArithmetic, TiesMerging};

/// Half the squared distance from a point.
struct Distance(Parameters);

impl Objective for Distance {
    fn value_and_gradient(&self, theta: &Parameters, _step: u64, _part: Part) -> Result<(f32, Parameters)> {
        let gradient = theta.difference(&self.0)?;
        Ok((0.5 * gradient.dot(&gradient)? as f32, gradient))
    }
}

/// Zero everywhere, so that nothing is learned.
struct Flat;

impl Objective for Flat {
    fn value_and_gradient(&self, theta: &Parameters, _step: u64, _part: Part) -> Result<(f32, Parameters)> {
        Ok((0.0, Parameters::zeros(Arc::clone(theta.layout()))))
    }
}

fn example() -> Pool {
    pool(&[1.0, 0.0, -1.0, 0.5], &[&[2.0, -1.0, -1.0, 0.7], &[1.0, 1.0, 1.0, 0.1]])
}

fn close(a: &Parameters, b: &Parameters, tolerance: f32) {
    assert_eq!(a.values().len(), b.values().len());
    for (a, b) in a.values().iter().zip(b.values()) {
        assert!((a - b).abs() <= tolerance, "{a} {b}");
    }
}

#[test]
fn ada_merging_finds_the_weights_of_a_reachable_target() {
    let pool = example();
    let mut target = pool.base().clone();
    for (vector, weight) in pool.task_vectors().unwrap().iter().zip([0.8, 0.1]) {
        target.add_scaled(vector, weight).unwrap();
    }
    let ada = AdaMerging { granularity: Granularity::TaskWise, adam: Adam::with_rate(0.01), ..Default::default() };
    let merged = ada.merge(&pool, &Distance(target.clone()), &Silent).unwrap();
    assert!((merged.weights.get(0, 0).unwrap() - 0.8).abs() < 2e-3, "{:?}", merged.weights);
    assert!((merged.weights.get(1, 0).unwrap() - 0.1).abs() < 2e-3, "{:?}", merged.weights);
    close(&merged.parameters, &target, 1e-2);
    assert!(merged.losses.len() == 1000 && merged.losses[999] < 1e-4 && merged.losses[0] > 0.1);
}

#[test]
fn clamped_weights_stay_in_the_unit_interval_and_free_ones_need_not() {
    let pool = pool(&[0.0], &[&[1.0]]);
    let far = Distance(vector(&[3.0]));
    let ada = AdaMerging { adam: Adam::with_rate(0.02), ..Default::default() };
    let clamped = ada.merge(&pool, &far, &Silent).unwrap();
    assert_eq!((clamped.weights.values(), clamped.parameters.values()), (&[1.0][..], &[1.0][..]));
    let free = AdaMerging { clamp: false, ..ada }.merge(&pool, &far, &Silent).unwrap();
    assert!((free.weights.values()[0] - 3.0).abs() < 0.05, "{:?}", free.weights);
}

#[test]
fn no_steps_are_task_arithmetic() {
    let pool = example();
    let arithmetic = TaskArithmetic::default().merge(&pool).unwrap();
    let ada = AdaMerging { steps: 0, ..Default::default() }.merge(&pool, &Flat, &Silent).unwrap();
    close(&ada.parameters, &arithmetic, 1e-6);
    let ties = TiesMerging { density: 0.5, ..Default::default() };
    let selected = AdaMerging { steps: 0, ..Default::default() }.merge_selected(&pool, &ties, &Flat, &Silent).unwrap();
    close(&selected.parameters, &ties.merge(&pool).unwrap(), 1e-6);
    // Logits of 60 are a mask of ones.
    let concrete = ConcreteTaskArithmetic { steps: 0, initial: 60.0, ..Default::default() };
    close(&concrete.merge(&pool, &Flat, &Silent).unwrap().parameters, &arithmetic, 1e-6);
    let concrete = ConcreteAdaMerging {
        meta_steps: 0,
        initial_logit: 60.0,
        adaptation: AdaMerging { steps: 0, ..Default::default() },
        ..Default::default()
    };
    close(&concrete.merge(&pool, &Flat, &Silent).unwrap().parameters, &arithmetic, 1e-6);
}

#[test]
fn a_flat_objective_leaves_a_constant_mask() {
    let pool = example();
    let concrete = ConcreteTaskArithmetic { steps: 20, choice: MaskChoice::Deterministic, ..Default::default() };
    let merged = concrete.merge(&pool, &Flat, &Silent).unwrap();
    assert!(merged.logits.values().iter().all(|x| *x == 0.0));
    close(&merged.parameters, &TaskArithmetic::default().merge(&pool).unwrap(), 1e-6);
    assert_eq!((merged.losses.len(), merged.mean_masks.len()), (20, 20));
}

#[test]
fn one_expert_at_weight_one_is_itself() {
    let expert = [0.3, -7.1, 2.0];
    let pool = pool(&[1.0, 2.0, 3.0], &[&expert]);
    let concrete =
        ConcreteTaskArithmetic { lambda: 1.0, steps: 3, choice: MaskChoice::Deterministic, ..Default::default() };
    close(&concrete.merge(&pool, &Flat, &Silent).unwrap().parameters, &vector(&expert), 1e-6);
}

/// A mask that keeps the first half of the entries, at twice their size, is nearer to the target than any weight.
fn half_wanted() -> (Pool, Distance) {
    let pool = pool(&[0.0; 8], &[&[1.0; 8], &[0.5; 8]]);
    let mut target = vec![0.9; 8];
    target[4..].fill(0.0);
    (pool, Distance(vector(&target)))
}

#[test]
fn the_concrete_mask_learns_which_entries_to_keep() {
    let (pool, objective) = half_wanted();
    let concrete = ConcreteTaskArithmetic {
        adam: Adam::with_rate(0.05),
        steps: 400,
        choice: MaskChoice::Binary,
        ..Default::default()
    };
    let merged = concrete.merge(&pool, &objective, &Silent).unwrap();
    let (kept, dropped) = merged.logits.values().split_at(4);
    assert!(kept.iter().all(|x| *x > 1.0) && dropped.iter().all(|x| *x < -1.0), "{:?}", merged.logits.values());
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    assert!(mean(&merged.losses[350..]) < 0.5 * mean(&merged.losses[..50]));
}

#[test]
fn concrete_ada_merging_learns_mask_and_weights() {
    let (pool, objective) = half_wanted();
    for granularity in [Granularity::TaskWise, Granularity::LayerWise] {
        let concrete = ConcreteAdaMerging {
            outer: Adam::with_rate(0.05),
            // With rate 1, the weights of this tiny problem would jump between 0 and 1.
            inner: Adam::with_rate(0.1),
            meta_steps: 400,
            choice: MaskChoice::Deterministic,
            adaptation: AdaMerging { granularity, adam: Adam::with_rate(0.01), steps: 300, ..Default::default() },
            ..Default::default()
        };
        let merged = concrete.merge(&pool, &objective, &Silent).unwrap();
        let (kept, dropped) = merged.logits.values().split_at(4);
        assert!(kept.iter().all(|x| *x > 1.0) && dropped.iter().all(|x| *x < -1.0), "{:?}", merged.logits.values());
        assert!(merged.losses[299] < merged.losses[0] && merged.losses[299] < 0.1, "{:?}", merged.losses[299]);
        assert_eq!((merged.meta_losses.len(), merged.mean_masks.len()), (400, 400));
        assert_eq!(merged, concrete.merge(&pool, &objective, &Silent).unwrap(), "the same seed gives the same result");
    }
}

#[test]
fn the_order_of_the_experts_does_not_matter() {
    let pool = example();
    let turned = Pool::new(pool.base().clone(), pool.experts().iter().rev().cloned().collect()).unwrap();
    let objective = Distance(vector(&[1.5, 0.5, 0.0, 0.0]));
    let merged = |pool: &Pool| {
        let ta = ConcreteTaskArithmetic { steps: 50, ..Default::default() }.merge(pool, &objective, &Silent).unwrap();
        let adaptation = AdaMerging { steps: 50, ..Default::default() };
        let am = ConcreteAdaMerging { meta_steps: 50, adaptation, ..Default::default() };
        (ta.parameters, am.merge(pool, &objective, &Silent).unwrap().parameters)
    };
    let ((ta, am), (turned_ta, turned_am)) = (merged(&pool), merged(&turned));
    close(&ta, &turned_ta, 1e-4);
    close(&am, &turned_am, 1e-4);
}

#[test]
fn bad_settings_pools_and_stops_are_refused() {
    let pool = example();
    let parameter = |fault: Error| matches!(fault, Error::Parameter { .. });
    let ta = ConcreteTaskArithmetic::default();
    let refused = |ta: ConcreteTaskArithmetic| ta.merge(&pool, &Flat, &Silent).unwrap_err();
    assert!(parameter(refused(ConcreteTaskArithmetic { temperature: 0.0, ..ta })));
    assert!(parameter(refused(ConcreteTaskArithmetic { lambda: f64::NAN, ..ta })));
    assert!(parameter(refused(ConcreteTaskArithmetic { adam: Adam::with_rate(-1.0), ..ta })));
    let refused = |am: ConcreteAdaMerging| am.merge(&pool, &Flat, &Silent).unwrap_err();
    let am = ConcreteAdaMerging::default();
    assert!(parameter(refused(ConcreteAdaMerging { temperature: -1.0, ..am })));
    assert!(parameter(refused(ConcreteAdaMerging { inner: Adam::with_rate(f64::NAN), ..am })));
    let ada = AdaMerging { initial: f64::INFINITY, ..Default::default() };
    assert!(parameter(refused(ConcreteAdaMerging { adaptation: ada, ..am })));

    let unmoved = crate::library::testing::pool(&[1.0, 2.0], &[&[1.0, 2.0]]);
    assert!(matches!(ta.merge(&unmoved, &Flat, &Silent), Err(Error::Data { .. })));
    assert!(matches!(am.merge(&unmoved, &Flat, &Silent), Err(Error::Data { .. })));
    assert!(matches!(AdaMerging::default().merge(&unmoved, &Flat, &Silent), Err(Error::Data { .. })));

    assert!(matches!(ta.merge(&pool, &Flat, &Recorder::stopping_after(0)), Err(Error::Stopped)));
    assert!(matches!(am.merge(&pool, &Flat, &Recorder::stopping_after(0)), Err(Error::Stopped)));
    assert!(matches!(AdaMerging::default().merge(&pool, &Flat, &Recorder::stopping_after(0)), Err(Error::Stopped)));
}

/// Keeps everything in memory.
#[derive(Default)]
struct Memory(std::cell::RefCell<std::collections::BTreeMap<String, State>>);

impl Keeper for Memory {
    fn kept(&self, phase: &str) -> Result<Option<State>> {
        Ok(self.0.borrow().get(phase).cloned())
    }

    fn keep(&self, phase: &str, ending: bool, state: &dyn Fn() -> State) -> Result<()> {
        if ending {
            self.0.borrow_mut().insert(phase.to_owned(), state());
        }
        Ok(())
    }
}

/// A bowl whose bottom moves with the step.
struct Bowl;

impl Objective for Bowl {
    fn value_and_gradient(&self, theta: &Parameters, step: u64, _part: Part) -> Result<(f32, Parameters)> {
        let bottom = (step as f32 * 0.7).sin();
        let mut gradient = theta.clone();
        gradient.values_mut().iter_mut().for_each(|value| *value -= bottom);
        Ok((gradient.values().iter().map(|value| value * value).sum::<f32>() / 2.0, gradient))
    }
}

#[test]
fn a_stopped_merge_goes_on_to_the_same_bits() {
    let pool = example();
    let concrete = ConcreteAdaMerging {
        meta_steps: 6,
        adaptation: AdaMerging { steps: 5, ..Default::default() },
        ..Default::default()
    };
    let whole = concrete.merge(&pool, &Bowl, &Silent).unwrap();
    // Stopped in the first phase, then in the second.
    let memory = Memory::default();
    for patience in [4, 5] {
        let stopping = Recorder::stopping_after(patience);
        assert!(matches!(concrete.merge_kept(&pool, &Bowl, &memory, &stopping), Err(Error::Stopped)));
    }
    assert_eq!(memory.0.borrow()["mask"].steps, 6);
    assert_eq!(memory.0.borrow()["weights"].steps, 3);
    assert_eq!(concrete.merge_kept(&pool, &Bowl, &memory, &Silent).unwrap(), whole);

    let arithmetic = ConcreteTaskArithmetic { steps: 7, ..Default::default() };
    let whole = arithmetic.merge(&pool, &Bowl, &Silent).unwrap();
    let memory = Memory::default();
    let sum = || pool.summed_task_vectors().unwrap();
    let stopping = Recorder::stopping_after(3);
    assert!(arithmetic.merge_sum_kept(pool.base(), sum(), &Bowl, &memory, &stopping).is_err());
    assert_eq!(arithmetic.merge_sum_kept(pool.base(), sum(), &Bowl, &memory, &Silent).unwrap(), whole);
    // A state of another merge.
    let longer = pool_of_five();
    let fault =
        arithmetic.merge_sum_kept(longer.base(), longer.summed_task_vectors().unwrap(), &Bowl, &memory, &Silent);
    assert!(fault.unwrap_err().to_string().contains("of another merge"));
}

fn pool_of_five() -> Pool {
    pool(&[0.0; 5], &[&[1.0; 5], &[2.0; 5]])
}
