//! Analytic learning on a blurry stream: exact, whatever the order, and better than gradient descent on the same features.

use burn::tensor::Device;
use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Samples, Seed, Split};
use consilience_nn::{Length, Logits};
use faer::Mat;
use rand::seq::SliceRandom;

use super::setup::{digits, run as lead};
use crate::analytic::{Analytic, AnalyticLearner, AnalyticMode, Expansion, Regression};
use crate::learners::{Finetune, Raw, StreamingLda};
use crate::stream::{Blurry, Scenario};
use crate::{
    Evaluation, Experience, GradientLearner, LabelledBatch, Learner, LinearNetwork, Model, Optimisation, Protocol,
    Record, StepInfo,
};

const METHOD: &str = "G-ACIL";
const SGD: &str = "softmax SGD, best rate";
const SLDA: &str = "streaming LDA";
const JOINT: &str = "joint ridge";
const LAST: &str = "A_Last";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "analytic-incremental",
    area: "continual",
    summary: "Ridge regression on frozen features over mixed classes, equal to joint training, without a stored sample",
    paper: Paper {
        title: "G-ACIL: Analytic Learning for Exemplar-Free Generalized Class Incremental Learning",
        year: 2024,
        arxiv: "2403.15706",
    },
    statement: "Whatever the order and the batches, the weights are those of joint training, and they beat gradient descent \
                on the same features by far.",
    remarks: "",
    seeds: 5,
    headline: LAST,
    bars: &[
        Bar::value("(1) the weights are the joint ones", "relative weight error", METHOD).at_most(1e-8).in_seeds(5, 5),
        Bar::difference("(2) twenty points above SGD at the end", LAST, METHOD, SGD).at_least(0.20),
        Bar::difference("(2) fifteen points above SGD on average", "A_Avg", METHOD, SGD).at_least(0.15),
        Bar::difference("(3) as accurate as joint ridge", LAST, METHOD, JOINT).within(-0.001, 0.001),
        Bar::difference("(4) no worse than streaming LDA", LAST, METHOD, SLDA).at_least(-0.01).required(),
        Bar::value("blurring and mixing change nothing", "A_Last range over streams", METHOD).at_most(1e-6),
        Bar::value("but they matter to SGD", "A_Last range over streams", SGD).at_least(0.1).reported(),
    ],
    run,
};

/// How much of everything.
struct Sizes {
    train: usize,
    test: usize,
    features: usize,
    rates: &'static [f64],
    ratios: &'static [(f64, f64)],
}

impl Sizes {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                train: 1300,
                test: 497,
                features: 1000,
                rates: &[0.1, 0.3, 1.0, 3.0],
                ratios: &[
                    (0.0, 0.0),
                    (0.0, 0.1),
                    (0.0, 0.5),
                    (0.5, 0.0),
                    (0.5, 0.1),
                    (0.5, 0.5),
                    (1.0, 0.0),
                    (1.0, 0.1),
                    (1.0, 0.5),
                ],
            },
            Scale::Smoke => {
                Self { train: 300, test: 100, features: 60, rates: &[0.3], ratios: &[(0.0, 0.5), (1.0, 0.0)] }
            }
        }
    }
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let sizes = Sizes::of(scale);
    let split = expanded(&digits(sizes.train, sizes.test)?, sizes.features, seed)?;
    let experiment = Experiment { split, sizes, seed, progress };
    let mut measured = Measurements::new();
    experiment.stream(&mut measured)?;
    experiment.invariance(&mut measured)?;
    experiment.robustness(&mut measured)?;
    Ok(measured)
}

/// The digits through the random layer: every arm gets the same features.
fn expanded(digits: &Split, features: usize, seed: Seed) -> Result<Split> {
    let width = digits.train.samples().width();
    let expansion = Expansion::relu(width, features, seed.derive("expansion"))?;
    let side = |side: &consilience_core::LabelledSamples| -> Result<_> {
        let x = expansion.apply(side.samples().as_slice(), width)?;
        let values = (0..x.nrows()).flat_map(|i| (0..x.ncols()).map(move |j| (i, j))).map(|at| x[at] as f32).collect();
        side.with_samples(Samples::new(values, &[features])?)
    };
    Ok(Split { train: side(&digits.train)?, test: side(&digits.test)? })
}

struct Experiment<'a> {
    split: Split,
    sizes: Sizes,
    seed: Seed,
    progress: &'a dyn Progress,
}

impl Experiment<'_> {
    fn protocol(&self, passes: usize) -> Protocol {
        Protocol {
            length: Length::Epochs(1),
            passes,
            evaluation: Evaluation { every_samples: Some(100), ..Evaluation::default() },
            seed: self.seed,
            ..Protocol::default()
        }
    }

    fn analytic(&self) -> Analytic {
        Analytic { gamma: 1.0, ..Analytic::default() }
    }

    fn lead(&self, blurry: &Blurry, passes: usize, learner: &mut dyn Learner) -> Result<Record> {
        let stream = Scenario::Blurry(blurry.clone()).build(&self.split, self.seed)?;
        lead(&self.protocol(passes), &stream, learner, self.progress)
    }

    fn sgd(&self, blurry: &Blurry, rate: f64) -> Result<Record> {
        let network = LinearNetwork::new(self.sizes.features, 10, self.seed.derive("network"), &Device::flex())?;
        let model = Model::new(network, Optimisation::sgd(rate, 0.0))?;
        self.lead(blurry, 3, &mut GradientLearner::new(model, Finetune::default())?)
    }

    /// The arms on the stream of the set-up.
    fn stream(&self, measured: &mut Measurements) -> Result<()> {
        let blurry = Blurry { blur: 0.3, ..Blurry::default() };
        let record = |measured: &mut Measurements, arm: &str, run: &Record| {
            for name in ["A_AUC", "A_Avg", LAST] {
                measured.record(arm, name, run.metric(name).unwrap_or(f64::NAN));
            }
            let points = run.samples.iter().map(|point| (point.samples as f64, point.accuracy));
            measured.record_curve("accuracy on the classes seen", ["samples", "accuracy"], arm, points);
        };
        let mut method = AnalyticLearner::new(self.analytic(), Box::new(Raw), Expansion::Identity)?;
        record(measured, METHOD, &self.lead(&blurry, 1, &mut method)?);
        // The rate is chosen on the test samples themselves, by each metric: no choice could do better.
        for (index, rate) in self.sizes.rates.iter().enumerate() {
            let run = self.sgd(&blurry, *rate)?;
            if index == 0 {
                record(measured, SGD, &run);
            }
            for name in ["A_AUC", "A_Avg", LAST] {
                let best = measured.get(SGD, name).unwrap_or(0.0).max(run.metric(name).unwrap_or(0.0));
                measured.record(SGD, name, best);
            }
        }
        let mut slda = StreamingLda::new(Box::new(Raw), 1e-4)?;
        record(measured, SLDA, &self.lead(&blurry, 1, &mut slda)?);
        let mut refit = Refit {
            learner: AnalyticLearner::new(self.analytic(), Box::new(Raw), Expansion::Identity)?,
            settings: self.analytic(),
        };
        record(measured, "ridge refit by task", &self.lead(&blurry, 1, &mut refit)?);
        let (x, labels) = self.matrix();
        let mut joint = self.analytic().regression(self.sizes.features)?;
        joint.update(x.as_ref(), &labels)?;
        let test = Expansion::Identity.apply(self.split.test.samples().as_slice(), self.sizes.features)?;
        let scores = joint.scores(test.as_ref())?;
        let right = self.split.test.labels().iter().enumerate().filter(|(i, label)| {
            let best = (0..scores.ncols()).max_by(|a, b| scores[(*i, *a)].total_cmp(&scores[(*i, *b)]).then(b.cmp(a)));
            best == Some(**label as usize)
        });
        measured.record(JOINT, LAST, right.count() as f64 / self.split.test.len() as f64);
        Ok(())
    }

    fn matrix(&self) -> (Mat<f64>, Vec<u32>) {
        let train = &self.split.train;
        let (values, m) = (train.samples().as_slice(), self.sizes.features);
        let x = Mat::from_fn(train.len(), m, |i, j| values.get(i * m + j).copied().map_or(0.0, f64::from));
        (x, train.labels().to_vec())
    }

    /// Three shuffles of the same samples in batches of several sizes, by the recursion; single samples in one of them.
    fn invariance(&self, measured: &mut Measurements) -> Result<()> {
        let (x, labels) = self.matrix();
        let m = x.ncols();
        let mut joint = self.analytic().regression(m)?;
        joint.update(x.as_ref(), &labels)?;
        let wanted = joint.weights()?.clone();
        let mut worst: f64 = 0.0;
        for shuffle in 0..3 {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.shuffle(&mut self.seed.derive("shuffle").nth(shuffle).rng());
            for batch in [1, 7, 32, 400] {
                if batch == 1 && shuffle > 0 {
                    continue;
                }
                let settings = Analytic { mode: AnalyticMode::Recursive, ..self.analytic() };
                let mut regression: Regression = settings.regression(m)?;
                for part in order.chunks(batch) {
                    if self.progress.stopped() {
                        return Err(consilience_core::Error::Stopped);
                    }
                    let rows = Mat::from_fn(part.len(), m, |i, j| part.get(i).map_or(0.0, |row| x[(*row, j)]));
                    let of: Vec<u32> = part.iter().filter_map(|i| labels.get(*i)).copied().collect();
                    regression.update(rows.as_ref(), &of)?;
                }
                let found = regression.weights()?;
                worst = worst.max((found - &wanted).norm_max() / wanted.norm_max());
            }
        }
        measured.record(METHOD, "relative weight error", worst);
        Ok(())
    }

    /// How far the final accuracy moves with the shares of disjoint classes and blurred samples.
    fn robustness(&self, measured: &mut Measurements) -> Result<()> {
        let mut ranges = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
        for (disjoint, blur) in self.sizes.ratios {
            let blurry = Blurry { disjoint: *disjoint, blur: *blur, ..Blurry::default() };
            let mut method = AnalyticLearner::new(self.analytic(), Box::new(Raw), Expansion::Identity)?;
            let own = self.lead(&blurry, 1, &mut method)?;
            let sgd = self.sgd(&blurry, 1.0)?;
            for (range, run) in ranges.iter_mut().zip([own, sgd]) {
                let last = run.metric(LAST).unwrap_or(f64::NAN);
                *range = [range[0].min(last), range[1].max(last)];
            }
        }
        for (arm, [low, high]) in [METHOD, SGD].into_iter().zip(ranges) {
            measured.record(arm, "A_Last range over streams", high - low);
        }
        Ok(())
    }
}

/// A ridge regression of each task alone: what forgets everything.
struct Refit {
    learner: AnalyticLearner,
    settings: Analytic,
}

impl Learner for Refit {
    fn name(&self) -> String {
        "ridge refit by task".into()
    }

    fn begin_task(&mut self, _task: &Experience<'_>) -> Result<()> {
        self.learner = AnalyticLearner::new(self.settings.clone(), Box::new(Raw), Expansion::Identity)?;
        Ok(())
    }

    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo> {
        self.learner.train_step(batch)
    }

    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        self.learner.predict(values, shape)
    }

    fn state_bytes(&self) -> usize {
        self.learner.state_bytes()
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.learner.save()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        self.learner.restore(bytes)
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_is_exact() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let measured = &outcome.seeds[0].measurements;
        assert!(outcome.bars.iter().all(|bar| bar.problem.is_none()), "{:?}", outcome.bars);
        assert!(measured.get(METHOD, "relative weight error").unwrap() < 1e-9);
        assert_eq!(measured.get(METHOD, "A_Last range over streams"), Some(0.0));
        assert_eq!(measured.get(METHOD, LAST), measured.get(JOINT, LAST));
        assert!(measured.get(METHOD, LAST) > measured.get("ridge refit by task", LAST));
    }
}
