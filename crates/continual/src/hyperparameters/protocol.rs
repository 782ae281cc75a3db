//! Tuning on one scenario and evaluation on another, beside the protocol that does both on one.

use std::time::Instant;

use burn::tensor::Device;
use consilience_core::metrics::{Spread, spearman};
use consilience_core::{Error, Progress, Result, Seed, Silent, Split, Unit};
use consilience_nn::Length;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ExemplarMethod, Exemplars, Hyperparameters, Space, kendall, ranks_of};
use crate::learners::{Accumulated, Ewc, Finetune, Lwf};
use crate::stream::{ClassIncremental, Scenario, Stream};
use crate::{GradientLearner, Learner, Model, Protocol, Record, Run, perceptron};

/// A learner that the protocol can tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Algorithm {
    Finetune,
    Joint,
    Ewc,
    Lwf,
    Replay,
    Icarl,
    Wa,
    Bic,
}

impl Algorithm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finetune => "finetune",
            Self::Joint => "joint",
            Self::Ewc => "EWC",
            Self::Lwf => "LwF",
            Self::Replay => "replay",
            Self::Icarl => "iCaRL",
            Self::Wa => "WA",
            Self::Bic => "BiC",
        }
    }
}

/// The two protocols: scenario, budget, search space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocols {
    /// The scenario on both data sets. Default: 5 tasks.
    pub scenario: ClassIncremental,
    /// Exemplars in all, on the tuning and on the evaluation data. Default: 50 each.
    pub memory: [usize; 2],
    /// Hidden layers of the perceptron. Default: one of 100.
    pub hidden: Vec<usize>,
    /// R, trials for each algorithm. Default: 16.
    pub trials: u64,
    /// Seeds that a trial is scored over, from 0 up. Default: 2.
    pub tuning_seeds: u64,
    /// Seeds of the evaluation, from 1000 up, so none that was tuned on. Default: 4.
    pub fresh_seeds: u64,
    /// Score trials on this share of the training samples, held out; 0 scores them on the test samples, as the published code
    /// does. Default: 0.1.
    pub validation: f64,
    /// Default: [`Space::small`].
    pub space: Space,
    /// Let the two data sets have samples in common. Default: no.
    pub allow_overlap: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self {
            scenario: ClassIncremental::default(),
            memory: [50, 50],
            hidden: vec![100],
            trials: 16,
            tuning_seeds: 2,
            fresh_seeds: 4,
            validation: 0.1,
            space: Space::small(),
            allow_overlap: false,
        }
    }
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was chosen.
    pub hyperparameters: Hyperparameters,
    /// The average incremental accuracy for each seed; 0 where training diverged.
    pub scores: Vec<f64>,
    /// How many seeds diverged.
    pub diverged: usize,
}

impl Trial {
    /// The mean over the seeds.
    pub fn score(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len().max(1) as f64
    }
}

/// The outcome of tuning: every trial, and the best as text with its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// In the order of their numbers.
    pub trials: Vec<Trial>,
    /// The number of the best; the lowest of equals.
    pub best: usize,
    /// The best hyperparameters as JSON.
    pub chosen: String,
    /// The SHA-256 of that text.
    pub sha256: String,
}

impl Tuned {
    /// The chosen hyperparameters, read back from the text.
    ///
    /// # Errors
    /// [`Error::Data`] where text and hash do not agree, or the text is no choice.
    pub fn hyperparameters(&self) -> Result<Hyperparameters> {
        if hash(&self.chosen) != self.sha256 {
            return Err(Error::data(
                "tuned hyperparameters",
                "the text does not have the hash that was written with it",
            ));
        }
        serde_json::from_str(&self.chosen).map_err(|e| Error::data("tuned hyperparameters", e.to_string()))
    }

    /// The score of the best trial.
    pub fn score(&self) -> f64 {
        self.trials.get(self.best).map_or(0.0, Trial::score)
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Mean and deviation over seeds, with the values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Average incremental accuracy.
    pub mean: f64,
    /// Its sample standard deviation.
    pub std: f64,
    /// By seed.
    pub values: Vec<f64>,
    /// The accuracy after the last task, by seed.
    pub last: Vec<f64>,
    /// Forgetting, by seed.
    pub forgetting: Vec<f64>,
    /// Seconds of all seeds together.
    pub seconds: f64,
}

/// What the protocols say of one algorithm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlgorithmOutcome {
    /// Which.
    pub algorithm: Algorithm,
    /// Tuning on the tuning data.
    pub tuned: Tuned,
    /// The tuned choice on the evaluation data, fresh seeds.
    pub gtep: Score,
    /// The same trials on the evaluation data: what the usual protocol chooses among.
    pub conventional: Tuned,
    /// The best score there: what the usual protocol reports.
    pub conventional_best: f64,
    /// The winner there on fresh seeds.
    pub conventional_fresh: Score,
    /// Spearman's correlation over the trials of the scores on the two data sets; `None` where there is none.
    pub transfer: Option<f64>,
}

impl AlgorithmOutcome {
    /// By how much the usual protocol reports more.
    pub fn gap_reported(&self) -> f64 {
        self.conventional_best - self.gtep.mean
    }

    /// The same without the selection on the seeds that are reported.
    pub fn gap_fresh(&self) -> f64 {
        self.conventional_fresh.mean - self.gtep.mean
    }
}

/// What the protocols say of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// In the order asked for.
    pub algorithms: Vec<AlgorithmOutcome>,
    /// Ranks under GTEP.
    pub gtep_ranks: Vec<usize>,
    /// Ranks under the usual protocol.
    pub conventional_ranks: Vec<usize>,
    /// Kendall's tau of the two rankings; `None` where there is none.
    pub agreement: Option<f64>,
}

impl Protocols {
    fn check(&self) -> Result<()> {
        for (name, value) in
            [("trials", self.trials), ("tuning_seeds", self.tuning_seeds), ("fresh_seeds", self.fresh_seeds)]
        {
            if value == 0 {
                return Err(Error::parameter(name, 0, "at least 1"));
            }
        }
        match (0.0..1.0).contains(&self.validation) {
            true => Ok(()),
            false => Err(Error::parameter("validation", self.validation, "a number in [0, 1)")),
        }
    }

    /// Tunes one algorithm on one data set: it sees nothing else. Trials run side by side; the result does not depend on how
    /// many at a time.
    ///
    /// # Errors
    /// Settings out of range, data that the scenario refuses, [`Error::Stopped`]. A trial that diverges scores 0.
    pub fn tune(&self, algorithm: Algorithm, data: &Split, memory: usize, progress: &dyn Progress) -> Result<Tuned> {
        self.check()?;
        let data = match self.validation > 0.0 {
            true => data.train.split_stratified(1.0 - self.validation, Seed(0).derive("validation"))?,
            false => data.clone(),
        };
        let choices = (0..self.trials).map(|trial| self.space.draw(trial)).collect::<Result<Vec<_>>>()?;
        let jobs: Vec<(usize, u64)> =
            (0..choices.len()).flat_map(|trial| (0..self.tuning_seeds).map(move |seed| (trial, seed))).collect();
        progress.begin(&format!("tuning {}", algorithm.name()), jobs.len() as u64, Unit::Steps);
        let scores: Result<Vec<Option<f64>>> = jobs
            .par_iter()
            .map(|(trial, seed)| {
                if progress.stopped() {
                    return Err(Error::Stopped);
                }
                let Some(choice) = choices.get(*trial) else { return Ok(None) };
                let found = self.record(algorithm, choice, &data, memory, Seed(*seed));
                progress.advance(1);
                match found {
                    Ok(record) => Ok(record.metric("A_Avg")),
                    Err(Error::NotFinite { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .collect();
        progress.end();
        let scores = scores?;
        let per_trial = self.tuning_seeds as usize;
        let trials: Vec<Trial> = choices
            .into_iter()
            .zip(scores.chunks(per_trial))
            .map(|(hyperparameters, scores)| Trial {
                hyperparameters,
                scores: scores.iter().map(|score| score.unwrap_or(0.0)).collect(),
                diverged: scores.iter().filter(|score| score.is_none()).count(),
            })
            .collect();
        let best = trials.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (i, trial)| {
            if trial.score() > best.1 { (i, trial.score()) } else { best }
        });
        let chosen = trials.get(best.0).map(|trial| serde_json::to_string(&trial.hyperparameters));
        let chosen = chosen.transpose().map_err(|e| Error::data("hyperparameters", e.to_string()))?.unwrap_or_default();
        Ok(Tuned { sha256: hash(&chosen), chosen, best: best.0, trials })
    }

    /// Trains with one choice on fresh seeds, and scores on the test samples.
    ///
    /// # Errors
    /// Those of [`Protocols::tune`]. A seed that diverges scores 0.
    pub fn evaluate(
        &self,
        algorithm: Algorithm,
        choice: &Hyperparameters,
        data: &Split,
        memory: usize,
        progress: &dyn Progress,
    ) -> Result<Score> {
        let seeds = (0..self.fresh_seeds).map(|seed| Seed(1000 + seed));
        self.score(algorithm, choice, data, memory, &seeds.collect::<Vec<_>>(), progress)
    }

    fn score(
        &self,
        algorithm: Algorithm,
        choice: &Hyperparameters,
        data: &Split,
        memory: usize,
        seeds: &[Seed],
        progress: &dyn Progress,
    ) -> Result<Score> {
        let clock = Instant::now();
        let records: Result<Vec<Option<Record>>> = seeds
            .par_iter()
            .map(|seed| {
                if progress.stopped() {
                    return Err(Error::Stopped);
                }
                match self.record(algorithm, choice, data, memory, *seed) {
                    Ok(record) => Ok(Some(record)),
                    Err(Error::NotFinite { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .collect();
        let records = records?;
        let of = |name: &str| -> Vec<f64> {
            records.iter().map(|record| record.as_ref().and_then(|r| r.metric(name)).unwrap_or(0.0)).collect()
        };
        let values = of("A_Avg");
        let spread = Spread::of(&values)?;
        Ok(Score {
            mean: spread.mean,
            std: spread.std,
            values,
            last: of("A_Last"),
            forgetting: of("F"),
            seconds: clock.elapsed().as_secs_f64(),
        })
    }

    /// Both protocols for several algorithms.
    ///
    /// # Errors
    /// Those of [`Protocols::tune`]; [`Error::Data`] where the data sets share a sample and that is not allowed, or have
    /// different numbers of classes.
    pub fn compare(
        &self,
        algorithms: &[Algorithm],
        tuning: &Split,
        evaluation: &Split,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        let tuned = algorithms.iter().map(|algorithm| self.tune(*algorithm, tuning, self.memory[0], progress));
        let tuned = tuned.collect::<Result<Vec<_>>>()?;
        self.compare_tuned(algorithms, tuned, tuning, evaluation, progress)
    }

    /// As [`Protocols::compare`], where tuning on the tuning data is done.
    ///
    /// # Errors
    /// Those of [`Protocols::compare`].
    pub fn compare_tuned(
        &self,
        algorithms: &[Algorithm],
        tuned: Vec<Tuned>,
        tuning: &Split,
        evaluation: &Split,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        self.check()?;
        let (a, b) = (tuning.train.classes(), evaluation.train.classes());
        if a != b {
            let problem = format!("the tuning data have {a} classes, the evaluation data {b}");
            return Err(Error::data("data", problem).with_help("take the same number of classes of each"));
        }
        if !self.allow_overlap && shares_a_sample(tuning, evaluation) {
            return Err(Error::data("data", "the tuning and the evaluation data have a sample in common")
                .with_help("what is tuned on must not be evaluated on"));
        }
        let mut outcomes = Vec::with_capacity(algorithms.len());
        for (algorithm, tuned) in algorithms.iter().copied().zip(tuned) {
            let gtep = self.evaluate(algorithm, &tuned.hyperparameters()?, evaluation, self.memory[1], progress)?;
            let conventional = Self { validation: 0.0, ..self.clone() };
            let conventional = conventional.tune(algorithm, evaluation, self.memory[1], progress)?;
            let fresh =
                self.evaluate(algorithm, &conventional.hyperparameters()?, evaluation, self.memory[1], progress)?;
            let scores = |tuned: &Tuned| tuned.trials.iter().map(Trial::score).collect::<Vec<_>>();
            outcomes.push(AlgorithmOutcome {
                algorithm,
                transfer: spearman(&scores(&tuned), &scores(&conventional)).ok(),
                conventional_best: conventional.score(),
                conventional_fresh: fresh,
                gtep,
                tuned,
                conventional,
            });
        }
        let gtep: Vec<f64> = outcomes.iter().map(|outcome| outcome.gtep.mean).collect();
        let usual: Vec<f64> = outcomes.iter().map(|outcome| outcome.conventional_best).collect();
        Ok(Outcome {
            gtep_ranks: ranks_of(&gtep),
            conventional_ranks: ranks_of(&usual),
            agreement: kendall(&gtep, &usual).ok(),
            algorithms: outcomes,
        })
    }

    /// One run: a fresh network, the same choice for every task, evaluated at the ends of the tasks.
    fn record(
        &self,
        algorithm: Algorithm,
        choice: &Hyperparameters,
        data: &Split,
        memory: usize,
        seed: Seed,
    ) -> Result<Record> {
        let stream = Scenario::Class(self.scenario.clone()).build(data, seed)?.flat();
        let protocol =
            Protocol { length: Length::Epochs(choice.epochs), batch: choice.batch, seed, ..Protocol::default() };
        let mut learner = self.learner(algorithm, choice, &stream, memory, seed)?;
        let mut run = Run::new(&protocol, &stream, learner.as_mut())?;
        run.advance(&Silent)?;
        Ok(run.into_record())
    }

    fn learner(
        &self,
        algorithm: Algorithm,
        choice: &Hyperparameters,
        stream: &Stream,
        memory: usize,
        seed: Seed,
    ) -> Result<Box<dyn Learner>> {
        let width = stream.shape().iter().product();
        let widths: Vec<usize> = [width].into_iter().chain(self.hidden.iter().copied()).collect();
        let network = perceptron(&widths, stream.outputs(), seed.derive("network"), &Device::flex())?;
        let model = Model::new(network, choice.optimisation(algorithm != Algorithm::Wa))?;
        let exemplars = |method| Exemplars {
            distillation: choice.distillation,
            temperature: choice.temperature,
            validation: choice.validation,
            ..Exemplars::new(method, memory, seed.derive("exemplars"))
        };
        Ok(match algorithm {
            Algorithm::Finetune => Box::new(GradientLearner::new(model, Finetune::default())?),
            Algorithm::Joint => Box::new(GradientLearner::new(model, Accumulated::joint())?),
            // The weight there is lambda / 2.
            Algorithm::Ewc => {
                Box::new(GradientLearner::new(model, Ewc { lambda: choice.distillation / 2.0, ..Ewc::default() })?)
            }
            Algorithm::Lwf => Box::new(GradientLearner::new(
                model,
                Lwf { alpha: choice.distillation, temperature: choice.temperature, ..Lwf::default() },
            )?),
            Algorithm::Replay => Box::new(GradientLearner::new(model, exemplars(ExemplarMethod::Replay))?),
            Algorithm::Icarl => Box::new(GradientLearner::new(model, exemplars(ExemplarMethod::Icarl))?),
            Algorithm::Wa => Box::new(GradientLearner::new(model, exemplars(ExemplarMethod::Wa))?),
            Algorithm::Bic => Box::new(GradientLearner::new(model, exemplars(ExemplarMethod::Bic))?),
        })
    }
}

/// Whether a sample of one data set is, bit for bit, one of the other.
fn shares_a_sample(a: &Split, b: &Split) -> bool {
    let digest = |row: &[f32]| -> [u8; 32] {
        let mut hash = Sha256::new();
        row.iter().for_each(|value| hash.update(value.to_le_bytes()));
        hash.finalize().into()
    };
    let of = |split: &Split| -> std::collections::HashSet<[u8; 32]> {
        [&split.train, &split.test]
            .into_iter()
            .flat_map(|side| side.samples().rows().map(digest).collect::<Vec<_>>())
            .collect()
    };
    a.train.samples().width() == b.train.samples().width() && !of(a).is_disjoint(&of(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::split;

    fn protocols() -> Protocols {
        Protocols {
            scenario: ClassIncremental { tasks: 2, ..Default::default() },
            memory: [8, 8],
            hidden: vec![8],
            trials: 3,
            tuning_seeds: 2,
            fresh_seeds: 2,
            space: Space { epochs: vec![1, 2], batch: vec![4, 8], ..Space::small() },
            ..Protocols::default()
        }
    }

    #[test]
    fn the_same_data_and_seeds_give_the_same_score() {
        let data = split(4, 12);
        let same = Protocols { validation: 0.0, allow_overlap: true, ..protocols() };
        let tuned = same.tune(Algorithm::Icarl, &data, 8, &Silent).unwrap();
        let seeds = [Seed(0), Seed(1)];
        let again = same.score(Algorithm::Icarl, &tuned.hyperparameters().unwrap(), &data, 8, &seeds, &Silent).unwrap();
        assert_eq!(again.mean, tuned.score());
        let outcome = same.compare_tuned(&[Algorithm::Icarl], vec![tuned], &data, &data, &Silent).unwrap();
        let found = &outcome.algorithms[0];
        assert_eq!(found.conventional.trials, found.tuned.trials);
        assert_eq!(found.gtep.values, found.conventional_fresh.values);
    }

    #[test]
    fn the_best_of_the_trials_is_never_below_the_tuned_choice() {
        let (tuning, evaluation) = (split(4, 12), split(4, 9));
        let protocols = Protocols { allow_overlap: true, ..protocols() };
        let outcome = protocols.compare(&[Algorithm::Replay, Algorithm::Ewc], &tuning, &evaluation, &Silent).unwrap();
        for found in &outcome.algorithms {
            // On equal seeds the usual protocol's maximum bounds every trial.
            let own = found.conventional.trials.get(found.tuned.best).map_or(0.0, Trial::score);
            assert!(found.conventional_best >= own);
        }
        assert_eq!(outcome.gtep_ranks.len(), 2);
    }

    #[test]
    fn leaks_and_mismatches_are_refused() {
        let data = split(4, 12);
        let refused = |protocols: &Protocols, evaluation: &Split| {
            protocols.compare(&[Algorithm::Finetune], &data, evaluation, &Silent).unwrap_err().to_string()
        };
        assert!(refused(&protocols(), &data).contains("a sample in common"));
        assert!(refused(&protocols(), &split(3, 12)).contains("4 classes, the evaluation data 3"));
        assert_eq!(refused(&Protocols { trials: 0, ..protocols() }, &data), "trials = 0, wanted at least 1");
        let mut tuned = protocols().tune(Algorithm::Finetune, &data, 8, &Silent).unwrap();
        tuned.chosen.push(' ');
        assert!(tuned.hyperparameters().unwrap_err().to_string().contains("hash"));
    }
}
