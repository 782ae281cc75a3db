use consilience_core::Seed;
use consilience_linalg::random::gaussian;
use faer::mat;
use proptest::prelude::*;

use super::*;

fn settings(gamma: f64, mode: AnalyticMode) -> Analytic {
    Analytic { gamma, mode, ..Analytic::default() }
}

fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_max() / b.norm_max().max(f64::MIN_POSITIVE)
}

/// Joint ridge regression by plain normal equations.
fn joint(x: &Mat<f64>, labels: &[u32], classes: usize, gamma: f64) -> Mat<f64> {
    let y = Mat::from_fn(labels.len(), classes, |i, c| f64::from(labels[i] as usize == c));
    let mut a = x.transpose() * x;
    (0..x.ncols()).for_each(|i| a[(i, i)] += gamma);
    a.full_piv_lu().solve(&(x.transpose() * y))
}

#[test]
fn three_samples_by_hand() {
    let mut r = settings(0.5, AnalyticMode::Recursive).regression(2).unwrap();
    let near = |a: MatRef<'_, f64>, b: Mat<f64>| assert!((a.to_owned() - &b).norm_max() < 1e-7, "{a:?} {b:?}");
    r.update(mat![[1.0, 0.0]].as_ref(), &[0]).unwrap();
    near(r.inverse().unwrap(), mat![[0.6666667, 0.0], [0.0, 2.0]]);
    near(r.weights().unwrap().as_ref(), mat![[0.6666667], [0.0]]);
    r.update(mat![[1.0, 1.0]].as_ref(), &[1]).unwrap();
    near(r.inverse().unwrap(), mat![[0.5454545, -0.3636364], [-0.3636364, 0.9090909]]);
    near(r.weights().unwrap().as_ref(), mat![[0.5454545, 0.1818182], [-0.3636364, 0.5454545]]);
    r.update(mat![[0.0, 2.0]].as_ref(), &[0]).unwrap();
    near(r.inverse().unwrap(), mat![[0.4313725, -0.0784314], [-0.0784314, 0.1960784]]);
    near(r.weights().unwrap().as_ref(), mat![[0.2745098, 0.3529412], [0.3137255, 0.1176471]]);
    assert!(r.certificate().unwrap() < 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn order_and_batches_do_not_matter(n in 1_usize..60, m in 1_usize..12, batch in 1_usize..40, seed: u64) {
        let x = gaussian(n, m, Seed(seed));
        let labels: Vec<u32> = (0..n as u32).map(|i| (i * 7 + i / 3) % 4).collect();
        let classes = *labels.iter().max().unwrap() as usize + 1;
        let wanted = joint(&x, &labels, classes, 1.0);
        // Backwards, in batches of any size, larger than the number of features too.
        let order: Vec<usize> = (0..n).rev().collect();
        for mode in [AnalyticMode::Recursive, AnalyticMode::Normal] {
            let mut r = settings(1.0, mode).regression(m).unwrap();
            let mut trace = f64::INFINITY;
            for part in order.chunks(batch) {
                let rows = Mat::from_fn(part.len(), m, |i, j| x[(part[i], j)]);
                let part: Vec<u32> = part.iter().map(|i| labels[*i]).collect();
                r.update(rows.as_ref(), &part).unwrap();
                if let Some(inverse) = r.inverse() {
                    let now: f64 = (0..m).map(|i| inverse[(i, i)]).sum();
                    prop_assert!(now <= trace + 1e-12, "the trace of R must not rise");
                    trace = now;
                    prop_assert!((inverse - inverse.transpose()).norm_max() == 0.0);
                }
            }
            prop_assert!(distance(r.weights().unwrap(), &wanted) < 1e-9);
            prop_assert!(r.certificate().unwrap() < 1e-9);
            let mut back = Regression::load(&r.save().unwrap()).unwrap();
            let (a, b) = (r.scores(x.as_ref()).unwrap(), back.scores(x.as_ref()).unwrap());
            prop_assert!(a == b, "a regression read back predicts to the same bits");
        }
    }
}

#[test]
fn eigenvalues_of_r_lie_below_the_inverse_of_gamma() {
    let mut r = settings(0.25, AnalyticMode::Recursive).regression(6).unwrap();
    let x = gaussian(4, 6, Seed(2));
    r.update(x.as_ref(), &[0, 1, 1, 0]).unwrap();
    let eigen = consilience_linalg::spectral::symmetric_eigen(r.inverse().unwrap()).unwrap();
    assert!(eigen.values.iter().all(|v| *v > 0.0 && *v <= 4.0 + 1e-12), "{:?}", eigen.values);
}

#[test]
fn empty_and_repeated_batches() {
    let x = gaussian(9, 4, Seed(3));
    let labels = [0, 1, 2, 0, 1, 2, 0, 1, 2];
    let mut once = settings(1.0, AnalyticMode::Recursive).regression(4).unwrap();
    once.update(x.as_ref(), &labels).unwrap();
    let before = once.weights().unwrap().clone();
    once.update(Mat::zeros(0, 4).as_ref(), &[]).unwrap();
    assert_eq!(once.weights().unwrap(), &before);
    once.update(x.as_ref(), &labels).unwrap();
    let doubled = Mat::from_fn(18, 4, |i, j| x[(i % 9, j)]);
    let wanted = joint(&doubled, &[labels, labels].concat(), 3, 1.0);
    assert!(distance(once.weights().unwrap(), &wanted) < 1e-9);
}

#[test]
fn without_the_gain_only_disjoint_tasks_are_right() {
    let x = gaussian(20, 5, Seed(4));
    let run = |labels: &[u32], exposed_gain| {
        let settings = Analytic { exposed_gain, ..settings(1.0, AnalyticMode::Recursive) };
        let mut r = settings.regression(5).unwrap();
        r.update(x.subrows(0, 10), &labels[..10]).unwrap();
        r.begin_task();
        r.update(x.subrows(10, 10), &labels[10..]).unwrap();
        r.weights().unwrap().clone()
    };
    let disjoint: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) * 2 + i % 2).collect();
    assert_eq!(run(&disjoint, true), run(&disjoint, false), "the gain is zero");
    let mixed: Vec<u32> = (0..20).map(|i| i % 3).collect();
    assert!(distance(&run(&mixed, true), &joint(&x, &mixed, 3, 1.0)) < 1e-9);
    assert!(
        distance(&run(&mixed, false), &joint(&x, &mixed, 3, 1.0)) > 0.1,
        "ACIL drops the labels of exposed classes"
    );
}

#[test]
fn limits_and_balance() {
    let x = gaussian(40, 3, Seed(5));
    let labels: Vec<u32> = (0..40).map(|i| u32::from(i < 30)).collect();
    // A large ridge leaves C / gamma.
    let gamma = 1e6 * (x.transpose() * &x).norm_l2();
    let mut large = settings(gamma, AnalyticMode::Normal).regression(3).unwrap();
    large.update(x.as_ref(), &labels).unwrap();
    let c = joint(&x, &labels, 2, 0.0);
    let c = x.transpose() * &x * c;
    let scaled = Mat::from_fn(3, 2, |i, j| c[(i, j)] / gamma);
    assert!(distance(large.weights().unwrap(), &scaled) < 1e-3);
    // Balanced weights are those of plain ones on data in which the rare class is repeated, up to the ridge.
    let mut balanced = settings(1e-9, AnalyticMode::Balanced).regression(3).unwrap();
    balanced.update(x.as_ref(), &labels).unwrap();
    let rare: Vec<usize> = (30..40).collect();
    let rows: Vec<usize> = (0..40).chain(rare.iter().copied()).chain(rare.iter().copied()).collect();
    let repeated = Mat::from_fn(rows.len(), 3, |i, j| x[(rows[i], j)]);
    let repeated_labels: Vec<u32> = rows.iter().map(|i| labels[*i]).collect();
    assert!(distance(balanced.weights().unwrap(), &joint(&repeated, &repeated_labels, 2, 1e-9)) < 1e-7);
    // A permutation of the labels permutes the columns.
    let flipped: Vec<u32> = labels.iter().map(|l| 1 - l).collect();
    let (mut a, mut b) = (
        settings(1.0, AnalyticMode::Normal).regression(3).unwrap(),
        settings(1.0, AnalyticMode::Normal).regression(3).unwrap(),
    );
    a.update(x.as_ref(), &labels).unwrap();
    b.update(x.as_ref(), &flipped).unwrap();
    let (a, b) = (a.weights().unwrap(), b.weights().unwrap());
    assert!((0..3).all(|i| (a[(i, 0)] - b[(i, 1)]).abs() < 1e-14));
}

#[test]
fn misuse_is_refused() {
    assert_eq!(
        settings(0.0, AnalyticMode::Normal).regression(3).unwrap_err().to_string(),
        "gamma = 0, wanted a finite number above 0"
    );
    assert!(settings(1.0, AnalyticMode::Normal).regression(0).is_err());
    let limited = Analytic { memory_limit: 1000, ..settings(1.0, AnalyticMode::Normal) };
    assert!(limited.regression(12).unwrap_err().to_string().contains("12 x 12 takes 1152"));
    let mut r = settings(1.0, AnalyticMode::Recursive).regression(2).unwrap();
    assert!(r.weights().unwrap_err().to_string().contains("no class has been seen"));
    assert!(r.update(mat![[1.0, f64::NAN]].as_ref(), &[0]).is_err());
    assert!(r.update(mat![[1.0, 0.0]].as_ref(), &[0, 1]).is_err());
    assert!(r.update(mat![[1.0]].as_ref(), &[0]).is_err());
    r.update(mat![[1.0, 0.0]].as_ref(), &[0]).unwrap();
    assert!(r.scores(mat![[1.0]].as_ref()).is_err());
    let bytes = r.save().unwrap();
    assert!(Regression::load(&bytes[..bytes.len() - 3]).is_err() && Regression::load(b"hello").is_err());
}
