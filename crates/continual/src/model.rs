//! A network in training: its parameters as one vector, the moments of its optimiser.

use burn::tensor::{Device, Tensor};
use consilience_core::{Error, Result, Samples};
use consilience_nn::{Batch, Kind, Logits, Parameters, value_and_gradient};
use serde::{Deserialize, Serialize};

use crate::learner::LabelledBatch;
use crate::network::Featured;
use crate::optimizer::{Moments, Optimisation};

/// Samples that go through a network together when it predicts.
const PREDICTED: usize = 1024;

/// A network, the point in parameter space where it stands, and its optimiser.
#[derive(Clone, Debug)]
pub struct Model<M> {
    module: M,
    theta: Parameters,
    initial: Parameters,
    moments: Moments,
    trainable: Option<Vec<bool>>,
    device: Device,
    /// How gradients become steps.
    pub optimisation: Optimisation,
}

/// What changes in a [`Model`] as it learns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelState {
    theta: Vec<f32>,
    moments: Moments,
}

impl<M: Featured> Model<M>
where
    M::Input: Batch,
{
    /// A model that starts at the parameters of `module`.
    ///
    /// # Errors
    /// Settings out of range; [`Error::Data`] for a network with running statistics (batch normalisation), which remember the
    /// last task only; use group or layer normalisation.
    pub fn new(module: M, optimisation: Optimisation) -> Result<Self> {
        optimisation.check()?;
        let theta = Parameters::of(&module)?;
        let layout = theta.layout();
        let buffers = layout.names().iter().zip(layout.kinds()).find(|(_, kind)| **kind == Kind::Buffer);
        if let Some((name, _)) = buffers {
            let problem = format!("tensor {name:?} is a running statistic");
            return Err(Error::data("network", problem)
                .with_help("continual learners take networks with group or layer normalisation, or none"));
        }
        let device = module.devices().into_iter().next().unwrap_or_default().without_autodiff();
        Ok(Self {
            initial: theta.clone(),
            module,
            theta,
            moments: Moments::new(),
            trainable: None,
            device,
            optimisation,
        })
    }

    /// Trains the parameters whose names `chosen` accepts, and no others.
    #[must_use]
    pub fn with_trainable(mut self, chosen: impl Fn(&str) -> bool) -> Self {
        self.trainable = Some(self.mask(chosen));
        self
    }

    /// Which entries belong to parameters whose names `chosen` accepts.
    pub fn mask(&self, chosen: impl Fn(&str) -> bool) -> Vec<bool> {
        let layout = self.theta.layout();
        let mut mask = Vec::with_capacity(layout.len());
        for (name, range) in layout.names().iter().zip(layout.ranges()) {
            mask.resize(range.end, chosen(name));
        }
        mask
    }

    /// The network; its own parameters are those that the model started from.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// Where the model stands.
    pub fn parameters(&self) -> &Parameters {
        &self.theta
    }

    /// Where the model stands, to be changed in place.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.theta
    }

    /// Goes back to the parameters that it started from, and forgets the optimiser's state.
    pub fn restart(&mut self) {
        self.theta = self.initial.clone();
        self.moments = Moments::new();
    }

    /// Forgets the optimiser's state.
    pub fn reset_optimiser(&mut self) {
        self.moments = Moments::new();
    }

    /// The network as it stands now.
    pub fn network(&self) -> Result<M> {
        self.theta.load_into(&self.module.valid())
    }

    /// The network at other parameters, such as a teacher's.
    pub fn network_at(&self, theta: &Parameters) -> Result<M> {
        theta.load_into(&self.module.valid())
    }

    /// Samples as the network takes them.
    pub fn input(&self, values: Vec<f32>, shape: &[usize]) -> Result<M::Input> {
        M::Input::from_values(values, shape, &self.device)
    }

    /// The device of its tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The value of a loss and its gradient where the model stands.
    pub fn gradient(&self, loss: impl FnOnce(&M) -> Result<Tensor<1>>) -> Result<(f32, Parameters)> {
        self.gradient_at(&self.theta, loss)
    }

    /// The value of a loss and its gradient at `theta`.
    pub fn gradient_at(
        &self,
        theta: &Parameters,
        loss: impl FnOnce(&M) -> Result<Tensor<1>>,
    ) -> Result<(f32, Parameters)> {
        let mut fault = None;
        let found = value_and_gradient(&self.module, theta, |network| match loss(network) {
            Ok(loss) => loss,
            Err(error) => {
                fault = Some(error);
                Tensor::zeros([1], &self.device)
            }
        });
        match fault {
            Some(error) => Err(error),
            None => found,
        }
    }

    /// One step by `gradient`, at the rate of `batch`'s epoch.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the gradient is not finite; the parameters then stay.
    pub fn step(&mut self, mut gradient: Parameters, batch: &LabelledBatch<'_>) -> Result<()> {
        let epochs = batch.place.steps.div_ceil(batch.place.steps_per_epoch.max(1));
        let rate = self.optimisation.learning_rate * self.optimisation.rate.factor(batch.epoch(), epochs);
        self.step_at(&mut gradient, rate)
    }

    /// One step by `gradient` at the learning rate `rate`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the gradient is not finite; the parameters then stay.
    pub fn step_at(&mut self, gradient: &mut Parameters, rate: f64) -> Result<()> {
        gradient.check_finite().map_err(|error| match error {
            Error::NotFinite { argument, found, position } => {
                Error::NotFinite { argument: format!("gradient of {argument}"), found, position }
            }
            other => other,
        })?;
        let trainable = self.trainable.as_deref();
        self.moments.step(&self.optimisation, rate, self.theta.values_mut(), gradient.values_mut(), trainable);
        Ok(())
    }

    /// The logits of samples, as the network predicts.
    pub fn logits(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        self.logits_at(&self.theta, values, shape)
    }

    /// The logits of samples at other parameters.
    pub fn logits_at(&self, theta: &Parameters, values: &[f32], shape: &[usize]) -> Result<Logits> {
        if values.is_empty() {
            return Ok(Logits { values: Vec::new(), classes: 1 });
        }
        let samples = Samples::new(values.to_vec(), shape)?;
        consilience_nn::logits(&self.network_at(theta)?, &samples, PREDICTED)
    }

    /// The features of samples where the model stands, row-major `[count, width]`.
    pub fn features(&self, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)> {
        features_of(&self.network()?, &self.device, values, shape)
    }

    /// The features of samples at other parameters.
    pub fn features_at(&self, theta: &Parameters, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)> {
        features_of(&self.network_at(theta)?, &self.device, values, shape)
    }

    /// What changes as the model learns.
    pub fn state(&self) -> ModelState {
        ModelState { theta: self.theta.values().to_vec(), moments: self.moments.clone() }
    }

    /// Takes a state back.
    ///
    /// # Errors
    /// [`Error::Shape`] where it belongs to a network of another size, [`Error::NotFinite`].
    pub fn restore(&mut self, state: ModelState) -> Result<()> {
        if !state.moments.fits(state.theta.len()) {
            return Err(Error::data("saved learner", "its optimiser does not belong to its network"));
        }
        let theta = Parameters::new(self.theta.layout().clone(), state.theta)?;
        theta.check_finite()?;
        self.theta = theta;
        self.moments = state.moments;
        Ok(())
    }

    /// Parameters of this network from their values, as a saved teacher or anchor has them.
    pub fn parameters_from(&self, values: Vec<f32>) -> Result<Parameters> {
        Parameters::new(self.theta.layout().clone(), values)
    }
}

/// The features of samples under `network`, row-major, and their width.
pub(crate) fn features_of<M: Featured>(
    network: &M,
    device: &Device,
    values: &[f32],
    shape: &[usize],
) -> Result<(Vec<f32>, usize)>
where
    M::Input: Batch,
{
    network.check_example(shape)?;
    let size: usize = shape.iter().product();
    let (mut features, mut width) = (Vec::new(), 0);
    for part in values.chunks(PREDICTED * size.max(1)) {
        let out = network.features(M::Input::from_values(part.to_vec(), shape, device)?);
        [_, width] = out.dims();
        features.extend_from_slice(&read(out)?);
    }
    match features.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::NotFinite {
            argument: "features".into(),
            found: features.get(at).copied().unwrap_or(f32::NAN).to_string(),
            position: format!("sample {}, feature {}", at / width.max(1), at % width.max(1)),
        }),
        None => Ok((features, width)),
    }
}

/// The values of a tensor, row-major.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.into_data().convert::<f32>();
    data.try_to_vec().map_err(|problem| Error::data("tensor", format!("cannot be read: {problem:?}")))
}
