//! Entrywise errors of sketched least squares: dense sketches against sparse ones.
//!
//! The hard instance: A holds the rows of the identity, b is 1/√k on k other rows. Where a sparse sketch puts one of each
//! together, a coefficient is off by 1/√k, whereas a dense sketch spreads the error. e_∞ = √d ‖x' − x*‖_∞ / (‖r‖‖A†‖) and
//! e₂ = ‖x' − x*‖₂ / (‖r‖‖A†‖) are measured on ten draws a seed, and their medians recorded. On a matrix without structure
//! all sketches do equally well.

use std::time::Instant;

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::sketch::{Sketch, SketchKind};
use consilience_linalg::{random, spectral, tall};
use faer::{Mat, MatRef};

use crate::linf_regression::{EmbeddingTest, SketchSize, SketchedRegression, hard_instance};

const SRHT: &str = "SRHT";
const GAUSSIAN: &str = "Gaussian";
const COUNT: &str = "CountSketch";
const EXACT: &str = "exact, QR";
const SKETCHES: [(&str, SketchKind); 9] = [
    (SRHT, SketchKind::Srht),
    ("cosine", SketchKind::Cosine),
    (GAUSSIAN, SketchKind::Gaussian),
    ("signs", SketchKind::Rademacher),
    ("AMS, 4-wise signs", SketchKind::Ams),
    (COUNT, SketchKind::COUNT_SKETCH),
    ("OSNAP, 4 a column", SketchKind::SparseSign { nonzeros: 4 }),
    ("OSNAP, 16 a column", SketchKind::SparseSign { nonzeros: 16 }),
    ("OSNAP, 64 a column", SketchKind::SparseSign { nonzeros: 64 }),
];

const SMALL: &str = "e_inf, hard, d=64";
const LARGE: &str = "e_inf, hard, d=128";
const LENGTH_SMALL: &str = "e_2 over the mean of all, hard, d=64";
const LENGTH_LARGE: &str = "e_2 over the mean of all, hard, d=128";
const PLAIN: &str = "e_inf over the mean of all, Gaussian A";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "linf-regression",
    area: "solvers",
    summary: "Least squares on a dense sketch, with a bound for every single coefficient",
    paper: Paper {
        title: "A Nearly-Optimal Bound for Fast Regression with l_infinity Guarantee",
        year: 2023,
        arxiv: "2302.00248",
    },
    statement: "A dense sketch of about d/eps^2 rows keeps every coefficient within eps/sqrt(d) times residual and \
                pseudo-inverse, and a sparse sketch of that size does not.",
    remarks: "",
    seeds: 5,
    headline: SMALL,
    bars: &[
        Bar::value("SRHT meets the bound, d = 64", SMALL, SRHT).at_most(0.90).in_seeds(5, 5),
        Bar::value("SRHT meets the bound, d = 128", LARGE, SRHT).at_most(0.96).in_seeds(5, 5),
        Bar::value("CountSketch misses it, d = 64", SMALL, COUNT).at_least(0.90),
        Bar::value("CountSketch misses it, d = 128", LARGE, COUNT).at_least(0.96),
        Bar::ratio("CountSketch 1.8 times as far off, d = 64", SMALL, COUNT, SRHT).at_least(1.8).required(),
        Bar::ratio("CountSketch 2.2 times as far off, d = 128", LARGE, COUNT, SRHT).at_least(2.2).required(),
        Bar::value("SRHT hardly grows with d", "e_inf, d=128 over d=64", SRHT).at_most(1.35).required(),
        Bar::value("equal lengths of error, d = 64, least", "smallest", LENGTH_SMALL).at_least(0.75).required(),
        Bar::value("equal lengths of error, d = 64, largest", "largest", LENGTH_SMALL).at_most(1.25).required(),
        Bar::value("equal lengths of error, d = 128, least", "smallest", LENGTH_LARGE).at_least(0.75).required(),
        Bar::value("equal lengths of error, d = 128, largest", "largest", LENGTH_LARGE).at_most(1.25).required(),
        Bar::value("no separation without structure, least", "smallest", PLAIN).at_least(0.85).required(),
        Bar::value("no separation without structure, largest", "largest", PLAIN).at_most(1.15).required(),
        Bar::ratio("faster than QR", "seconds, n=131072 d=64 m=4096", EXACT, SRHT).at_least(2.0).reported(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let mut measured = Measurements::new();
    let draws = if scale == Scale::Full { 10 } else { 3 };
    let sizes = match scale {
        Scale::Full => [(4096, 64), (8192, 128)],
        Scale::Smoke => [(256, 8), (512, 16)],
    };
    for ((n, d), (metric, lengths)) in sizes.into_iter().zip([(SMALL, LENGTH_SMALL), (LARGE, LENGTH_LARGE)]) {
        let m = 16 * d;
        let problem = |draw: u64| hard_instance(n, d, 2 * m / d, seed.derive("hard").nth(draw));
        let medians = medians(m, draws, seed.derive(metric), &problem, progress)?;
        for (arm, [largest, length]) in &medians {
            measured.record(*arm, metric, *largest);
            measured.record(*arm, if d == sizes[0].1 { "e_2, hard, d=64" } else { "e_2, hard, d=128" }, *length);
        }
        spread(&mut measured, lengths, &medians.iter().map(|(_, [_, length])| *length).collect::<Vec<_>>());
    }
    for (arm, _) in SKETCHES {
        if let Some((large, small)) = measured.get(arm, LARGE).zip(measured.get(arm, SMALL)) {
            measured.record(arm, "e_inf, d=128 over d=64", large / small);
        }
    }
    let (n, d, m) = if scale == Scale::Full { (4096, 64, 512) } else { (256, 8, 64) };
    let problem = |draw: u64| {
        let own = seed.derive("plain").nth(draw);
        let b = random::gaussian(n, 1, own.derive("b"));
        Ok((random::orthonormal(n, d, own)?, b.col(0).iter().copied().collect()))
    };
    let medians = medians(m, draws, seed.derive("plain sketches"), &problem, progress)?;
    spread(&mut measured, PLAIN, &medians.iter().map(|(_, [largest, _])| *largest).collect::<Vec<_>>());
    for (arm, [largest, _]) in &medians {
        measured.record(*arm, "e_inf, Gaussian A", *largest);
    }
    embedding(&mut measured, scale, seed)?;
    speed(&mut measured, scale, seed)?;
    Ok(measured)
}

/// For each sketch the medians of e_∞ and e₂ over the draws.
fn medians(
    m: usize,
    draws: u64,
    seed: Seed,
    problem: &dyn Fn(u64) -> Result<(Mat<f64>, Vec<f64>)>,
    progress: &dyn Progress,
) -> Result<Vec<(&'static str, [f64; 2])>> {
    let mut errors = vec![(Vec::new(), Vec::new()); SKETCHES.len()];
    progress.begin("sketches", draws * SKETCHES.len() as u64, Unit::Steps);
    for draw in 0..draws {
        let (a, b) = problem(draw)?;
        let exact = tall::least_squares(a.as_ref(), &b)?;
        for ((arm, sketch), (largest, length)) in SKETCHES.iter().zip(&mut errors) {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let nonzeros_fit = !matches!(sketch, SketchKind::SparseSign { nonzeros } if *nonzeros > m);
            if nonzeros_fit {
                let own = seed.derive(arm).nth(draw);
                let [e_inf, e_2] = error(*sketch, m, own, a.as_ref(), &b, &exact)?;
                largest.push(e_inf);
                length.push(e_2);
            }
            progress.advance(1);
        }
    }
    progress.end();
    let named = SKETCHES.iter().zip(errors).map(|((arm, _), (e_inf, e_2))| (*arm, [median(e_inf), median(e_2)]));
    Ok(named.collect())
}

fn error(
    sketch: SketchKind,
    m: usize,
    seed: Seed,
    a: MatRef<'_, f64>,
    b: &[f64],
    exact: &tall::LeastSquares,
) -> Result<[f64; 2]> {
    let solver = SketchedRegression { sketch, size: SketchSize::Rows(m), seed, ..Default::default() };
    let differences: Vec<f64> = match solver.fit(a, b) {
        Ok(fit) => fit.x.iter().zip(&exact.x).map(|(x, e)| x - e).collect(),
        // Two rows of the identity on one line: as NumPy and SciPy do, the shortest of all solutions.
        Err(Error::Rank { .. }) => {
            let sketch = Sketch::new(sketch, m, a.nrows(), seed)?;
            let (sa, sb) = (sketch.apply(a)?, sketch.apply_vector(b)?);
            let x = shortest(sa.as_ref(), &sb)?;
            x.iter().zip(&exact.x).map(|(x, e)| x - e).collect()
        }
        Err(other) => return Err(other),
    };
    let unit = exact.residual_norm * exact.pseudo_inverse_norm();
    let largest = differences.iter().fold(0.0_f64, |most, e| most.max(e.abs()));
    let length = differences.iter().map(|e| e * e).sum::<f64>().sqrt();
    Ok([(a.ncols() as f64).sqrt() * largest / unit, length / unit])
}

/// The least-squares solution of least norm.
fn shortest(a: MatRef<'_, f64>, b: &[f64]) -> Result<Vec<f64>> {
    let svd = spectral::thin_svd(a)?;
    let mut x = vec![0.0; a.ncols()];
    for c in 0..svd.rank(1e-12) {
        let along: f64 = (0..a.nrows()).map(|i| svd.u[(i, c)] * b[i]).sum::<f64>() / svd.s[c];
        x.iter_mut().enumerate().for_each(|(j, x)| *x += along * svd.v[(j, c)]);
    }
    Ok(x)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => 0.5 * (values[middle - 1] + values[middle]),
        _ => values[middle],
    }
}

/// The smallest and the largest of what should be equal, over their mean.
fn spread(measured: &mut Measurements, what: &str, values: &[f64]) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (least, most) = values.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), v| (l.min(*v), m.max(*v)));
    measured.record(what, "smallest", least / mean).record(what, "largest", most / mean);
}

/// The property behind the theorem, on a pair of vectors of the hard instance.
fn embedding(measured: &mut Measurements, scale: Scale, seed: Seed) -> Result<()> {
    let (n, d, trials) = if scale == Scale::Full { (4096, 64, 200) } else { (256, 8, 10) };
    let (a, b) = hard_instance(n, d, 32, seed.derive("embedding"))?;
    let g: Vec<f64> = a.col(0).iter().copied().collect();
    for (arm, sketch) in [(SRHT, SketchKind::Srht), (COUNT, SketchKind::COUNT_SKETCH)] {
        let test = EmbeddingTest { sketch, rows: 16 * d, trials, seed: seed.derive("embedding sketches") };
        measured.record(arm, "beta, largest seen", test.beta(&g, &b)?);
    }
    Ok(())
}

fn speed(measured: &mut Measurements, scale: Scale, seed: Seed) -> Result<()> {
    let (n, d, m) = if scale == Scale::Full { (1 << 17, 64, 4096) } else { (1 << 11, 8, 256) };
    let (a, noise) = (random::gaussian(n, d, seed.derive("speed")), random::gaussian(n, 1, seed.derive("speed noise")));
    let b: Vec<f64> = (0..n).map(|i| a[(i, 0)] + noise[(i, 0)]).collect();
    let start = Instant::now();
    let exact = tall::least_squares(a.as_ref(), &b)?;
    measured.record(EXACT, "seconds, n=131072 d=64 m=4096", start.elapsed().as_secs_f64());
    for (arm, sketch) in [(SRHT, SketchKind::Srht), (COUNT, SketchKind::COUNT_SKETCH)] {
        let start = Instant::now();
        let [e_inf, _] = error(sketch, m, seed.derive("speed sketch"), a.as_ref(), &b, &exact)?;
        measured.record(arm, "seconds, n=131072 d=64 m=4096", start.elapsed().as_secs_f64());
        measured.record(arm, "e_inf, n=131072 d=64 m=4096", e_inf);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        for bar in &outcome.bars {
            assert!(bar.problem.is_none(), "{}: {:?}", bar.text, bar.problem);
        }
        let of = |arm: &str, metric: &str| outcome.seeds[0].measurements.get(arm, metric).unwrap();
        assert!(of(COUNT, "beta, largest seen") > 0.0 && of(SRHT, "beta, largest seen") > 0.0);
        assert!(of(SRHT, SMALL) > 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
    }
}
