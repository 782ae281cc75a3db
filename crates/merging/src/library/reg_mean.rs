//! Merging linear layers by regression.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::spd;
use consilience_nn::{LinearInputs, Parameters};
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::{Merge, Pool, SimpleAverage};

/// The Gram matrices `mean_rows x x^T` of the inputs of one network's linear layers, by the names of their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grams {
    sums: BTreeMap<String, (Mat<f64>, usize)>,
}

impl Grams {
    /// Of given matrices, which must be square and symmetric (checked where they are used).
    pub fn given(matrices: impl IntoIterator<Item = (String, Mat<f64>)>) -> Self {
        Self { sums: matrices.into_iter().map(|(name, gram)| (name, (gram, 1))).collect() }
    }

    /// Of the inputs that `batches` bring about in `module`, which runs as it predicts. 256 examples are usual.
    ///
    /// Fails with [`Error::Data`] where there are no examples or a tensor cannot be read, [`Error::NotFinite`], or
    /// [`Error::Stopped`]. Memory: the square of each layer's width, in f64.
    pub fn of<M: LinearInputs>(
        module: &M,
        batches: impl IntoIterator<Item = M::Input>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let batches = batches.into_iter();
        progress.begin("Gram matrices", batches.size_hint().0 as u64, Unit::Steps);
        let grams = Self::accumulate(module, batches, progress);
        progress.end();
        grams
    }

    fn accumulate<M: LinearInputs>(
        module: &M,
        batches: impl Iterator<Item = M::Input>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut grams = Self::default();
        for batch in batches {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let mut fault = None;
            module.visit_linear_inputs(batch, &mut |name, input| {
                if let Err(found) = grams.add(name, input) {
                    fault.get_or_insert(found);
                }
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            progress.advance(1);
        }
        match grams.sums.values().any(|(_, rows)| *rows > 0) {
            true => Ok(grams),
            false => Err(Error::data("batches", "no examples, wanted at least one")),
        }
    }

    fn add(&mut self, name: &str, input: Tensor<2>) -> Result<()> {
        let [rows, width] = input.dims();
        let gram = input.clone().transpose().matmul(input).into_data().convert::<f32>();
        let unreadable = |problem| Error::data(name, format!("its inputs cannot be read: {problem:?}"));
        let values = gram.as_slice::<f32>().map_err(unreadable)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                argument: format!("the inputs of {name:?}"),
                found: value.to_string(),
                position: "their Gram matrix".into(),
            });
        }
        let new = MatRef::from_row_major_slice(values, width, width);
        let (sum, count) = self.sums.entry(name.to_owned()).or_insert_with(|| (Mat::zeros(width, width), 0));
        *sum += Mat::from_fn(width, width, |i, j| f64::from(new[(i, j)]));
        *count += rows;
        Ok(())
    }

    /// The matrix of the layer whose weight is called `name`.
    pub fn get(&self, name: &str) -> Option<Mat<f64>> {
        self.sums.get(name).map(|(sum, rows)| sum * faer::Scale(1.0 / (*rows).max(1) as f64))
    }
}

/// RegMean: each linear weight is the one whose outputs are closest to all experts' own,
/// `W = (sum_t G_t)^-1 sum_t G_t W_t`; everything else is averaged (Jin et al., "Dataless knowledge fusion", 2023).
///
/// The Gram matrices are of inputs alone: labels have no place in the formula, and none are read. (What uses them is the empirical
/// Fisher information, [`empirical_fisher`](super::empirical_fisher).)
///
/// ```
/// use burn::tensor::{Distribution, Tensor};
/// use consilience_merging::library::{Grams, Pool, RegMean};
/// use consilience_core::Silent;
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// // Batches of each task's own inputs, without labels.
/// let batches = || [Tensor::random([32, 4], Distribution::Normal(0.0, 1.0), &device)];
/// let grams = [&first, &second]
///     .into_iter()
///     .map(|expert| Grams::of(expert, batches(), &Silent))
///     .collect::<Result<Vec<_>, _>>()?;
/// let merged = RegMean::default().merge(&pool, &grams)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegMean {
    /// What the Gram matrices' entries off the diagonal are multiplied by, in [0, 1]. Default: 0.9.
    pub off_diagonal: f64,
    /// Added to the diagonal of the sum, relative to its mean. Default: 1e-6.
    pub jitter: f64,
}

impl Default for RegMean {
    fn default() -> Self {
        Self { off_diagonal: 0.9, jitter: spd::JITTER }
    }
}

impl RegMean {
    /// Merges with one set of Gram matrices an expert. Weights for which no expert has one are averaged.
    ///
    /// Fails with [`Error::Shape`] where there is not one set an expert or a matrix does not fit its weight, [`Error::Data`]
    /// where only some experts have a layer's matrix, [`Error::Parameter`], or [`Error::Rank`] where the sum of a layer's
    /// matrices is singular even with the jitter. Cost: a third of the cube of each layer's input width.
    pub fn merge(&self, pool: &Pool, grams: &[Grams]) -> Result<Parameters> {
        if !(0.0..=1.0).contains(&self.off_diagonal) {
            return Err(Error::parameter("off_diagonal", self.off_diagonal, "a number in [0, 1]"));
        }
        if grams.len() != pool.tasks() {
            return Err(Error::shape("grams", [grams.len()], format!("[{}], one set an expert", pool.tasks())));
        }
        let mut merged = SimpleAverage.merge(pool)?;
        for (name, shape) in pool.layout().names().iter().zip(pool.layout().shapes()) {
            let of_layer: Vec<Mat<f64>> = grams.iter().filter_map(|grams| grams.get(name)).collect();
            if of_layer.is_empty() {
                continue;
            }
            if of_layer.len() != pool.tasks() {
                let problem = format!("{} of {} experts have its Gram matrix", of_layer.len(), pool.tasks());
                return Err(Error::data(format!("tensor {name:?}"), problem));
            }
            let weight = self.layer(pool, name, shape, &of_layer)?;
            let values = merged.tensor_mut(name).unwrap_or_default();
            for (row, values) in values.chunks_mut(weight.ncols().max(1)).enumerate() {
                values.iter_mut().enumerate().for_each(|(column, value)| *value = weight[(row, column)] as f32);
            }
        }
        Ok(merged)
    }

    fn layer(&self, pool: &Pool, name: &str, shape: &[usize], grams: &[Mat<f64>]) -> Result<Mat<f64>> {
        let &[inputs, outputs] = shape else {
            return Err(Error::shape(format!("tensor {name:?}"), shape, "[in, out], a linear weight"));
        };
        let (mut left, mut right) = (Mat::zeros(inputs, inputs), Mat::zeros(inputs, outputs));
        for (expert, gram) in pool.experts().iter().zip(grams) {
            if (gram.nrows(), gram.ncols()) != (inputs, inputs) {
                let found = [gram.nrows(), gram.ncols()];
                return Err(Error::shape(
                    format!("the Gram matrix of {name:?}"),
                    found,
                    format!("[{inputs}, {inputs}]"),
                ));
            }
            let factor = |i, j| if i == j { 1.0 } else { self.off_diagonal };
            let gram = Mat::from_fn(inputs, inputs, |i, j| gram[(i, j)] * factor(i, j));
            let weight = MatRef::from_row_major_slice(expert.tensor(name).unwrap_or_default(), inputs, outputs);
            right += &gram * Mat::from_fn(inputs, outputs, |i, j| f64::from(weight[(i, j)]));
            left += gram;
        }
        spd::solve_jittered(left.as_ref(), right.as_ref(), self.jitter).map_err(|fault| match fault {
            Error::Rank { argument, found, wanted } => {
                Error::Rank { argument: format!("{argument} of {name:?}, summed over the experts"), found, wanted }
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use consilience_core::{Seed, Silent};
    use consilience_nn::backbones::MlpConfig;
    use faer::mat;

    use super::*;
    use crate::library::testing::matrix;

    fn weight(gram: Mat<f64>) -> Grams {
        Grams::given([("weight".to_owned(), gram)])
    }

    fn example() -> Pool {
        let experts = vec![matrix(2, &[1.0, 0.0, 0.0, 1.0]), matrix(2, &[0.0, 1.0, 1.0, 0.0])];
        Pool::new(matrix(2, &[0.0; 4]), experts).unwrap()
    }

    #[test]
    fn known_merges() {
        let grams = [weight(mat![[2.0, 0.5], [0.5, 1.0]]), weight(mat![[1.0, 0.0], [0.0, 3.0]])];
        for (off_diagonal, wanted) in [
            (1.0, [0.5319149, 0.4680851, 0.80851064, 0.19148936]),
            (0.9, [0.5465141, 0.4534859, 0.80101716, 0.19898284]),
        ] {
            let merged = RegMean { off_diagonal, ..Default::default() }.merge(&example(), &grams).unwrap();
            for (found, wanted) in merged.values().iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-6, "{off_diagonal}: {:?}", merged.values());
            }
        }
    }

    #[test]
    fn equal_grams_give_the_average_and_one_expert_itself() {
        let gram = || weight(mat![[2.0, 0.5], [0.5, 1.0]]);
        let merged = RegMean::default().merge(&example(), &[gram(), gram()]).unwrap();
        assert!(merged.values().iter().all(|value| (value - 0.5).abs() < 1e-5), "{:?}", merged.values());
        let expert = [3.0, -1.0, 0.5, 2.0];
        let one = Pool::new(matrix(2, &[0.0; 4]), vec![matrix(2, &expert)]).unwrap();
        let merged = RegMean::default().merge(&one, &[gram()]).unwrap();
        assert!(merged.values().iter().zip(expert).all(|(a, b)| (a - b).abs() < 1e-4), "{:?}", merged.values());
    }

    #[test]
    fn bad_input_is_refused() {
        let gram = || weight(mat![[2.0, 0.5], [0.5, 1.0]]);
        let refused = |grams: &[Grams]| RegMean::default().merge(&example(), grams).unwrap_err();
        assert!(matches!(refused(&[gram()]), Error::Shape { .. }));
        assert!(matches!(refused(&[gram(), weight(Mat::zeros(3, 3))]), Error::Shape { .. }));
        assert!(matches!(refused(&[gram(), Grams::default()]), Error::Data { .. }));
        let zero = || weight(Mat::zeros(2, 2));
        assert!(matches!(refused(&[zero(), zero()]), Error::Rank { .. }));
    }

    #[test]
    fn grams_are_means_over_rows() {
        let net = MlpConfig::new(vec![2, 3, 2]).init(Seed(0), &Device::flex()).unwrap();
        let rows = |values: [[f32; 2]; 2]| Tensor::<2>::from_floats(values, &Device::flex());
        let batches = [rows([[1.0, 2.0], [3.0, 4.0]]), rows([[0.0, 1.0], [1.0, 0.0]])];
        let grams = Grams::of(&net, batches, &Silent).unwrap();
        let found = grams.get("layers.0.weight").unwrap();
        let wanted = mat![[11.0, 14.0], [14.0, 21.0]];
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert!((found[(i, j)] - wanted[(i, j)] / 4.0).abs() < 1e-6);
        }
        assert_eq!(grams.get("layers.1.weight").unwrap().nrows(), 3);
        assert!(Grams::of(&net, [], &Silent).is_err());
    }
}
