//! Keeping what a learned merge has come to, so that a later run goes on from there.

use consilience_core::{Error, Result};

use super::adam::Moments;

/// What a phase of a learned merge has come to after a number of steps: enough to go on to the same bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The steps that are done.
    pub steps: u64,
    /// What is learned: the logits of a mask, or merging weights.
    pub values: Vec<f32>,
    /// Adam's mean gradients.
    pub first: Vec<f32>,
    /// Adam's mean squared gradients.
    pub second: Vec<f32>,
    /// The objective at every step.
    pub losses: Vec<f32>,
    /// The mean of the mask at every step; empty where no mask is learned.
    pub mean_masks: Vec<f32>,
}

/// The phase in which a mask is learned.
pub const MASK: &str = "mask";
/// The phase in which merging weights are learned.
pub const WEIGHTS: &str = "weights";

/// Keeps the states of phases, and gives them back to a later run.
pub trait Keeper {
    /// The state that was kept of a phase.
    fn kept(&self, phase: &str) -> Result<Option<State>>;

    /// Called after every step of a phase, and with `ending` when the phase is through or asked to stop. `state` makes the
    /// state, for those calls that keep it.
    fn keep(&self, phase: &str, ending: bool, state: &dyn Fn() -> State) -> Result<()>;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Keeper for Forgetful {
    fn kept(&self, _phase: &str) -> Result<Option<State>> {
        Ok(None)
    }

    fn keep(&self, _phase: &str, _ending: bool, _state: &dyn Fn() -> State) -> Result<()> {
        Ok(())
    }
}

/// A phase under way.
pub(crate) struct Run {
    pub moments: Moments,
    pub losses: Vec<f32>,
    pub mean_masks: Vec<f32>,
}

impl Run {
    /// A phase of `steps` steps on `values`: from the beginning, or from what was kept, which then replaces the values.
    ///
    /// Fails with [`Error::Data`] where what was kept does not fit.
    pub fn begin(keeper: &dyn Keeper, phase: &str, steps: usize, values: &mut [f32]) -> Result<Self> {
        let Some(kept) = keeper.kept(phase)? else {
            let room = || Vec::with_capacity(steps);
            return Ok(Self { moments: Moments::zeros(values.len()), losses: room(), mean_masks: room() });
        };
        let sizes = [kept.values.len(), kept.first.len(), kept.second.len()];
        let done = usize::try_from(kept.steps).ok().filter(|done| *done <= steps && kept.losses.len() == *done);
        if sizes != [values.len(); 3] || done.is_none() {
            let problem = format!("the state of the phase `{phase}` is of another merge");
            return Err(Error::data("kept state", problem));
        }
        values.copy_from_slice(&kept.values);
        let moments = Moments::after(kept.first, kept.second, kept.steps);
        Ok(Self { moments, losses: kept.losses, mean_masks: kept.mean_masks })
    }

    /// The steps that are done.
    pub fn done(&self) -> usize {
        self.losses.len()
    }

    /// Hands the state after a step to `keeper`.
    pub fn keep(&self, keeper: &dyn Keeper, phase: &str, ending: bool, values: &[f32]) -> Result<()> {
        keeper.keep(phase, ending, &|| State {
            steps: self.losses.len() as u64,
            values: values.to_vec(),
            first: self.moments.first.clone(),
            second: self.moments.second.clone(),
            losses: self.losses.clone(),
            mean_masks: self.mean_masks.clone(),
        })
    }
}
