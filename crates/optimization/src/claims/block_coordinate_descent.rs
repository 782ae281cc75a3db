//! Block coordinate descent: greedy rules that know the constants, matrix updates, Newton's method on the support, and trees
//! as blocks, each against what it improves on.

use std::f64::consts::PI;
use std::time::Instant;

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Error, Progress, Result, Seed, Silent, Unit};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;

use super::consensus_based_optimization::slope;
use crate::block_coordinate::{
    BlockCoordinateDescent, Blocks, Design, LabelPropagation, LinearModel, Partition, Penalty, Quadratic, Rule, Smooth,
    Solution, Update, solve_forest,
};

const RATIO: &str = "log₁₀ ratio of f";
const ITERATIONS: &str = "iterations";
const GAIN: &str = "factor in iterations";
/// log₁₀ of 0.02.
const FIFTIETH: f64 = -1.698_970_004_336_019;

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "block-coordinate-descent",
    area: "optimization",
    summary: "Minimises by changing one block of variables at a time, chosen greedily, by Newton steps or along trees",
    paper: Paper {
        title: "Let's Make Block Coordinate Descent Converge Faster: Faster Greedy Rules, Message-Passing, Active-Set \
                Complexity, and Superlinear Convergence",
        year: 2017,
        arxiv: "1712.08859",
    },
    statement: "Greedy rules that use the blocks' constants beat the plain Gauss–Southwell rule, matrix updates beat \
                gradient ones, two-metric projection ends after a few iterations, and tree blocks beat red-black ones.",
    remarks: "",
    seeds: 5,
    headline: "log₁₀ f/f₀",
    bars: &[
        Bar::value("1: GSL beats GS (Sort, L_b)", RATIO, "Sort-GSL ÷ Sort-GS, L_b").at_most(0.0).in_seeds(5, 5),
        Bar::value("1: GSD beats GS (variable, L_b)", RATIO, "VB-GSD ÷ VB-GS, L_b").at_most(0.0).in_seeds(5, 5),
        Bar::value("1: by a factor of 50", RATIO, "Sort-GSL ÷ Sort-GS, L_b")
            .at_most(FIFTIETH)
            .in_seeds(5, 5)
            .required(),
        Bar::value("1: by a factor of 50", RATIO, "VB-GSD ÷ VB-GS, L_b").at_most(FIFTIETH).in_seeds(5, 5).required(),
        Bar::value("1: with H_b too", RATIO, "Sort-GSL ÷ Sort-GS, H_b").at_most(FIFTIETH).in_seeds(5, 5).required(),
        Bar::value("1: with H_b too", RATIO, "VB-GSD ÷ VB-GS, H_b").at_most(FIFTIETH).in_seeds(5, 5).required(),
        Bar::value("1: Sort beats Avg", RATIO, "Sort-GSL ÷ Avg-GSL, L_b").at_most(-1.0).in_seeds(5, 5).required(),
        Bar::value("1: Avg beats Order", RATIO, "Avg-GSL ÷ Order-GSL, L_b").at_most(-0.301).in_seeds(5, 5).required(),
        Bar::value("1: variable beats Sort", RATIO, "VB-GSD ÷ Sort-GSL, L_b").at_most(-0.155).in_seeds(5, 5).required(),
        Bar::value("1: GSQ with H_b beats GSL with L_b", RATIO, "Sort-GSQ, H_b ÷ Sort-GSL, L_b")
            .at_most(-2.0)
            .in_seeds(5, 5)
            .required(),
        Bar::value("1: IHT beats GSD", RATIO, "VB-IHT ÷ VB-GSD, H_b").at_most(-2.0).in_seeds(5, 5).required(),
        Bar::value("2: TMP ends in 10 iterations", ITERATIONS, "TMP, τ ≥ support")
            .at_most(10.0)
            .in_seeds(5, 5)
            .required(),
        Bar::value("2: PG needs 5 times as many", GAIN, "PG ÷ TMP, τ ≥ support")
            .at_least(5.0)
            .in_seeds(5, 5)
            .required(),
        Bar::value("2: the support is known at the end or just before", "end − identification", "TMP, τ ≥ support")
            .within(0.0, 1.0)
            .in_seeds(5, 5)
            .required(),
        Bar::difference("3: greedy trees beat forest parts", "gap at 30", "greedy tree", "forest parts")
            .at_most(0.0)
            .in_seeds(5, 5)
            .required(),
        Bar::difference("3: forest parts beat random trees", "gap at 30", "forest parts", "random tree")
            .at_most(0.0)
            .in_seeds(5, 5)
            .required(),
        Bar::difference("3: random trees beat red-black", "gap at 30", "random tree", "red-black")
            .at_most(0.0)
            .in_seeds(5, 5)
            .required(),
        Bar::difference("3: red-black beats unstructured blocks", "gap at 30", "red-black", "unstructured")
            .at_most(0.0)
            .in_seeds(5, 5)
            .required(),
        Bar::value("3: that order at 10, 30 and 100", "steps in order", "all").at_least(12.0).in_seeds(5, 5).required(),
        Bar::ratio("3: greedy trees twice as near as red-black", "gap at 30", "greedy tree", "red-black")
            .at_most(0.5)
            .in_seeds(5, 5)
            .required(),
        Bar::value("3: a tree's time is linear in its nodes", "slope of time", "greedy tree")
            .within(0.8, 1.2)
            .reported(),
    ],
    run,
};

struct Sizes {
    samples: usize,
    features: usize,
    iterations: usize,
    points: usize,
    labels: usize,
    trees: &'static [usize],
}

impl Sizes {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                samples: 200,
                features: 1000,
                iterations: 500,
                points: 800,
                labels: 40,
                trees: &[10_000, 100_000, 1_000_000],
            },
            Scale::Smoke => {
                Self { samples: 60, features: 150, iterations: 60, points: 200, labels: 20, trees: &[1_000, 10_000] }
            }
        }
    }
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let sizes = Sizes::of(scale);
    let mut measured = Measurements::new();
    let model = regression(&sizes, seed.derive("regression"))?;
    progress.begin("rules", 18, Unit::Steps);
    let ran = rules(&sizes, &model, seed, progress, &mut measured);
    progress.end();
    ran?;
    active_sets(&model, progress, &mut measured)?;
    trees(&sizes, seed.derive("trees"), progress, &mut measured)?;
    timing(&sizes, seed.derive("timing"), &mut measured)?;
    Ok(measured)
}

/// Data set A of the published code: columns of very different sizes, targets that a tenth of them explain.
fn regression(sizes: &Sizes, seed: Seed) -> Result<LinearModel> {
    let (m, n) = (sizes.samples, sizes.features);
    let mut rng = seed.rng();
    let share = (10.0 * (m as f64).ln() / m as f64).min(1.0);
    let mut entries = Vec::new();
    for j in 0..n {
        let size = 10.0 * rng.sample::<f64, _>(StandardNormal);
        for i in 0..m {
            let value = (1.0 + rng.sample::<f64, _>(StandardNormal)) * size;
            if rng.random::<f64>() < share {
                entries.push((i, j, value));
            }
        }
    }
    let design = Design::from_entries(m, n, entries)?;
    let mut weights = vec![0.0; n];
    for weight in &mut weights {
        let value = rng.sample::<f64, _>(StandardNormal);
        if rng.random::<f64>() < 0.1 {
            *weight = value;
        }
    }
    let targets = design.times(&weights).iter().map(|z| z + rng.sample::<f64, _>(StandardNormal)).collect();
    LinearModel::least_squares(design, targets)
}

/// Part 1: rules, partitions and updates after the same number of iterations. f* = 0, as there are more variables than
/// samples.
fn rules(
    sizes: &Sizes,
    model: &LinearModel,
    seed: Seed,
    progress: &dyn Progress,
    measured: &mut Measurements,
) -> Result<()> {
    use Partition::{Average, Order, Sort};
    use Rule::{
        Cyclic, GaussSouthwell, GaussSouthwellDiagonal, GaussSouthwellLipschitz, GaussSouthwellQuadratic, Random,
    };
    let fixed = |partition| Blocks::Fixed { partition, size: 5 };
    let variable = || Blocks::Variable { size: 5 };
    let arms = [
        ("Sort-Random, L_b", fixed(Sort), Random, Update::Gradient),
        ("Sort-Cyclic, L_b", fixed(Sort), Cyclic, Update::Gradient),
        ("Sort-GS, L_b", fixed(Sort), GaussSouthwell, Update::Gradient),
        ("Sort-GSL, L_b", fixed(Sort), GaussSouthwellLipschitz, Update::Gradient),
        ("Sort-GSD, L_b", fixed(Sort), GaussSouthwellDiagonal, Update::Gradient),
        ("Avg-GSL, L_b", fixed(Average), GaussSouthwellLipschitz, Update::Gradient),
        ("Order-GS, L_b", fixed(Order), GaussSouthwell, Update::Gradient),
        ("Order-GSL, L_b", fixed(Order), GaussSouthwellLipschitz, Update::Gradient),
        ("VB-Random, L_b", variable(), Random, Update::Gradient),
        ("VB-GS, L_b", variable(), GaussSouthwell, Update::Gradient),
        ("VB-GSD, L_b", variable(), GaussSouthwellDiagonal, Update::Gradient),
        ("Sort-GS, search", fixed(Sort), GaussSouthwell, Update::GradientSearch),
        ("Sort-GS, H_b", fixed(Sort), GaussSouthwell, Update::Matrix),
        ("Sort-GSL, H_b", fixed(Sort), GaussSouthwellLipschitz, Update::Matrix),
        ("Sort-GSQ, H_b", fixed(Sort), GaussSouthwellQuadratic, Update::Matrix),
        ("VB-GS, H_b", variable(), GaussSouthwell, Update::Matrix),
        ("VB-GSD, H_b", variable(), GaussSouthwellDiagonal, Update::Matrix),
        ("VB-IHT, H_b", variable(), GaussSouthwellQuadratic, Update::Matrix),
    ];
    let none = Penalty::none(model.size());
    let start = model.value(&model.start(vec![0.0; model.size()]));
    for (arm, blocks, rule, update) in arms {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let method = BlockCoordinateDescent {
            blocks,
            rule,
            update,
            iterations: sizes.iterations,
            tolerance: 0.0,
            seed: seed.derive(arm),
            ..Default::default()
        };
        let found = method.minimize(model, &none, &Silent)?;
        let log = |f: f64| (f / start).max(1e-300).log10();
        measured.record(arm, "log₁₀ f/f₀", log(found.objective));
        let curve = found.history.iter().enumerate().step_by(10);
        let curve = curve.map(|(k, one)| (k as f64, log(one.objective.max(1e-20 * start)))).collect::<Vec<_>>();
        measured.record_curve("rules and updates", ["iteration", "log₁₀ f/f₀"], arm, curve);
        progress.advance(1);
    }
    let compared = [
        ("Sort-GSL ÷ Sort-GS, L_b", "Sort-GSL, L_b", "Sort-GS, L_b"),
        ("VB-GSD ÷ VB-GS, L_b", "VB-GSD, L_b", "VB-GS, L_b"),
        ("Sort-GSL ÷ Sort-GS, H_b", "Sort-GSL, H_b", "Sort-GS, H_b"),
        ("VB-GSD ÷ VB-GS, H_b", "VB-GSD, H_b", "VB-GS, H_b"),
        ("Sort-GSL ÷ Avg-GSL, L_b", "Sort-GSL, L_b", "Avg-GSL, L_b"),
        ("Avg-GSL ÷ Order-GSL, L_b", "Avg-GSL, L_b", "Order-GSL, L_b"),
        ("VB-GSD ÷ Sort-GSL, L_b", "VB-GSD, L_b", "Sort-GSL, L_b"),
        ("Sort-GSQ, H_b ÷ Sort-GSL, L_b", "Sort-GSQ, H_b", "Sort-GSL, L_b"),
        ("VB-IHT ÷ VB-GSD, H_b", "VB-IHT, H_b", "VB-GSD, H_b"),
    ];
    for (name, arm, over) in compared {
        let of = |arm| measured.get(arm, "log₁₀ f/f₀").unwrap_or(f64::NAN);
        let ratio = of(arm) - of(over);
        measured.record(name, RATIO, ratio);
    }
    Ok(())
}

/// Part 2: iterations to a relative gap of 1e-10 on the non-negative lasso.
fn active_sets(model: &LinearModel, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let n = model.size();
    let mut zero = model.start(vec![0.0; n]);
    model.full_gradient(&mut zero);
    let lambda = 0.3 * zero.gradient.iter().map(|g| -g).fold(0.0, f64::max);
    let penalty = Penalty::non_negative(n, lambda)?;
    let start = model.value(&zero);
    let exact = BlockCoordinateDescent { tolerance: 1e-14, iterations: 2000, ..BlockCoordinateDescent::sparse() };
    let best = exact.minimize(model, &penalty, &Silent)?;
    let support = best.x.iter().filter(|x| **x != 0.0).count();
    measured.record("solution", "nonzeros", support as f64);
    // What is claimed is claimed of blocks that hold the support: the worst of those.
    let (mut slowest, mut least_gain, mut latest) = (0.0_f64, f64::INFINITY, 0.0_f64);
    for size in [20, 50] {
        let size = size.min(n);
        let mut of = |arm: &str, blocks: Blocks, update| -> Result<(f64, Solution)> {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let iterations = if matches!(blocks, Blocks::Fixed { .. }) { 600 } else { 2000 };
            let method = BlockCoordinateDescent {
                blocks,
                update,
                rule: Rule::GaussSouthwellDiagonal,
                iterations,
                tolerance: 1e-14,
                ..Default::default()
            };
            let found = method.minimize(model, &penalty, &Silent)?;
            let near = |f: f64| f - best.objective <= 1e-10 * (start - best.objective);
            let needed =
                found.history.iter().position(|one| near(one.objective)).map_or(iterations, |at| at + 1) as f64;
            measured.record(format!("{arm}, τ = {size}"), ITERATIONS, needed);
            Ok((needed, found))
        };
        let variable = || Blocks::Variable { size };
        let (pg, _) = of("PG", variable(), Update::Gradient)?;
        let (tmp, ended) = of("TMP", variable(), Update::TwoMetric)?;
        of("PN", variable(), Update::Matrix)?;
        let fixed = || Blocks::Fixed { partition: Partition::Sort, size };
        of("Sort-PG", fixed(), Update::Gradient)?;
        of("Sort-TMP", fixed(), Update::TwoMetric)?;
        measured.record(format!("PG ÷ TMP, τ = {size}"), GAIN, pg / tmp);
        let identified = ended.active_set.map_or(f64::NAN, |set| set.identified as f64);
        measured.record(format!("TMP, τ = {size}"), "end − identification", tmp - identified);
        if size >= support || size == 50.min(n) {
            slowest = slowest.max(tmp);
            least_gain = least_gain.min(pg / tmp);
            latest = if (tmp - identified).abs() > latest.abs() { tmp - identified } else { latest };
        }
    }
    measured.record("TMP, τ ≥ support", ITERATIONS, slowest);
    measured.record("TMP, τ ≥ support", "end − identification", latest);
    measured.record("PG ÷ TMP, τ ≥ support", GAIN, least_gain);
    Ok(())
}

/// Part 3: label propagation on two moons, blocks of trees against others.
fn trees(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let task = two_moons(sizes, seed)?;
    let problem = &task.problem;
    let n = problem.size();
    let none = Penalty::none(n);
    let start = problem.value(&problem.start(vec![0.0; n]));
    let exact = BlockCoordinateDescent { blocks: Blocks::Variable { size: n }, iterations: 3, ..Default::default() };
    let best = exact.minimize(problem, &none, &Silent)?.objective;
    let third = (n as f64).cbrt().round() as usize;
    let arms = [
        ("greedy tree", Blocks::Forest, Rule::GaussSouthwell),
        ("forest parts", Blocks::Fixed { partition: Partition::Forests, size: 1 }, Rule::GaussSouthwell),
        ("random tree", Blocks::Forest, Rule::Random),
        ("red-black", Blocks::Fixed { partition: Partition::Colouring, size: 1 }, Rule::GaussSouthwell),
        ("unstructured", Blocks::Variable { size: third }, Rule::GaussSouthwell),
    ];
    let mut gaps = Vec::new();
    for (arm, blocks, rule) in arms {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let method = BlockCoordinateDescent {
            blocks,
            rule,
            iterations: 100,
            tolerance: 0.0,
            seed: seed.derive(arm),
            ..Default::default()
        };
        let found = method.minimize(problem, &none, &Silent)?;
        let gap = |k: usize| {
            let last = found.history.get(k - 1).or(found.history.last());
            last.map_or(1.0, |one| ((one.objective - best) / (start - best)).max(0.0))
        };
        for k in [10, 30, 100] {
            measured.record(arm, format!("gap at {k}"), gap(k));
        }
        measured.record_curve(
            "label propagation",
            ["iteration", "log₁₀ relative gap"],
            arm,
            (1..=100).map(|k| (k as f64, gap(k).max(1e-16).log10())),
        );
        gaps.push([gap(10), gap(30), gap(100)]);
    }
    let ordered = (0..3).map(|k| gaps.windows(2).filter(|pair| pair[0][k] <= pair[1][k]).count()).sum::<usize>();
    measured.record("all", "steps in order", ordered as f64);
    Ok(())
}

/// Two moons with noise 0.2, joined with their 5 nearest neighbours, some of them labelled 1 or 2.
fn two_moons(sizes: &Sizes, seed: Seed) -> Result<LabelPropagation> {
    let n = sizes.points;
    let mut rng = seed.rng();
    let points: Vec<(f64, f64)> = (0..n)
        .map(|i| {
            let angle = PI * rng.random::<f64>();
            let (x, y) = if i % 2 == 0 { (angle.cos(), angle.sin()) } else { (1.0 - angle.cos(), 0.5 - angle.sin()) };
            (x + 0.2 * rng.sample::<f64, _>(StandardNormal), y + 0.2 * rng.sample::<f64, _>(StandardNormal))
        })
        .collect();
    let mut edges = Vec::new();
    for (i, p) in points.iter().enumerate() {
        let mut near: Vec<(f64, usize)> = points
            .iter()
            .enumerate()
            .filter(|(j, _)| *j != i)
            .map(|(j, q)| ((p.0 - q.0).hypot(p.1 - q.1), j))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        edges.extend(near.iter().take(5).map(|(_, j)| (i.min(*j), i.max(*j))));
    }
    edges.sort_unstable();
    edges.dedup();
    let edges: Vec<(usize, usize, f64)> = edges.into_iter().map(|(i, j)| (i, j, 1.0)).collect();
    // Labels are drawn anew where a part of the graph got none.
    let mut last = Err(Error::data("two moons", "no labels were drawn"));
    for _ in 0..100 {
        let mut nodes: Vec<usize> = (0..n).collect();
        nodes.shuffle(&mut rng);
        let labels: Vec<(usize, f64)> = nodes.iter().take(sizes.labels).map(|&i| (i, (i % 2 + 1) as f64)).collect();
        last = LabelPropagation::new(n, &edges, &labels);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// How the time to solve a random tree grows with its nodes.
fn timing(sizes: &Sizes, seed: Seed, measured: &mut Measurements) -> Result<()> {
    let mut points = Vec::new();
    for &n in sizes.trees {
        let mut rng = seed.nth(n as u64).rng();
        let mut entries: Vec<(usize, usize, f64)> = (0..n).map(|i| (i, i, 4.0)).collect();
        // Near parents, so that memory is read in order at every size.
        entries.extend((1..n).map(|i| (i - 1 - rng.random_range(0..i.min(16)), i, -1.0)));
        // A node may have many children: its diagonal entry grows with them.
        let mut diagonal = vec![1.0; n];
        entries.iter().filter(|(i, j, _)| i != j).for_each(|(i, j, _)| {
            diagonal[*i] += 1.0;
            diagonal[*j] += 1.0;
        });
        entries.iter_mut().filter(|(i, j, _)| i == j).for_each(|(i, _, value)| *value = diagonal[*i]);
        let problem = Quadratic::from_entries(n, &entries, vec![1.0; n])?;
        let block: Vec<usize> = (0..n).collect();
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let mut rhs = vec![1.0; n];
            let clock = Instant::now();
            solve_forest(&problem, &block, &mut rhs)?;
            best = best.min(clock.elapsed().as_secs_f64());
        }
        points.push(((n as f64).log10(), best.max(1e-9).log10()));
    }
    measured.record("greedy tree", "slope of time", slope(&points));
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let problems: Vec<_> = outcome.bars.iter().filter_map(|bar| bar.problem.as_deref()).collect();
        assert!(problems.is_empty(), "{problems:?}");
        let measured = &outcome.seeds[0].measurements;
        assert!(measured.get("Sort-GSL ÷ Sort-GS, L_b", RATIO).unwrap() < 0.0);
        assert!(measured.get("TMP, τ ≥ support", ITERATIONS).unwrap() <= 20.0);
    }
}
