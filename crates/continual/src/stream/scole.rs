//! Streams in which classes come back (SCoLe; Lesort et al., 2023).

use consilience_core::{Error, Result, Seed, Split};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{HeadMode, Stream, Task, TestSet, View, pools, rows_of_classes, untested};

/// With what probabilities classes are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// All the same.
    Uniform,
    /// Class c with probability in proportion to `(1 - slope c)^exponent`, over a random order of the classes.
    Imbalanced {
        /// 0.05 for ten classes, 0.01 for a hundred.
        slope: f64,
        /// 0 is uniform; larger is farther from it.
        exponent: f64,
    },
    /// These probabilities, up to a factor.
    Weights(Vec<f64>),
}

/// Which classes a task may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// All, at every task.
    Free,
    /// The first half of the tasks has the first half of the classes, the second half the rest.
    Periods,
    /// After half of the tasks only the first half of the classes.
    Forgetting,
    /// Only a fixed random share of all sets of k classes.
    Restricted {
        /// The share, in (0, 1].
        share: f64,
    },
    /// A fixed partition into groups of k, over and over.
    Cyclic,
    /// A fixed partition into groups of k, each repeated until its share of the tasks is used up: no re-occurrence.
    Disjoint,
    /// A walk through all sets of k classes, each class replaced by a random one with this probability (classes may repeat).
    RandomisedOrder {
        /// The probability, in [0, 1].
        replace: f64,
    },
}

/// Tasks of a few classes with all their samples; classes come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scole {
    /// The number of tasks. Default: 500.
    pub tasks: usize,
    /// Classes a task. Default: 2.
    pub classes: usize,
    /// With what probabilities. Default: uniform.
    pub law: Law,
    /// Which classes a task may have. Default: all.
    pub variant: Variant,
    /// After each task its classes' probabilities are divided by this. Default: 1.
    pub reduction: f64,
}

impl Default for Scole {
    fn default() -> Self {
        Self { tasks: 500, classes: 2, law: Law::Uniform, variant: Variant::Free, reduction: 1.0 }
    }
}

impl Scole {
    /// The probability of each of `count` classes; `seed` draws the order of imbalanced ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] on a weight that is negative or not finite, or all zero, or another number of weights.
    pub fn probabilities(&self, count: usize, seed: Seed) -> Result<Vec<f64>> {
        let mut weights = match &self.law {
            Law::Uniform => vec![1.0; count],
            Law::Imbalanced { slope, exponent } => {
                let mut weights: Vec<f64> = (0..count).map(|c| (1.0 - slope * c as f64).powf(*exponent)).collect();
                weights.shuffle(&mut seed.derive("law").rng());
                weights
            }
            Law::Weights(weights) if weights.len() == count => weights.clone(),
            Law::Weights(weights) => return Err(Error::shape("weights", [weights.len()], format!("[{count}]"))),
        };
        if let Some(bad) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return Err(Error::parameter("law", bad, "probabilities that are finite and not negative"));
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Err(Error::parameter("law", sum, "at least one positive probability"));
        }
        weights.iter_mut().for_each(|w| *w /= sum);
        Ok(weights)
    }

    /// The classes of every task, each in rising order.
    ///
    /// # Errors
    /// Those of [`Scole::probabilities`]; more classes a task than there are (or than have a positive probability).
    pub fn draw(&self, count: usize, seed: Seed) -> Result<Vec<Vec<u32>>> {
        let k = self.classes;
        if self.tasks == 0 {
            return Err(Error::parameter("tasks", self.tasks, "at least 1"));
        }
        if k == 0 || k > count {
            return Err(Error::parameter("classes", k, format!("1 to {count}, the number of classes")));
        }
        if !(self.reduction.is_finite() && self.reduction > 0.0) {
            return Err(Error::parameter("reduction", self.reduction, "a finite number above 0"));
        }
        let half = count / 2;
        if matches!(self.variant, Variant::Periods | Variant::Forgetting) && half < k {
            return Err(Error::parameter("classes", k, format!("at most {half}, half of the classes")));
        }
        let mut law = self.probabilities(count, seed)?;
        let mut rng = seed.derive("tasks").rng();
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.shuffle(&mut rng);
        let groups: Vec<Vec<u32>> = order.chunks(k).map(<[u32]>::to_vec).collect();
        let eligible = match self.variant {
            Variant::Restricted { share } => {
                if !(share > 0.0 && share <= 1.0) {
                    return Err(Error::parameter("share", share, "a number in (0, 1]"));
                }
                let mut all = subsets(count, k)?;
                all.shuffle(&mut rng);
                let kept = ((share * all.len() as f64).round() as usize).clamp(1, all.len());
                all.truncate(kept);
                all
            }
            Variant::RandomisedOrder { replace } => {
                if !(0.0..=1.0).contains(&replace) {
                    return Err(Error::parameter("replace", replace, "a number in [0, 1]"));
                }
                subsets(count, k)?
            }
            _ => Vec::new(),
        };
        let mut tasks = Vec::with_capacity(self.tasks);
        for t in 0..self.tasks {
            let mut classes = match self.variant {
                Variant::Free => without_replacement(&law, k, &mut rng)?,
                Variant::Periods | Variant::Forgetting => {
                    let first = 2 * t < self.tasks;
                    let allowed = |class: usize| match (&self.variant, first) {
                        (Variant::Periods, true) | (Variant::Forgetting, false) => class < half,
                        (Variant::Periods, false) => class >= half,
                        _ => true,
                    };
                    let law: Vec<f64> =
                        law.iter().enumerate().map(|(c, p)| if allowed(c) { *p } else { 0.0 }).collect();
                    without_replacement(&law, k, &mut rng)?
                }
                Variant::Restricted { .. } => {
                    eligible.get(rng.random_range(0..eligible.len().max(1))).cloned().unwrap_or_default()
                }
                Variant::Cyclic => groups.get(t % groups.len().max(1)).cloned().unwrap_or_default(),
                Variant::Disjoint => groups.get(t * groups.len() / self.tasks).cloned().unwrap_or_default(),
                Variant::RandomisedOrder { replace } => {
                    let set = eligible.get(t % eligible.len().max(1)).cloned().unwrap_or_default();
                    let swap =
                        |class| if rng.random::<f64>() < replace { rng.random_range(0..count as u32) } else { class };
                    set.into_iter().map(swap).collect()
                }
            };
            if self.reduction != 1.0 {
                classes
                    .iter()
                    .for_each(|class| law.iter_mut().skip(*class as usize).take(1).for_each(|p| *p /= self.reduction));
                let sum: f64 = law.iter().sum();
                law.iter_mut().for_each(|p| *p /= sum);
            }
            classes.sort_unstable();
            classes.dedup();
            tasks.push(classes);
        }
        Ok(tasks)
    }

    pub(super) fn build(&self, split: &Split, seed: Seed) -> Result<Stream> {
        let classes = split.train.classes();
        let drawn = self.draw(classes, seed)?;
        let (train, test) = pools(split, &|label| label);
        let by_class = rows_of_classes(&train.labels, classes);
        let tasks = drawn.into_iter().map(|classes| {
            let rows = classes.iter().filter_map(|class| by_class.get(*class as usize)).flatten().copied().collect();
            Task { classes, rows, view: 0 }
        });
        let all: Vec<u32> = (0..classes as u32).collect();
        let tests = vec![TestSet { classes: all.clone(), rows: (0..test.labels.len() as u32).collect(), view: 0 }];
        Ok(Stream {
            shape: train.samples.shape().to_vec(),
            tasks: tasks.collect(),
            train,
            test,
            tests,
            views: vec![View::Identity],
            outputs: classes,
            head: HeadMode::Shared,
            class_order: all,
            notes: untested(split),
        })
    }
}

/// k different classes, one after the other with probabilities in proportion to `law`.
fn without_replacement(law: &[f64], k: usize, rng: &mut impl rand::Rng) -> Result<Vec<u32>> {
    let mut law = law.to_vec();
    let positive = law.iter().filter(|p| **p > 0.0).count();
    if positive < k {
        return Err(Error::parameter("law", positive, format!("at least {k} classes of positive probability")));
    }
    let mut drawn = Vec::with_capacity(k);
    for _ in 0..k {
        let mut left = rng.random::<f64>() * law.iter().sum::<f64>();
        let mut chosen = None;
        for (class, p) in law.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            chosen = Some(class);
            left -= p;
            if left < 0.0 {
                break;
            }
        }
        if let Some(class) = chosen {
            law.iter_mut().skip(class).take(1).for_each(|p| *p = 0.0);
            drawn.push(class as u32);
        }
    }
    Ok(drawn)
}

/// All sets of k out of `count` classes, in lexicographic order.
fn subsets(count: usize, k: usize) -> Result<Vec<Vec<u32>>> {
    const MOST: f64 = 1e6;
    let sets = (0..k).fold(1.0, |product, i| product * (count - i) as f64 / (i + 1) as f64);
    if sets > MOST {
        let wanted = format!("few enough that the sets of so many out of {count} number at most a million");
        return Err(Error::parameter("classes", k, wanted));
    }
    let mut all: Vec<Vec<u32>> = vec![Vec::new()];
    for _ in 0..k {
        all = all
            .into_iter()
            .flat_map(|set| {
                let from = set.last().map_or(0, |last| last + 1);
                (from..count as u32).map(move |class| set.iter().copied().chain([class]).collect())
            })
            .collect();
    }
    Ok(all)
}
