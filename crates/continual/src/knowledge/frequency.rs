//! Replay of the classes that come rarely.

use consilience_core::{Error, Result, Seed};
use consilience_nn::Batch;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification};
use crate::memory::Memory;
use crate::model::Model;
use crate::network::Featured;

/// Which classes are replayed with a task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayChoice {
    /// Classes of more than `low` and at most `high` occurrences a task, the rarest first, that have come at least `least` times.
    Frequency {
        /// Default in the paper's code: 0.01.
        low: f64,
        /// Default in the paper's code: 0.1.
        high: f64,
        /// Default in the paper's code: 3.
        least: usize,
    },
    /// As many classes as successes in k trials of probability `budget`, at random.
    Random {
        /// In [0, 1].
        budget: f64,
    },
}

/// Mixes stored samples of earlier classes into a task: up to k classes with it, chosen by frequency or at random.
///
/// Of each class up to `per_class` samples are stored; each time that it comes, `max(per_class / (occurrences + 1), 10)` of them
/// are replaced. A class that is replayed counts as having occurred.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrequencyReplay {
    /// Default: by frequency, 0.01 to 0.1, from 3 occurrences on.
    pub choice: ReplayChoice,
    /// k. Default: 2.
    pub classes: usize,
    /// Default: 200.
    pub per_class: usize,
    /// Default: masked by group.
    pub loss: ClassLoss,
    /// Draws what is stored and, at random, replayed. Default: 0.
    pub seed: Seed,
    /// What it keeps; starts empty.
    pub state: FrequencyReplayState,
}

/// What [`FrequencyReplay`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrequencyReplayState {
    occurrences: Vec<usize>,
    tasks: usize,
    stored: Vec<Option<Memory>>,
    replayed: Option<Memory>,
    chosen: Vec<u32>,
}

impl Default for FrequencyReplay {
    fn default() -> Self {
        Self {
            choice: ReplayChoice::Frequency { low: 0.01, high: 0.1, least: 3 },
            classes: 2,
            per_class: 200,
            loss: ClassLoss::Grouped,
            seed: Seed(0),
            state: FrequencyReplayState::default(),
        }
    }
}

impl FrequencyReplay {
    /// How often each class has come so far, replays included.
    pub fn occurrences(&self) -> &[usize] {
        &self.state.occurrences
    }

    /// The classes to replay with a task of the classes `current`.
    fn choose(&self, current: &[u32]) -> Vec<u32> {
        let earlier = |class: &u32| {
            let stored = self.state.stored.get(*class as usize).and_then(Option::as_ref).is_some_and(|m| !m.is_empty());
            stored && !current.contains(class)
        };
        let occurred = |class: u32| self.state.occurrences.get(class as usize).copied().unwrap_or(0);
        let classes = 0..self.state.occurrences.len() as u32;
        match self.choice {
            ReplayChoice::Frequency { low, high, least } => {
                let mut order: Vec<u32> = classes.filter(earlier).collect();
                order.sort_by_key(|class| occurred(*class));
                let frequency = |class: u32| occurred(class) as f64 / self.state.tasks.max(1) as f64;
                let rare = order.into_iter().filter(|class| occurred(*class) >= least);
                let rare = rare.take_while(|class| frequency(*class) <= high).filter(|class| frequency(*class) > low);
                rare.take(self.classes).collect()
            }
            ReplayChoice::Random { budget } => {
                let mut rng = self.seed.derive("choice").nth(self.state.tasks as u64).rng();
                let count = (0..self.classes).filter(|_| rng.random::<f64>() < budget).count();
                let mut order: Vec<u32> = classes.filter(earlier).collect();
                order.shuffle(&mut rng);
                order.truncate(count);
                order.sort_unstable();
                order
            }
        }
    }

    fn store(&mut self, class: u32, samples: &[f32], width: usize) -> Result<()> {
        let index = class as usize;
        if self.state.stored.len() <= index {
            self.state.stored.resize(index + 1, None);
        }
        let occurrences = self.state.occurrences.get(index).copied().unwrap_or(0);
        let seed = self.seed.derive("stored").nth(u64::from(class));
        let Some(slot) = self.state.stored.get_mut(index) else { return Ok(()) };
        let memory = match slot {
            Some(memory) => memory,
            None => slot.insert(Memory::reservoir(width, self.per_class, seed)?),
        };
        let rows: Vec<&[f32]> = samples.chunks_exact(width.max(1)).collect();
        let mut rng = seed.nth(occurrences as u64).rng();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.shuffle(&mut rng);
        let replaced = (self.per_class / (occurrences + 1)).max(10).min(memory.len()).min(rows.len());
        let mut places: Vec<usize> = (0..memory.len()).collect();
        places.shuffle(&mut rng);
        places.truncate(replaced);
        memory.retain(|place, _| !places.contains(&place));
        for row in order.into_iter().filter_map(|i| rows.get(i)).take(self.per_class - memory.len()) {
            memory.push(row, class)?;
        }
        Ok(())
    }
}

impl<M: Featured> Strategy<M> for FrequencyReplay
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match self.choice {
            ReplayChoice::Frequency { .. } => "frequency replay".into(),
            ReplayChoice::Random { .. } => "random replay".into(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.per_class == 0 || self.classes == 0 {
            let name = if self.per_class == 0 { "per_class" } else { "classes" };
            return Err(Error::parameter(name, 0, "at least 1"));
        }
        match self.choice {
            ReplayChoice::Frequency { low, high, .. } if !(low >= 0.0 && low < high) => {
                Err(Error::parameter("low", low, format!("at least 0 and below high = {high}")))
            }
            ReplayChoice::Random { budget } if !(0.0..=1.0).contains(&budget) => {
                Err(Error::parameter("budget", budget, "a number in [0, 1]"))
            }
            _ => Ok(()),
        }
    }

    fn begin_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        self.state.occurrences.resize(task.place.outputs.max(self.state.occurrences.len()), 0);
        self.state.chosen = self.choose(&task.place.classes);
        let width: usize = task.shape().iter().product();
        let capacity = (self.per_class * self.state.chosen.len()).max(1);
        let mut replayed = Memory::reservoir(width, capacity, self.seed)?;
        for class in &self.state.chosen {
            if let Some(memory) = self.state.stored.get(*class as usize).and_then(Option::as_ref) {
                for (row, label) in memory.values().chunks_exact(width.max(1)).zip(memory.labels()) {
                    replayed.push(row, *label)?;
                }
            }
        }
        self.state.replayed = Some(replayed);
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        Ok(Objective::of(classification(self.loss, logits, batch.labels, batch.place, model.device())))
    }

    fn end_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let width: usize = task.shape().iter().product();
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        for class in &task.place.classes {
            let rows = values.chunks_exact(width.max(1)).zip(&labels).filter(|(_, label)| *label == class);
            let samples: Vec<f32> = rows.flat_map(|(row, _)| row.iter().copied()).collect();
            self.store(*class, &samples, width)?;
        }
        for class in task.place.classes.iter().chain(&self.state.chosen) {
            if let Some(count) = self.state.occurrences.get_mut(*class as usize) {
                *count += 1;
            }
        }
        self.state.tasks += 1;
        Ok(())
    }

    fn rehearsed(&self) -> Option<&Memory> {
        self.state.replayed.as_ref()
    }

    fn bytes(&self) -> usize {
        self.state.stored.iter().flatten().map(Memory::bytes).sum()
    }

    fn check_restored(&self, _parameters: usize) -> Result<()> {
        self.state.stored.iter().flatten().chain(&self.state.replayed).try_for_each(Memory::check_stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(occurrences: &[usize], tasks: usize) -> FrequencyReplay {
        let stored = occurrences.iter().enumerate().map(|(class, count)| {
            let mut memory = Memory::reservoir(1, 4, Seed(0)).unwrap();
            (*count > 0).then(|| memory.push(&[0.0], class as u32).unwrap());
            Some(memory)
        });
        let stored = stored.collect();
        let state = FrequencyReplayState { occurrences: occurrences.to_vec(), tasks, stored, ..Default::default() };
        FrequencyReplay { state, ..FrequencyReplay::default() }
    }

    #[test]
    fn rare_classes_are_replayed_and_no_others() {
        // Frequencies 0.02, 0.05, 0.2, 0.1, 0.03 of 100 tasks; the first has come twice only.
        let replay = after(&[2, 5, 20, 10, 3], 100);
        assert_eq!(replay.choose(&[]), [4, 1], "the rarest first, two at most");
        assert_eq!(replay.choose(&[4]), [1, 3], "not those of the task itself");
        assert_eq!(after(&[20, 20], 100).choose(&[]), [] as [u32; 0]);
        assert_eq!(after(&[2, 2], 100).choose(&[]), [] as [u32; 0]);
    }

    #[test]
    fn each_occurrence_renews_a_part_of_the_store() {
        let mut replay = FrequencyReplay::default();
        replay.state.occurrences = vec![0];
        let mut store = |first: usize, occurrences: usize| {
            let samples: Vec<f32> = (first..first + 300).map(|v| v as f32).collect();
            replay.state.occurrences[0] = occurrences;
            replay.store(0, &samples, 1).unwrap();
            replay.state.stored[0].clone().unwrap()
        };
        assert_eq!(store(0, 0).len(), 200);
        let renewed = store(1000, 1);
        assert_eq!((renewed.len(), renewed.values().iter().filter(|v| **v >= 1000.0).count()), (200, 100));
        let renewed = store(2000, 99);
        assert_eq!((renewed.len(), renewed.values().iter().filter(|v| **v >= 2000.0).count()), (200, 10));
    }

    #[test]
    fn thresholds_out_of_order_are_refused() {
        use crate::FeatureNetwork;
        use consilience_nn::backbones::Mlp;
        let bad = FrequencyReplay {
            choice: ReplayChoice::Frequency { low: 0.2, high: 0.1, least: 3 },
            ..FrequencyReplay::default()
        };
        let error = Strategy::<FeatureNetwork<Mlp>>::check(&bad).unwrap_err().to_string();
        assert_eq!(error, "low = 0.2, wanted at least 0 and below high = 0.1");
    }
}
