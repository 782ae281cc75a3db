//! The contrastive losses: between online prototypes, and between instances.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};
use consilience_nn::normalise_rows;

use crate::losses::matrix;

/// Added in logarithms and denominators of the instance losses.
const EPSILON: f64 = 1e-8;

/// The mean projection of each class present: prototypes `[k, d]`, not normalised, and their classes in rising order. Classes
/// without a sample have none.
pub fn prototypes(projections: Tensor<2>, labels: &[u32], device: &Device) -> (Tensor<2>, Vec<u32>) {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let mut average = vec![0.0_f32; classes.len() * labels.len()];
    for (row, class) in average.chunks_mut(labels.len().max(1)).zip(&classes) {
        let count = labels.iter().filter(|label| *label == class).count();
        for (entry, _) in row.iter_mut().zip(labels).filter(|(_, label)| *label == class) {
            *entry = 1.0 / count as f32;
        }
    }
    (matrix(average, labels.len(), device).matmul(projections), classes)
}

/// Online prototype equilibrium: with the 2k vectors of k classes in two views, normalised,
/// `-(1/2k) sum_a log(exp(a·pos / tau) / sum_{c != a} exp(a·c / tau))`, pos the other view of the same class. 0 for one class.
pub fn equilibrium(first: Tensor<2>, second: Tensor<2>, temperature: f32, device: &Device) -> Tensor<1> {
    let [k, _] = first.dims();
    let all = normalise_rows(Tensor::cat(vec![first, second], 0));
    let similarity = all.clone().matmul(all.transpose()).div_scalar(temperature);
    let itself = eye(2 * k, device);
    let log_p = activation::log_softmax(similarity.mask_fill(itself, -1e9), 1);
    let n = 2 * k;
    let mut other = vec![0.0_f32; n * n];
    for (a, row) in other.chunks_mut(n.max(1)).enumerate() {
        row.iter_mut().skip((a + k) % n.max(1)).take(1).for_each(|entry| *entry = 1.0);
    }
    (log_p * matrix(other, n, device)).sum().div_scalar(-(n as f32))
}

fn eye(n: usize, device: &Device) -> Tensor<2, Bool> {
    let mut values = vec![false; n * n];
    values.iter_mut().step_by(n + 1).for_each(|value| *value = true);
    Tensor::from_data(TensorData::new(values, [n, n]), device)
}

/// The similarities `lambda (z_a · hn_b + z_a · z_b)`: projections `z` (`[n, d]`, normalised) with themselves and with a slice of
/// the normalised features from `offset` on.
pub fn similarities(features: Tensor<2>, projections: Tensor<2>, offset: usize, lambda: f32) -> Tensor<2> {
    let [_, d] = projections.dims();
    let slice = normalise_rows(features).narrow(1, offset, d);
    let z = projections;
    (z.clone().matmul(slice.transpose()) + z.clone().matmul(z.transpose())).mul_scalar(lambda)
}

/// Minus the logarithm of the share of each pair: `l_ab = -log(E_ab / (sum_b E_ab + eps) + eps)`, `E = exp((s - rowmax) / T)`,
/// with a diagonal of zero where `without_diagonal`.
fn pair_losses(similarity: Tensor<2>, temperature: f32, without_diagonal: bool, device: &Device) -> Tensor<2> {
    let [n, _] = similarity.dims();
    let top = similarity.clone().detach().max_dim(1);
    let mut e = (similarity - top).div_scalar(temperature).exp();
    if without_diagonal {
        e = e.mask_fill(eye(n, device), 0.0);
    }
    let sum = e.clone().sum_dim(1).add_scalar(EPSILON);
    (e / sum).add_scalar(EPSILON).log().neg()
}

/// For each row the mean over the columns of the same label.
fn mean_of_same(losses: Tensor<2>, labels: &[f32], device: &Device) -> Tensor<2> {
    let n = labels.len();
    let mut weights = vec![0.0_f32; n * n];
    for (row, label) in weights.chunks_mut(n.max(1)).zip(labels) {
        let count = labels.iter().filter(|other| *other == label).count().max(1);
        for (entry, _) in row.iter_mut().zip(labels).filter(|(_, other)| *other == label) {
            *entry = 1.0 / count as f32;
        }
    }
    (losses * matrix(weights, n, device)).sum_dim(1)
}

/// Instance contrast on the new batch: `2/n sum_a mean_{b same label} l_ab + 1/n sum` over the pairs of views
/// (a, a + n/2), (a + n/2, a) of l. `labels` are those of all n rows, first views then second.
pub fn instance_new(similarity: Tensor<2>, labels: &[f32], temperature: f32, device: &Device) -> Tensor<1> {
    let n = labels.len();
    let losses = pair_losses(similarity, temperature, true, device);
    let same = mean_of_same(losses.clone(), labels, device).sum().mul_scalar(2.0 / n as f32);
    let mut pairs = vec![0.0_f32; n * n];
    for (a, row) in pairs.chunks_mut(n.max(1)).enumerate() {
        row.iter_mut().skip((a + n / 2) % n.max(1)).take(1).for_each(|entry| *entry = 1.0 / n as f32);
    }
    same + (losses * matrix(pairs, n, device)).sum()
}

/// Instance contrast on the replayed batch: `1/n sum_a mean_{b same label} l_ab`, the diagonal included.
pub fn instance_replayed(similarity: Tensor<2>, labels: &[f32], temperature: f32, device: &Device) -> Tensor<1> {
    let losses = pair_losses(similarity, temperature, false, device);
    mean_of_same(losses, labels, device).sum().div_scalar(labels.len().max(1) as f32)
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;
    use consilience_linalg::random;

    use super::*;
    use crate::model::read;

    fn value(tensor: Tensor<1>) -> f32 {
        read(tensor).unwrap()[0]
    }

    fn of(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let g = random::gaussian(rows, columns, Seed(seed));
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|at| g[at] as f32).collect()
    }

    #[test]
    fn orthonormal_prototypes_have_a_closed_form() {
        let device = Device::flex();
        for (k, tau, wanted) in [(1, 0.5, 0.0), (2, 0.5, 0.239_544_8), (10, 0.5, 1.234_318_2), (2, 0.07, 1.249_75e-6)] {
            let mut unit = vec![0.0; k * 12];
            (0..k).for_each(|i| unit[i * 12 + i] = 2.5);
            let p = matrix(unit, 12, &device);
            let found = value(equilibrium(p.clone(), p, tau, &device));
            assert!((found - wanted).abs() < 2e-6, "{k} {tau}: {found}");
        }
        // All the same: log(2k - 1).
        let same = matrix(vec![1.0; 4 * 5], 5, &device);
        assert!((value(equilibrium(same.clone(), same, 0.5, &device)) - 7.0_f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn views_and_labels_may_swap() {
        let device = Device::flex();
        let (a, b) = (matrix(of(4, 6, 1), 6, &device), matrix(of(4, 6, 2), 6, &device));
        let loss = |a: Tensor<2>, b: Tensor<2>| value(equilibrium(a, b, 0.5, &device));
        let plain = loss(a.clone(), b.clone());
        assert!((plain - loss(b.clone(), a.clone())).abs() < 1e-6);
        assert!((plain - loss(a.clone().flip([0]), b.clone().flip([0]))).abs() < 1e-6);
        let q = random::orthonormal(6, 6, Seed(3)).unwrap();
        let q: Vec<f32> = (0..36).map(|i| q[(i / 6, i % 6)] as f32).collect();
        let q = matrix(q, 6, &device);
        assert!((plain - loss(a.matmul(q.clone()), b.matmul(q))).abs() < 1e-5);
    }

    #[test]
    fn absent_classes_have_no_prototype() {
        let device = Device::flex();
        let (p, classes) = prototypes(matrix(vec![1.0, 0.0, 3.0, 0.0, 0.0, 5.0], 2, &device), &[7, 7, 2], &device);
        assert_eq!(classes, [2, 7]);
        assert_eq!(read(p).unwrap(), [0.0, 5.0, 2.0, 0.0]);
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Device::flex();
        let labels = [0.0, 1.0, 0.0, 1.0];
        let ope = |z: Tensor<2>| equilibrium(z.clone().narrow(0, 0, 2), z.narrow(0, 2, 2), 0.5, &device);
        let new = |z: Tensor<2>| {
            instance_new(
                similarities(z.clone(), normalise_rows(z.clone().narrow(1, 0, 3)), 1, 0.5),
                &labels,
                0.7,
                &device,
            )
        };
        let old = |z: Tensor<2>| {
            instance_replayed(
                similarities(z.clone(), normalise_rows(z.clone().narrow(1, 0, 3)), 1, 0.5),
                &labels,
                0.7,
                &device,
            )
        };
        let losses: [&dyn Fn(Tensor<2>) -> Tensor<1>; 3] = [&ope, &new, &old];
        let start = of(4, 5, 9);
        for loss in losses {
            let z = matrix(start.clone(), 5, &device.clone().autodiff()).require_grad();
            let mut gradients = loss(z.clone()).backward();
            let gradient = read(z.grad_remove(&mut gradients).unwrap()).unwrap();
            for i in 0..start.len() {
                let moved = |by: f32| {
                    let mut values = start.clone();
                    values[i] += by;
                    f64::from(value(loss(matrix(values, 5, &device))))
                };
                let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((difference - f64::from(gradient[i])).abs() < 2e-3, "{i}: {difference} {}", gradient[i]);
            }
        }
    }
}
