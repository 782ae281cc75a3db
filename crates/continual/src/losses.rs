//! Losses over the outputs in use: cross-entropy, binary cross-entropy with soft targets, masked and distilled forms.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use consilience_nn::cross_entropy;
use serde::{Deserialize, Serialize};

use crate::learner::Place;
use crate::stream::HeadMode;

/// What a masked logit is set to: its softmax is exactly 0, and so is its gradient.
const MASKED: f32 = -1e9;

/// The loss on labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassLoss {
    /// The cross-entropy of the softmax over the outputs in use.
    #[default]
    CrossEntropy,
    /// The binary cross-entropy, averaged over samples and outputs in use.
    Binary,
    /// The cross-entropy of the softmax over the classes that the batch has a label of (group masking, Lesort et al., 2023).
    Grouped,
}

/// Labels `[batch]` as a tensor.
pub fn labels(labels: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = labels.iter().map(|label| i64::from(*label)).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// A matrix of values as a tensor.
pub fn matrix(values: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / columns.max(1);
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// The logits among which each sample's class competes: the outputs in use (all, with a whole head), and for a head by task those of the task that the
/// sample's label belongs to (the others come down to −1e9).
pub fn competing(logits: Tensor<2>, labels: &[u32], place: &Place, device: &Device) -> Tensor<2> {
    let [_, outputs] = logits.dims();
    let valid = if place.whole_head { outputs } else { place.valid };
    let logits = if valid < outputs { logits.narrow(1, 0, valid) } else { logits };
    if place.head != HeadMode::Task {
        return logits;
    }
    let task = |class: usize| place.task_of_class.get(class).copied().flatten();
    let mut mask = Vec::with_capacity(labels.len() * valid);
    for label in labels {
        let own = task(*label as usize);
        mask.extend((0..valid).map(|class| if task(class) == own { 0.0 } else { MASKED }));
    }
    logits + matrix(mask, valid, device)
}

/// The loss of `logits` (`[batch, outputs]`) on labels, a mean over the batch.
pub fn classification(loss: ClassLoss, logits: Tensor<2>, of: &[u32], place: &Place, device: &Device) -> Tensor<1> {
    let logits = competing(logits, of, place, device);
    match loss {
        ClassLoss::CrossEntropy => cross_entropy(logits, labels(of, device)),
        ClassLoss::Grouped => cross_entropy(grouped(logits, of, device), labels(of, device)),
        ClassLoss::Binary => {
            let [_, columns] = logits.dims();
            binary(logits, matrix(one_hot(of, columns), columns, device))
        }
    }
}

/// Logits with those of classes that `labels` does not have set to −1e9.
pub fn grouped(logits: Tensor<2>, labels: &[u32], device: &Device) -> Tensor<2> {
    let [_, outputs] = logits.dims();
    let mut mask = vec![MASKED; outputs];
    for label in labels {
        if let Some(entry) = mask.get_mut(*label as usize) {
            *entry = 0.0;
        }
    }
    // Added to, a large logit would still be left with a little; a masked one is replaced.
    let keep: Vec<f32> = mask.iter().map(|m| if *m == 0.0 { 1.0 } else { 0.0 }).collect();
    logits * matrix(keep, outputs, device) + matrix(mask, outputs, device)
}

/// One-hot rows, row-major.
pub fn one_hot(labels: &[u32], columns: usize) -> Vec<f32> {
    let mut rows = vec![0.0; labels.len() * columns];
    for (row, label) in rows.chunks_mut(columns.max(1)).zip(labels) {
        if let Some(entry) = row.get_mut(*label as usize) {
            *entry = 1.0;
        }
    }
    rows
}

/// The binary cross-entropy of logits s and targets T in [0, 1], `log(1 + exp(s)) - s T`, averaged over all entries; stable for
/// logits of any size.
pub fn binary(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    // The softplus by way of the log-sigmoid, whose derivative is right at 0 too, where those of max and |s| are not.
    (activation::log_sigmoid(logits.clone().neg()).neg() - logits * targets).mean()
}

/// The distillation `-mean_x sum_k softmax(teacher / T)_k log softmax(student / T)_k`, without a factor T².
pub fn distillation(student: Tensor<2>, teacher: Tensor<2>, temperature: f32) -> Tensor<1> {
    let target = activation::softmax(teacher.div_scalar(temperature), 1);
    let log_p = activation::log_softmax(student.div_scalar(temperature), 1);
    (target * log_p).sum_dim(1).mean().neg()
}

/// The divergence `KL(softmax(teacher / T) || softmax(student / T))`, averaged over the batch: [`distillation`] less the
/// teacher's entropy, so that it is 0 where the two agree.
pub fn divergence(student: Tensor<2>, teacher: Tensor<2>, temperature: f32) -> Tensor<1> {
    let log_q = activation::log_softmax(teacher.clone().div_scalar(temperature), 1);
    let entropy = (log_q.clone().exp() * log_q).sum_dim(1).mean();
    distillation(student, teacher, temperature) + entropy
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::model::read;

    fn place(valid: usize, head: HeadMode) -> Place {
        Place {
            task: 0,
            tasks: 2,
            classes: vec![0, 1],
            known: 0,
            valid,
            outputs: 4,
            whole_head: false,
            head,
            task_of_class: vec![Some(0), Some(0), Some(1), Some(1)],
            steps: 1,
            steps_per_epoch: 1,
        }
    }

    fn value_and_gradient(logits: &[f32], columns: usize, f: impl Fn(Tensor<2>) -> Tensor<1>) -> (f32, Vec<f32>) {
        let device = Device::flex();
        let x = matrix(logits.to_vec(), columns, &device.clone().autodiff()).require_grad();
        let loss = f(x.clone());
        let mut gradients = loss.backward();
        let gradient = x.grad_remove(&mut gradients).map(|g| read(g).unwrap()).unwrap_or_default();
        (read(loss).unwrap()[0], gradient)
    }

    #[test]
    fn predicted_targets_with_binary_cross_entropy() {
        // The old part of the target is the teacher's probability, the new class is the label.
        let device = Device::flex();
        let sigmoid = |s: f32| 1.0 / (1.0 + (-s).exp());
        let targets = vec![sigmoid(1.0), sigmoid(0.0), 1.0];
        let (loss, gradient) =
            value_and_gradient(&[2.0, -1.0, 0.5], 3, |s| binary(s, matrix(targets.clone(), 3, &device)));
        assert!((loss - 0.650_716_5).abs() < 1e-6, "{loss}");
        let wanted = [0.049_912_8, -0.077_019_5, -0.125_846_9];
        assert!(gradient.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-6), "{gradient:?}");
    }

    #[test]
    fn masking_by_group() {
        let device = Device::flex();
        let place = place(3, HeadMode::Shared);
        let loss = |loss, labels: &'static [u32], logits: &[f32]| {
            let (device, place) = (device.clone(), place.clone());
            value_and_gradient(logits, 3, move |x| classification(loss, x, labels, &place, &device))
        };
        let logits = [2.0, 0.0, -1.0, 2.0, 0.0, -1.0];
        let (masked, gradient) = loss(ClassLoss::Grouped, &[0, 1], &logits);
        let (first, second) = ((1.0_f32 + (-2.0_f32).exp()).ln(), 2.126_928);
        assert!((masked - (first + second) / 2.0).abs() < 1e-6, "{masked}");
        assert_eq!((gradient[2], gradient[5]), (0.0, 0.0));
        let (plain, _) = loss(ClassLoss::CrossEntropy, &[1], &logits[..3]);
        assert!((plain - 2.169_846).abs() < 1e-6, "{plain}");
        let (single, gradient) = loss(ClassLoss::Grouped, &[1], &logits[..3]);
        assert!(single == 0.0 && gradient.iter().all(|g| *g == 0.0));
    }

    #[test]
    fn heads_by_task_leave_the_other_classes_out() {
        let device = Device::flex();
        let (_, gradient) = value_and_gradient(&[0.3, 0.1, 5.0, 5.0], 4, |x| {
            classification(ClassLoss::CrossEntropy, x, &[1], &place(4, HeadMode::Task), &device)
        });
        assert!(gradient[0] > 0.0 && gradient[2] == 0.0 && gradient[3] == 0.0, "{gradient:?}");
        let (_, gradient) = value_and_gradient(&[0.3, 0.1, 5.0, 5.0], 4, |x| {
            classification(ClassLoss::CrossEntropy, x, &[1], &place(2, HeadMode::Global), &device)
        });
        assert!(gradient[1] < 0.0 && gradient[2] == 0.0, "{gradient:?}");
    }

    #[test]
    fn distilling_an_equal_teacher() {
        let device = Device::flex();
        let teacher = [1.0, -0.5, 0.2];
        let (loss, gradient) =
            value_and_gradient(&teacher, 3, |x| distillation(x, matrix(teacher.to_vec(), 3, &device), 2.0));
        let exp: Vec<f32> = teacher.iter().map(|z| (z / 2.0).exp()).collect();
        let sum: f32 = exp.iter().sum();
        let entropy: f32 = exp.iter().map(|e| -(e / sum) * (e / sum).ln()).sum();
        assert!((loss - entropy).abs() < 1e-6);
        assert!(gradient.iter().all(|g| g.abs() < 1e-7), "{gradient:?}");
        // The gradient with respect to the student is (softmax(a / T) - softmax(b / T)) / (T B).
        let (_, gradient) =
            value_and_gradient(&[0.0, 0.0, 0.0], 3, |x| distillation(x, matrix(teacher.to_vec(), 3, &device), 2.0));
        for (g, e) in gradient.iter().zip(&exp) {
            assert!((g - (1.0 / 3.0 - e / sum) / 2.0).abs() < 1e-6);
        }
        let (zero, _) = value_and_gradient(&teacher, 3, |x| divergence(x, matrix(teacher.to_vec(), 3, &device), 2.0));
        assert!(zero.abs() < 1e-6);
    }
}
