//! Test sets at hand, and the accuracies of a learner on them.

use consilience_core::{Error, Result, Seed};
use consilience_nn::Logits;
use rand::seq::index;

use crate::learner::Learner;
use crate::stream::{HeadMode, Stream};

/// Samples that a learner sees at a time: bounds the memory of evaluations of large test sets.
const PIECE: usize = 4096;

/// Accuracy and mean loss on one set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score {
    pub accuracy: f64,
    pub loss: f64,
}

/// Which outputs compete for a sample.
pub(super) enum Candidates<'a> {
    All,
    /// The classes marked.
    Seen(&'a [bool]),
    /// These classes.
    Classes(&'a [u32]),
}

impl Candidates<'_> {
    /// The best of the candidates (the lowest of equals) and the loss of `label`: minus its log-softmax among them.
    fn judge(&self, logits: &[f32], label: u32) -> (bool, f64) {
        let included = |class: usize| match self {
            Self::All => true,
            Self::Seen(seen) => seen.get(class).copied().unwrap_or(false),
            Self::Classes(classes) => classes.contains(&(class as u32)),
        };
        let mut best: Option<(usize, f32)> = None;
        for (class, logit) in logits.iter().copied().enumerate().filter(|(class, _)| included(*class)) {
            if best.is_none_or(|(_, top)| logit > top) {
                best = Some((class, logit));
            }
        }
        let Some((class, top)) = best else { return (false, 0.0) };
        let inside = logits.iter().enumerate().filter(|(class, _)| included(*class));
        let sum: f64 = inside.map(|(_, logit)| f64::from(logit - top).exp()).sum();
        let own = logits.get(label as usize).copied().unwrap_or(top);
        (class == label as usize, sum.ln() - f64::from(own - top))
    }
}

/// The samples of a test set that a learner is evaluated on.
pub(super) struct TestSamples {
    values: Vec<f32>,
    labels: Vec<u32>,
    set: usize,
}

impl TestSamples {
    /// All samples of a set, or `most` that `seed` chooses.
    pub fn of(stream: &Stream, set: usize, most: Option<usize>, seed: Seed) -> Self {
        let count = stream.tests().get(set).map_or(0, crate::stream::TestSet::len);
        let places: Vec<usize> = match most {
            Some(most) if most < count => {
                let mut chosen = index::sample(&mut seed.nth(set as u64).rng(), count, most).into_vec();
                chosen.sort_unstable();
                chosen
            }
            _ => (0..count).collect(),
        };
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        stream.read_test(set, &places, &mut values, &mut labels);
        Self { values, labels, set }
    }
}

/// Logits of a test set with its labels.
pub(super) struct Answers<'a> {
    logits: Logits,
    labels: &'a [u32],
    pub set: usize,
}

impl<'a> Answers<'a> {
    /// What `learner` answers on the sets, which go through it together.
    pub fn of(learner: &dyn Learner, stream: &Stream, sets: &[&'a TestSamples]) -> Result<Vec<Self>> {
        let width: usize = stream.shape().iter().product();
        let total: usize = sets.iter().map(|set| set.labels.len()).sum();
        let logits = match sets {
            [one] => in_pieces(learner, stream, &one.values, width)?,
            _ if total <= 8 * PIECE => {
                let values: Vec<f32> = sets.iter().flat_map(|set| set.values.iter().copied()).collect();
                in_pieces(learner, stream, &values, width)?
            }
            _ => {
                let mut all = Logits { values: Vec::new(), classes: 1 };
                for set in sets {
                    let part = in_pieces(learner, stream, &set.values, width)?;
                    all.classes = part.classes;
                    all.values.extend(part.values);
                }
                all
            }
        };
        if logits.classes < stream.outputs() || logits.values.len() != total * logits.classes {
            let found = [logits.values.len() / logits.classes.max(1), logits.classes];
            let wanted = format!("[{total}, {}] or wider: the stream has so many classes", stream.outputs());
            return Err(Error::shape(format!("scores of {}", learner.name()), found, wanted));
        }
        let mut start = 0;
        let mut answers = Vec::with_capacity(sets.len());
        for set in sets {
            let end = start + set.labels.len() * logits.classes;
            let values = logits.values.get(start..end).unwrap_or_default().to_vec();
            answers.push(Self {
                logits: Logits { values, classes: logits.classes },
                labels: &set.labels,
                set: set.set,
            });
            start = end;
        }
        Ok(answers)
    }

    /// Accuracy and loss with the same candidates for each sample. Samples of classes that are no candidates count as wrong.
    pub fn score(&self, candidates: &Candidates<'_>) -> Score {
        self.score_where(candidates, |_| true).unwrap_or(Score { accuracy: 0.0, loss: 0.0 })
    }

    /// The same over the samples whose label `chosen` accepts; `None` where there are none.
    pub fn score_where(&self, candidates: &Candidates<'_>, chosen: impl Fn(u32) -> bool) -> Option<Score> {
        let (mut right, mut loss, mut count) = (0_usize, 0.0, 0_usize);
        for (logits, label) in self.logits.rows().zip(self.labels).filter(|(_, label)| chosen(**label)) {
            let (correct, of_label) = candidates.judge(logits, *label);
            right += usize::from(correct);
            loss += of_label;
            count += 1;
        }
        (count > 0).then(|| Score { accuracy: right as f64 / count as f64, loss: loss / count as f64 })
    }

    /// Right and all answers of each class.
    pub fn by_class(&self, candidates: &Candidates<'_>, counts: &mut [(usize, usize)]) {
        for (logits, label) in self.logits.rows().zip(self.labels) {
            if let Some((right, all)) = counts.get_mut(*label as usize) {
                *right += usize::from(candidates.judge(logits, *label).0);
                *all += 1;
            }
        }
    }
}

fn in_pieces(learner: &dyn Learner, stream: &Stream, values: &[f32], width: usize) -> Result<Logits> {
    let mut all = Logits { values: Vec::new(), classes: 1 };
    for piece in values.chunks((PIECE * width).max(1)) {
        let part = learner.predict(piece, stream.shape())?;
        if let Some(at) = part.values.iter().position(|v| v.is_nan()) {
            let row = all.values.len() / all.classes.max(1) + at / part.classes.max(1);
            return Err(Error::NotFinite {
                argument: format!("scores of {}", learner.name()),
                found: "NaN".into(),
                position: format!("test sample {row}, output {}", at % part.classes.max(1)),
            });
        }
        all.classes = part.classes;
        all.values.extend(part.values);
    }
    Ok(all)
}

/// The candidates for a sample of test set `set` under the stream's own head.
pub(super) fn candidates<'a>(stream: &'a Stream, set: usize, seen: &'a [bool]) -> Candidates<'a> {
    match stream.head() {
        HeadMode::Global => Candidates::Seen(seen),
        HeadMode::Shared => Candidates::All,
        HeadMode::Task => Candidates::Classes(stream.tests().get(set).map_or(&[], |set| &set.classes)),
    }
}
