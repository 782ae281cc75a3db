//! What learned merges minimise.

use burn::tensor::Device;
use consilience_core::{Error, Result, Samples, Seed};
use consilience_nn::{Batch, Classifier, Parameters, mean_entropy, value_and_gradient};
use rand::seq::index;

/// Which of a step's two independent batches is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The only batch of most methods; the inner problem's batch of a bilevel one.
    First,
    /// The outer problem's batch.
    Second,
}

/// A function of the merged network's parameters whose gradient is known.
pub trait Objective {
    /// The value at `theta` and its gradient, on the batch that belongs to a step and part. The same arguments give the
    /// same answer.
    ///
    /// Fails with [`Error::NotFinite`] where the value is not finite, and as the network does.
    fn value_and_gradient(&self, theta: &Parameters, step: u64, part: Part) -> Result<(f32, Parameters)>;
}

/// The sum over tasks of the mean entropy of the predictions on one batch of unlabelled inputs of each task.
#[derive(Clone, Debug)]
pub struct EntropyObjective<M> {
    groups: Vec<Group<M>>,
    batch: usize,
    seed: Seed,
    device: Device,
}

/// Tasks with the same network, which go through it together.
#[derive(Clone, Debug)]
struct Group<M> {
    network: M,
    inputs: Vec<Samples>,
}

impl<M> EntropyObjective<M>
where
    M: Classifier,
    M::Input: Batch,
{
    /// One network a task: the same encoder with the task's own head (frozen, so not among the parameters), and the
    /// unlabelled inputs that it may learn from.
    ///
    /// Each step takes `batch` inputs of every task (16 is usual), drawn without replacement; fewer where a task has fewer.
    /// The networks run as they predict. Fails with [`Error::Data`] where there are no tasks, a task has no inputs or its
    /// network fewer than two logits (the entropy would be zero whatever the parameters), [`Error::Parameter`] on a batch of
    /// 0, [`Error::Shape`] or [`Error::NotFinite`].
    pub fn new(tasks: Vec<(M, Samples)>, batch: usize, seed: Seed) -> Result<Self> {
        let groups = tasks.into_iter().map(|(network, inputs)| Group { network, inputs: vec![inputs] });
        Self::of_groups(groups.collect(), batch, seed)
    }

    /// One network with one head for all tasks, whose batches go through it together: the same value, in less time.
    /// Errors as [`EntropyObjective::new`].
    pub fn shared(network: M, inputs: Vec<Samples>, batch: usize, seed: Seed) -> Result<Self> {
        if let Some(position) = inputs.iter().position(|samples| inputs[0].shape() != samples.shape()) {
            let wanted = format!("{:?}, as task 0", inputs[0].shape());
            return Err(Error::shape(format!("inputs of task {position}"), inputs[position].shape(), wanted));
        }
        Self::of_groups(vec![Group { network, inputs }], batch, seed)
    }

    fn of_groups(mut groups: Vec<Group<M>>, batch: usize, seed: Seed) -> Result<Self> {
        if batch == 0 {
            return Err(Error::parameter("batch", batch, "at least 1"));
        }
        if groups.iter().all(|group| group.inputs.is_empty()) {
            return Err(Error::data("tasks", "none, wanted at least one"));
        }
        let device = groups.iter().find_map(|group| group.network.devices().into_iter().next()).unwrap_or_default();
        let device = device.without_autodiff();
        let (mut batch, mut task) = (batch, 0);
        for group in &mut groups {
            group.network = group.network.valid();
            for samples in &group.inputs {
                let name = format!("inputs of task {task}");
                let Some(row) = samples.row(0) else {
                    return Err(Error::data(name, "none, wanted at least one unlabelled input"));
                };
                samples.check_finite(&name)?;
                group.network.check_example(samples.shape())?;
                let input = M::Input::from_values(row.to_vec(), samples.shape(), &device)?;
                let [_, classes] = group.network.logits(input).dims();
                if classes < 2 {
                    let problem =
                        format!("its network has {classes} logits, so the entropy is 0 whatever the parameters");
                    return Err(Error::data(format!("task {task}"), problem));
                }
                batch = batch.min(samples.len());
                task += 1;
            }
        }
        Ok(Self { groups, batch, seed, device })
    }
}

impl<M> Objective for EntropyObjective<M>
where
    M: Classifier,
    M::Input: Batch,
{
    fn value_and_gradient(&self, theta: &Parameters, step: u64, part: Part) -> Result<(f32, Parameters)> {
        let seed = self.seed.derive(if part == Part::First { "first" } else { "second" }).nth(step);
        let mut sum: Option<(f32, Parameters)> = None;
        let mut task = 0;
        for group in &self.groups {
            let mut values = Vec::new();
            for samples in &group.inputs {
                let mut rng = seed.nth(task).rng();
                for row in index::sample(&mut rng, samples.len(), self.batch) {
                    values.extend_from_slice(samples.row(row).unwrap_or_default());
                }
                task += 1;
            }
            let shape = group.inputs.first().map_or(&[][..], |samples| samples.shape());
            let input = M::Input::from_values(values, shape, &self.device)?;
            // All tasks have as many rows, so the sum of their means is a multiple of the mean over all rows.
            let tasks = group.inputs.len() as f32;
            let loss = |network: &M| mean_entropy(network.logits(input)).mul_scalar(tasks);
            let (value, gradient) = value_and_gradient(&group.network, theta, loss)?;
            match &mut sum {
                None => sum = Some((value, gradient)),
                Some((total, gradients)) => {
                    *total += value;
                    gradients.add_scaled(&gradient, 1.0)?;
                }
            }
        }
        let (value, gradient) = sum.ok_or_else(|| Error::data("tasks", "none, wanted at least one"))?;
        match value.is_finite() {
            true => Ok((value, gradient)),
            false => Err(Error::NotFinite {
                argument: "the entropy of the merged network's predictions".into(),
                found: value.to_string(),
                position: format!("step {step}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use consilience_nn::FrozenHead;
    use consilience_nn::Network;
    use consilience_nn::backbones::{Mlp, MlpConfig};

    use super::*;

    type Net = Network<Mlp, FrozenHead>;

    fn network(classes: usize, head: u64) -> Net {
        let device = Device::flex();
        let encoder = MlpConfig::new(vec![4, 6, 5]).init(Seed(1), &device).unwrap();
        Network::new(encoder, FrozenHead::random(5, classes, 10.0, Seed(head), &device).unwrap()).unwrap()
    }

    fn inputs(rows: usize, seed: u64) -> Samples {
        let mut values = vec![0.0; 4 * rows];
        Seed(seed).philox().uniforms(0, 0, &mut values);
        Samples::new(values, &[4]).unwrap()
    }

    #[test]
    fn known_entropy() {
        let device = Device::flex().autodiff();
        let z = Tensor::<2>::from_floats([[0.0, 3.0_f32.ln()]], &device).require_grad();
        let h = mean_entropy(z.clone());
        assert!((h.clone().into_scalar::<f32>() - 0.562_335_1).abs() < 1e-6);
        let slope = z.grad(&h.backward()).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!((slope[0] - 0.2059898).abs() < 1e-6 && (slope[1] + 0.2059898).abs() < 1e-6, "{slope:?}");
    }

    #[test]
    fn together_and_apart_are_the_same() {
        let net = network(3, 2);
        let theta = Parameters::of(&net).unwrap();
        let tasks = [inputs(9, 1), inputs(20, 2)];
        let together = EntropyObjective::shared(net.clone(), tasks.to_vec(), 5, Seed(3)).unwrap();
        let apart = tasks.iter().map(|samples| (net.clone(), samples.clone())).collect();
        let apart = EntropyObjective::new(apart, 5, Seed(3)).unwrap();
        for part in [Part::First, Part::Second] {
            let (a, ga) = together.value_and_gradient(&theta, 7, part).unwrap();
            let (b, gb) = apart.value_and_gradient(&theta, 7, part).unwrap();
            assert!((a - b).abs() < 1e-5 && a > 0.0);
            assert!(ga.values().iter().zip(gb.values()).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let value = |step, part| together.value_and_gradient(&theta, step, part).unwrap().0;
        assert_eq!(value(7, Part::First), value(7, Part::First));
        assert_ne!(value(7, Part::First), value(7, Part::Second));
        assert_ne!(value(7, Part::First), value(8, Part::First));
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |tasks| EntropyObjective::new(tasks, 4, Seed(0)).unwrap_err().to_string();
        assert_eq!(refused(vec![]), "tasks: none, wanted at least one");
        let none = Samples::new(vec![], &[4]).unwrap();
        assert_eq!(
            refused(vec![(network(3, 0), inputs(3, 0)), (network(3, 0), none)]),
            "inputs of task 1: none, wanted at least one unlabelled input"
        );
        assert_eq!(
            refused(vec![(network(1, 0), inputs(3, 0))]),
            "task 0: its network has 1 logits, so the entropy is 0 whatever the parameters"
        );
        assert!(EntropyObjective::new(vec![(network(3, 0), inputs(3, 0))], 0, Seed(0)).is_err());
        let wide = Samples::new(vec![0.0; 5], &[5]).unwrap();
        assert!(EntropyObjective::new(vec![(network(3, 0), wide.clone())], 4, Seed(0)).is_err());
        assert!(EntropyObjective::shared(network(3, 0), vec![inputs(3, 0), wide], 4, Seed(0)).is_err());
    }
}
