use consilience_core::Seed;

use super::*;

/// Logits that, with the noise that `mask` draws for a tensor of three entries, give the mask of `x` with noise `u`.
fn logits_for(seed: Seed, number: u64, u: &[f32], x: &[f32]) -> Vec<f32> {
    let mut drawn = vec![0.0; u.len()];
    seed.nth(number).philox().uniforms(0, 0, &mut drawn);
    let logit = |u: f32| (f64::from(u) / (1.0 - f64::from(u))).ln();
    drawn.iter().zip(u).zip(x).map(|((d, u), x)| (logit(*u) + f64::from(*x) - logit(*d)) as f32).collect()
}

#[test]
fn moments_of_the_draws() {
    let len = 1_000_000;
    let mask = ConcreteMask::new(vec![len], 0.5, Seed(3)).unwrap();
    for (x, mean, variance) in [(0.0, 0.5, 0.142699), (1.0, 0.703148, 0.117937)] {
        let mut out = vec![0.0; len];
        let means = mask.rescaled(Draw::random(0), &vec![x; len], &mut out).unwrap();
        assert!((means[0] - mean).abs() < 3e-3, "{}", means[0]);
        let spread: f64 = out.iter().map(|v| (f64::from(*v) * means[0] - means[0]).powi(2)).sum::<f64>() / len as f64;
        assert!((spread - variance).abs() < 3e-3, "{spread}");
    }
    let mut out = vec![0.0; len];
    let draw = Draw { choice: MaskChoice::Binary, number: 0 };
    let means = mask.rescaled(draw, &vec![1.0; len], &mut out).unwrap();
    assert!((means[0] - 0.731059).abs() < 3e-3, "P(m > 1/2) = sigmoid(x), got {}", means[0]);
}

#[test]
fn rescaled_masks_have_mean_one() {
    let sizes = vec![100, 40_000, 7];
    let total = sizes.iter().sum();
    let mask = ConcreteMask::new(sizes.clone(), 0.5, Seed(1)).unwrap();
    for choice in [MaskChoice::Random, MaskChoice::Binary, MaskChoice::Deterministic] {
        let mut out = vec![0.0; total];
        mask.rescaled(Draw { choice, number: 4 }, &vec![0.3; total], &mut out).unwrap();
        let mut start = 0;
        for size in &sizes {
            let mean = out[start..start + size].iter().map(|v| f64::from(*v)).sum::<f64>() / *size as f64;
            assert!((mean - 1.0).abs() < 1e-6, "{choice:?}: {mean}");
            start += size;
        }
    }
}

const U: [f32; 3] = [0.3, 0.6, 0.8];
const X: [f32; 3] = [0.2, -0.1, 0.4];
const G: [f32; 3] = [1.0, -0.5, 2.0];
/// 0.3 times the sum of (1, -2, 0.5) and (0.3, 0.7, -1).
const DIRECTION: [f32; 3] = [0.39, -0.39, -0.15];

#[test]
fn known_merge_and_gradient() {
    let seed = Seed(11);
    let mask = ConcreteMask::new(vec![3], 0.5, seed).unwrap();
    let logits = logits_for(seed, 5, &U, &X);
    let mut theta = [0.0; 3];
    let means = mask.merge(Draw::random(5), &logits, &[0.0; 3], &DIRECTION, &mut theta).unwrap();
    let m = [0.21507595, 0.64815297, 0.97268406];
    assert!((means[0] - m.iter().sum::<f64>() / 3.0).abs() < 1e-6);
    for (found, wanted) in theta.iter().zip([0.1370647, -0.41305823, -0.23841426]) {
        assert!((found - wanted).abs() < 1e-6, "{theta:?}");
    }
    let mut slope = [0.0; 3];
    mask.logit_gradient(5, &logits, &means, &G, &DIRECTION, &mut slope).unwrap();
    for (found, wanted) in slope.iter().zip([0.2396735, 0.1784332, -0.0221936]) {
        assert!((found - wanted).abs() < 1e-6, "{slope:?}");
    }
    // The derivatives with respect to the weights of both task vectors, from the definition.
    let tasks: [&[f32]; 2] = [&[1.0, -2.0, 0.5], &[0.3, 0.7, -1.0]];
    let found = mask.weight_gradients(Draw::random(5), &logits, &means, &G, &tasks).unwrap();
    for (found, task) in found.iter().zip(tasks) {
        let mean = m.iter().sum::<f64>() / 3.0;
        let wanted: f64 = (0..3).map(|i| f64::from(G[i] * task[i]) * m[i] / mean).sum();
        assert!((found[0] - wanted).abs() < 1e-6, "{found:?} {wanted}");
    }
}

#[test]
fn the_step_follows_the_gradient_on_several_tensors() {
    let sizes = vec![700, 20_000, 1];
    let total: usize = sizes.iter().sum();
    let mask = ConcreteMask::new(sizes, 0.5, Seed(2)).unwrap();
    let wave = |scale: f32, i: usize| (i as f32 * scale).sin();
    let logits: Vec<f32> = (0..total).map(|i| wave(0.7, i)).collect();
    let gradient: Vec<f32> = (0..total).map(|i| wave(0.3, i) + 0.1).collect();
    let direction: Vec<f32> = (0..total).map(|i| wave(1.1, i)).collect();
    let base = vec![0.0; total];
    let mut theta = vec![0.0; total];
    let means = mask.merge(Draw::random(9), &logits, &base, &direction, &mut theta).unwrap();
    let mut slope = vec![0.0; total];
    mask.logit_gradient(9, &logits, &means, &gradient, &direction, &mut slope).unwrap();
    // Along the slope itself, the loss <gradient, theta> changes by its squared length.
    let loss = |logits: &[f32]| {
        let mut theta = vec![0.0; total];
        mask.merge(Draw::random(9), logits, &base, &direction, &mut theta).unwrap();
        theta.iter().zip(&gradient).map(|(t, g)| f64::from(*t) * f64::from(*g)).sum::<f64>()
    };
    let moved = |h: f32| loss(&logits.iter().zip(&slope).map(|(x, s)| x + h * s).collect::<Vec<_>>());
    let length: f64 = slope.iter().map(|s| f64::from(*s).powi(2)).sum();
    let numeric = (moved(0.02) - moved(-0.02)) / 0.04;
    assert!((numeric - length).abs() < 2e-3 * length, "{numeric} {length}");

    let mut by_step = logits.clone();
    let adam = Adam::with_rate(0.01);
    let mut moments = Moments::zeros(total);
    mask.step(9, &mut by_step, &means, &gradient, &direction, (&adam, &mut moments)).unwrap();
    let mut by_hand = logits;
    Moments::zeros(total).step(&adam, &mut by_hand, &slope);
    assert_eq!(by_step, by_hand);
}

#[test]
fn a_constant_mask_leaves_the_direction_as_it_is() {
    let mask = ConcreteMask::new(vec![5, 4], 0.5, Seed(0)).unwrap();
    let direction: Vec<f32> = (0..9).map(|i| 0.1 * i as f32 - 0.3).collect();
    let base = vec![1.0; 9];
    for (choice, x) in [(MaskChoice::Deterministic, 0.4), (MaskChoice::Random, 60.0), (MaskChoice::Binary, 60.0)] {
        let mut out = vec![0.0; 9];
        mask.merge(Draw { choice, number: 1 }, &[x; 9], &base, &direction, &mut out).unwrap();
        for ((out, base), direction) in out.iter().zip(&base).zip(&direction) {
            assert!((out - (base + direction)).abs() < 3e-7, "{choice:?}");
        }
    }
}

#[test]
fn draws_do_not_depend_on_the_number_of_threads() {
    let sizes = vec![50_000, 3, 30_001];
    let total: usize = sizes.iter().sum();
    let mask = ConcreteMask::new(sizes, 0.5, Seed(7)).unwrap();
    let logits: Vec<f32> = (0..total).map(|i| (i as f32).cos()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut out, mut x) = (vec![0.0; total], logits.clone());
            let means = mask.merge(Draw::random(3), &x, &logits, &logits, &mut out).unwrap();
            let mut moments = Moments::zeros(total);
            mask.step(3, &mut x, &means, &out, &logits, (&Adam::default(), &mut moments)).unwrap();
            (out, means, x)
        })
    };
    assert_eq!(run(1), run(3));
    let mut other = vec![0.0; total];
    mask.rescaled(Draw::random(4), &logits, &mut other).unwrap();
    let mut same = vec![0.0; total];
    mask.rescaled(Draw::random(3), &logits, &mut same).unwrap();
    assert_ne!(other, same, "draws of different numbers differ");
}

#[test]
fn bad_input_is_refused() {
    for temperature in [0.0, -1.0, f64::NAN] {
        assert!(matches!(ConcreteMask::new(vec![1], temperature, Seed(0)), Err(Error::Parameter { .. })));
    }
    let mask = ConcreteMask::new(vec![2, 1], 0.5, Seed(0)).unwrap();
    let mut out = [0.0; 3];
    let message = mask.merge(Draw::random(0), &[0.0; 2], &[0.0; 3], &[0.0; 3], &mut out).unwrap_err().to_string();
    assert_eq!(message, "logits: the shape is [2], wanted [3], one entry for each parameter");
    let message = mask.logit_gradient(0, &[0.0; 3], &[1.0], &[0.0; 3], &[0.0; 3], &mut out).unwrap_err().to_string();
    assert_eq!(message, "means: the shape is [1], wanted [2]");
}
