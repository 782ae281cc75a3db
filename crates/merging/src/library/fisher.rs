//! Fisher-weighted averaging.

use std::sync::Arc;

use burn::tensor::activation::{log_softmax, softmax};
use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_nn::{Batch, Classifier, Parameters, diagonal_fisher, value_and_gradient};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{BLOCK, Pool, entrywise};

/// Fisher merging: `theta_i = sum_t c_t F_ti theta_ti / sum_t c_t F_ti` (Matena and Raffel, 2022).
///
/// ```
/// use burn::tensor::Tensor;
/// use consilience_merging::library::{FisherEstimate, FisherMerging, Pool};
/// use consilience_core::Silent;
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// // Batches of each task's own inputs, without labels.
/// let batches = || [Tensor::ones([8, 4], &device), Tensor::zeros([8, 4], &device)];
/// let information = [&first, &second]
///     .into_iter()
///     .zip(pool.experts())
///     .map(|(expert, theta)| FisherEstimate::Exact.estimate(expert, theta, batches(), &Silent))
///     .collect::<Result<Vec<_>, _>>()?;
/// let merged = FisherMerging::default().merge(&pool, &information)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FisherMerging {
    /// Whether each expert's Fisher information counts relative to its norm over all tensors, `c_t ~ 1 / (|F_t| + floor)`,
    /// so that no expert rules because its gradients are large; otherwise all `c_t` are equal. Default: yes.
    pub normalise: bool,
    /// Added to every entry, so that the average is defined where no expert has information. Default: 1e-6.
    pub floor: f64,
}

impl Default for FisherMerging {
    fn default() -> Self {
        Self { normalise: true, floor: 1e-6 }
    }
}

impl FisherMerging {
    /// Merges with one diagonal Fisher information an expert, under the pool's layout ([`FisherEstimate`] makes them).
    ///
    /// Fails with [`Error::Shape`] where there is not one an expert, [`Error::Data`] where the layouts differ or an entry is
    /// negative, [`Error::NotFinite`], or [`Error::Parameter`] on a floor that is not positive.
    pub fn merge(&self, pool: &Pool, information: &[Parameters]) -> Result<Parameters> {
        if !(self.floor.is_finite() && self.floor > 0.0) {
            return Err(Error::parameter("floor", self.floor, "a positive number"));
        }
        if information.len() != pool.tasks() {
            return Err(Error::shape("information", [information.len()], format!("[{}], one an expert", pool.tasks())));
        }
        for (i, fisher) in information.iter().enumerate() {
            pool.base().check_same_layout(fisher)?;
            fisher.check_finite()?;
            if fisher.values().iter().any(|value| *value < 0.0) {
                return Err(Error::data(format!("information {i}"), "an entry is negative, but they are squares"));
            }
        }
        let weight = |fisher: &Parameters| if self.normalise { 1.0 / (fisher.norm() + self.floor) } else { 1.0 };
        let weights: Vec<f64> = information.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        entrywise(pool, |range, above| {
            let mut below = [0.0_f64; BLOCK];
            for ((expert, fisher), weight) in pool.experts().iter().zip(information).zip(&weights) {
                let entries = expert.values()[range.clone()].iter().zip(&fisher.values()[range.clone()]);
                for ((above, below), (value, fisher)) in above.iter_mut().zip(&mut below).zip(entries) {
                    let share = weight / total * (f64::from(*fisher) + self.floor);
                    *above += share * f64::from(*value);
                    *below += share;
                }
            }
            above.iter_mut().zip(below).for_each(|(above, below)| *above /= below);
        })
    }
}

/// How an expert's diagonal Fisher information is estimated from unlabelled inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FisherEstimate {
    /// The mean over examples of `sum_y p(y|x) (d log p(y|x) / d theta)^2`. One backward an example and class.
    #[default]
    Exact,
    /// One backward a batch of `sum_examples sum_y sqrt(p) log p` with the root held constant, squared, summed over batches
    /// and divided by the number of examples. Fast, but not the Fisher information: gradients of different examples and
    /// classes add before they are squared. It depends on the size of the batches (32 is usual).
    Shortcut,
    /// The mean over examples of `(d log p(y|x) / d theta)^2` for classes `y` that are drawn from the predictions: what
    /// [`FisherEstimate::Exact`] is in expectation, for models with many classes. One forward a batch, and one backward a draw.
    Sampled {
        /// Draws for each example, at least 1.
        draws: usize,
        /// Draws the classes.
        seed: Seed,
    },
}

impl FisherEstimate {
    /// The information about the parameters of `module` at `theta`, from `batches` of inputs.
    ///
    /// The network runs as it predicts. Fails with [`Error::Data`] where there are no examples, [`Error::Stopped`], and as
    /// [`value_and_gradient`] does.
    pub fn estimate<M>(
        self,
        module: &M,
        theta: &Parameters,
        batches: impl IntoIterator<Item = M::Input>,
        progress: &dyn Progress,
    ) -> Result<Parameters>
    where
        M: Classifier,
        M::Input: Batch,
    {
        match self {
            Self::Exact => diagonal_fisher(module, theta, batches, progress),
            Self::Sampled { draws: 0, .. } => Err(Error::parameter("draws", 0, "at least 1")),
            Self::Sampled { draws, seed } => {
                let labelled = drawn(module, theta, batches, draws, seed)?;
                empirical_fisher(module, theta, labelled, progress)
            }
            Self::Shortcut => {
                let batches = batches.into_iter();
                progress.begin("Fisher information", batches.size_hint().0 as u64, Unit::Steps);
                let sum = shortcut(&module.valid(), theta, batches, progress);
                progress.end();
                sum
            }
        }
    }
}

/// The batches with classes drawn from the predictions at `theta`, each batch `draws` times.
fn drawn<M>(
    module: &M,
    theta: &Parameters,
    batches: impl IntoIterator<Item = M::Input>,
    draws: usize,
    seed: Seed,
) -> Result<Vec<(M::Input, Vec<u32>)>>
where
    M: Classifier,
    M::Input: Batch,
{
    let network = theta.load_into(module)?.valid();
    let mut labelled = Vec::new();
    for (number, batch) in batches.into_iter().enumerate() {
        let probabilities = softmax(network.logits(batch.clone()), 1);
        let [_, classes] = probabilities.dims();
        let values = probabilities.into_data().convert::<f32>();
        let values = values.as_slice::<f32>().map_err(|e| Error::data("predictions", format!("{e:?}")))?;
        let mut rng = seed.nth(number as u64).rng();
        for _ in 0..draws {
            let draw = |row: &[f32]| {
                // Rounding may leave the sum a little below 1: the last class then stands for the rest.
                let mut left = rng.random::<f32>();
                let place = row.iter().position(|p| {
                    left -= p;
                    left < 0.0
                });
                place.unwrap_or(classes.saturating_sub(1)) as u32
            };
            labelled.push((batch.clone(), values.chunks(classes.max(1)).map(draw).collect()));
        }
    }
    Ok(labelled)
}

fn shortcut<M>(
    module: &M,
    theta: &Parameters,
    batches: impl Iterator<Item = M::Input>,
    progress: &dyn Progress,
) -> Result<Parameters>
where
    M: Classifier,
    M::Input: Batch,
{
    let mut squares = Squares::under(theta);
    for batch in batches {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let examples = batch.count();
        let (_, gradient) = value_and_gradient(module, theta, |module| {
            let log_p = log_softmax(module.logits(batch), 1);
            (log_p.clone().detach().mul_scalar(0.5).exp() * log_p).sum()
        })?;
        squares.add(&gradient, examples);
        progress.advance(1);
    }
    squares.mean()
}

/// Squared gradients, added up.
struct Squares {
    sum: Parameters,
    examples: usize,
}

impl Squares {
    fn under(theta: &Parameters) -> Self {
        Self { sum: Parameters::zeros(Arc::clone(theta.layout())), examples: 0 }
    }

    /// Adds the squares of one gradient, which stands for so many examples.
    fn add(&mut self, gradient: &Parameters, examples: usize) {
        self.sum.values_mut().iter_mut().zip(gradient.values()).for_each(|(sum, g)| *sum += g * g);
        self.examples += examples;
    }

    /// The sum divided by the number of examples.
    fn mean(mut self) -> Result<Parameters> {
        if self.examples == 0 {
            return Err(Error::data("batches", "no examples, wanted at least one"));
        }
        self.sum.scale(1.0 / self.examples as f32);
        Ok(self.sum)
    }
}

/// The empirical diagonal Fisher information about the parameters of `module` at `theta`: the mean over labelled examples
/// of `(d log p(label|x) / d theta)^2`. One backward an example.
///
/// The network runs as it predicts. Fails with [`Error::Data`] where there are no examples or a label is beyond the classes,
/// [`Error::Shape`] where a batch and its labels differ in number, [`Error::Stopped`], and as [`value_and_gradient`] does.
pub fn empirical_fisher<M>(
    module: &M,
    theta: &Parameters,
    batches: impl IntoIterator<Item = (M::Input, Vec<u32>)>,
    progress: &dyn Progress,
) -> Result<Parameters>
where
    M: Classifier,
    M::Input: Batch,
{
    let batches = batches.into_iter();
    progress.begin("empirical Fisher information", batches.size_hint().0 as u64, Unit::Steps);
    let sum = empirical(&module.valid(), theta, batches, progress);
    progress.end();
    sum
}

fn empirical<M>(
    module: &M,
    theta: &Parameters,
    batches: impl Iterator<Item = (M::Input, Vec<u32>)>,
    progress: &dyn Progress,
) -> Result<Parameters>
where
    M: Classifier,
    M::Input: Batch,
{
    let mut squares = Squares::under(theta);
    for (batch, labels) in batches {
        if batch.count() != labels.len() {
            return Err(Error::shape("labels", [labels.len()], format!("[{}], one an example", batch.count())));
        }
        for (row, label) in labels.iter().enumerate() {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let mut fault = None;
            let (_, gradient) = value_and_gradient(module, theta, |module| {
                let log_p = log_softmax(module.logits(batch.part(row..row + 1)), 1);
                let [_, classes] = log_p.dims();
                let class = *label as usize;
                if class >= classes {
                    fault = Some(Error::data("labels", format!("there is class {class}, and the head has {classes}")));
                    return log_p.mean();
                }
                log_p.narrow(1, class, 1).sum()
            })?;
            if let Some(fault) = fault {
                return Err(fault);
            }
            squares.add(&gradient, 1);
        }
        progress.advance(1);
    }
    squares.mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use consilience_core::Silent;
    use consilience_nn::backbones::MlpConfig;

    use super::*;
    use crate::library::testing::{pool, vector};

    #[test]
    fn known_merges() {
        let pool = pool(&[0.0, 0.0], &[&[1.0, 1.0], &[0.0, 2.0]]);
        let information = [vector(&[1.0, 4.0]), vector(&[3.0, 0.0])];
        let merged = |normalise| FisherMerging { normalise, ..Default::default() }.merge(&pool, &information).unwrap();
        let plain = merged(false);
        assert!((plain.values()[0] - 0.25).abs() < 1e-6 && (plain.values()[1] - 1.0).abs() < 1e-6);
        let normalised = merged(true);
        assert!((normalised.values()[0] - 0.19519422).abs() < 1e-6, "{:?}", normalised.values());
        assert!((normalised.values()[1] - 1.0000003).abs() < 1e-6);
    }

    #[test]
    fn equal_information_is_the_average_and_bad_information_is_refused() {
        let pool = pool(&[0.0, 0.0], &[&[1.0, 1.0], &[0.0, 2.0]]);
        let equal = [vector(&[0.5, 7.0]), vector(&[0.5, 7.0])];
        let merged = FisherMerging::default().merge(&pool, &equal).unwrap();
        assert!((merged.values()[0] - 0.5).abs() < 1e-6 && (merged.values()[1] - 1.5).abs() < 1e-6);
        assert!(matches!(FisherMerging::default().merge(&pool, &equal[..1]), Err(Error::Shape { .. })));
        let negative = [vector(&[0.5, 7.0]), vector(&[-0.5, 7.0])];
        let message = FisherMerging::default().merge(&pool, &negative).unwrap_err().to_string();
        assert_eq!(message, "information 1: an entry is negative, but they are squares");
    }

    #[test]
    fn the_empirical_information_is_that_of_the_labels() {
        let net = MlpConfig::new(vec![3, 2]).init(Seed(1), &Device::flex()).unwrap();
        let theta = Parameters::of(&net).unwrap();
        let b = theta.tensor("layers.0.bias").unwrap();
        // At an input of zero the slope of log p_0 with respect to the biases is (1 - p_0, -(1 - p_0)).
        let slope = 1.0 - 1.0 / (1.0 + (b[1] - b[0]).exp());
        let zeros = || Tensor::<2>::zeros([2, 3], &Device::flex());
        let found = empirical_fisher(&net, &theta, [(zeros(), vec![0, 0])], &Silent).unwrap();
        assert!(found.tensor("layers.0.bias").unwrap().iter().all(|f| (f - slope * slope).abs() < 1e-6));
        assert!(empirical_fisher(&net, &theta, [(zeros(), vec![0, 2])], &Silent).is_err());
        assert!(empirical_fisher(&net, &theta, [(zeros(), vec![0])], &Silent).is_err());
        assert!(empirical_fisher(&net, &theta, [], &Silent).is_err());
    }

    #[test]
    fn many_draws_come_to_the_exact_information() {
        let net = MlpConfig::new(vec![3, 4]).init(Seed(1), &Device::flex()).unwrap();
        let theta = Parameters::of(&net).unwrap();
        let input = || Tensor::<2>::from_floats([[1.0, 0.5, -1.0], [0.2, -0.3, 0.7]], &Device::flex());
        let sampled = |draws, seed| {
            FisherEstimate::Sampled { draws, seed: Seed(seed) }.estimate(&net, &theta, [input(), input()], &Silent)
        };
        let exact = FisherEstimate::Exact.estimate(&net, &theta, [input()], &Silent).unwrap();
        // 2000 draws an example: a standard error of about one in forty.
        let many = sampled(1000, 7).unwrap();
        let apart = many.difference(&exact).unwrap().norm() / exact.norm();
        assert!(apart < 0.1, "{apart}");
        assert_eq!(sampled(2, 7).unwrap().values(), sampled(2, 7).unwrap().values());
        assert_ne!(sampled(2, 7).unwrap().values(), sampled(2, 8).unwrap().values());
        assert_eq!(sampled(0, 7).unwrap_err().to_string(), "draws = 0, wanted at least 1");
    }

    #[test]
    fn the_shortcut_sums_before_it_squares() {
        let net = MlpConfig::new(vec![3, 2]).init(Seed(1), &Device::flex()).unwrap();
        let theta = Parameters::of(&net).unwrap();
        let input = Tensor::<2>::from_floats([[1.0, 0.5, -1.0], [0.2, -0.3, 0.7]], &Device::flex());
        let found = FisherEstimate::Shortcut.estimate(&net, &theta, [input.clone()], &Silent).unwrap();
        // For a linear layer: d/dz_j of sum_y sqrt(p_y) log p_y = sqrt(p_j) - p_j sum_y sqrt(p_y); the bias sees its sum.
        let p = burn::tensor::activation::softmax(net.logits(input), 1).into_data().try_to_vec::<f32>().unwrap();
        let bias: Vec<f32> = (0..2)
            .map(|j| {
                let slope = |row: &[f32]| row[j].sqrt() - row[j] * row.iter().map(|p| p.sqrt()).sum::<f32>();
                p.chunks(2).map(slope).sum::<f32>().powi(2) / 2.0
            })
            .collect();
        for (found, wanted) in found.tensor("layers.0.bias").unwrap().iter().zip(&bias) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        let exact = FisherEstimate::Exact.estimate(&net, &theta, [Tensor::zeros([4, 3], &Device::flex())], &Silent);
        // At an input of zero both classes' slopes are +-(1 - p), and the expectation is p (1 - p).
        let exact = exact.unwrap();
        let b = theta.tensor("layers.0.bias").unwrap();
        let p = 1.0 / (1.0 + (b[1] - b[0]).exp());
        assert!(exact.tensor("layers.0.bias").unwrap().iter().all(|f| (f - p * (1.0 - p)).abs() < 1e-6));
        assert!(FisherEstimate::Shortcut.estimate(&net, &theta, [], &Silent).is_err());
    }
}
