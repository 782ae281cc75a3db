//! Which block is chosen.

use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::configuration::{BlockCoordinateDescent, Blocks, Rule};
use super::forest::greedy_forest;
use super::penalty::Penalty;
use super::plan::Plan;
use super::smooth::{Smooth, Work};
use super::state::State;

/// Steps of iterative hard thresholding.
const THRESHOLDINGS: usize = 10;

/// A chosen block: its variables and, in a fixed partition, its number.
pub(super) struct Chosen {
    pub block: Vec<usize>,
    pub number: Option<usize>,
}

pub(super) fn choose(
    method: &BlockCoordinateDescent,
    problem: &dyn Smooth,
    penalty: &Penalty,
    plan: &Plan,
    state: &mut State,
) -> Chosen {
    let mut rng = SmallRng::seed_from_u64(method.seed.derive("blocks").nth(state.iteration as u64).0);
    match &method.blocks {
        Blocks::Fixed { .. } | Blocks::Given(_) => {
            let number = fixed(method.rule, penalty, plan, state, &mut rng);
            Chosen { block: plan.blocks[number].clone(), number: Some(number) }
        }
        Blocks::Variable { size } => {
            let size = (*size).min(plan.live.len());
            Chosen { block: variable(method.rule, problem, penalty, plan, state, size, &mut rng), number: None }
        }
        Blocks::Growing { size } => {
            Chosen { block: growing(method.rule, penalty, plan, state, *size, &mut rng), number: None }
        }
        Blocks::Forest => {
            let order = match method.rule.is_greedy() {
                true => {
                    let scores = scores(method.rule, penalty, plan, &state.work);
                    let mut order = plan.live.clone();
                    order.sort_by(|i, j| scores[*j].total_cmp(&scores[*i]).then(i.cmp(j)));
                    order
                }
                false => shuffled(&plan.live, &mut rng),
            };
            let block = problem.quadratic().map_or_else(Vec::new, |quadratic| greedy_forest(quadratic, &order));
            Chosen { block, number: None }
        }
    }
}

fn shuffled(all: &[usize], rng: &mut SmallRng) -> Vec<usize> {
    let mut order = all.to_vec();
    order.shuffle(rng);
    order
}

/// How much each variable promises by itself.
fn scores(rule: Rule, penalty: &Penalty, plan: &Plan, work: &Work) -> Vec<f64> {
    let plain = rule == Rule::GaussSouthwell;
    let mut scores = vec![0.0; work.x.len()];
    for &i in &plan.live {
        scores[i] = match plain {
            true => penalty.steepest(i, work.x[i], work.gradient[i]).powi(2),
            false => -penalty.gain(i, work.x[i], work.gradient[i], plan.scale[i]),
        };
    }
    scores
}

/// The number of the block with the largest score; the first of equals.
fn best(count: usize, score: impl Fn(usize) -> f64) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for b in 0..count {
        let score = score(b);
        if score > best.1 {
            best = (b, score);
        }
    }
    best.0
}

fn fixed(rule: Rule, penalty: &Penalty, plan: &Plan, state: &mut State, rng: &mut SmallRng) -> usize {
    let count = plan.blocks.len();
    let (x, gradient) = (&state.work.x, &state.work.gradient);
    let steepest = |i: usize| penalty.steepest(i, x[i], gradient[i]);
    let square = |b: usize| plan.blocks[b].iter().map(|&i| steepest(i).powi(2)).sum::<f64>();
    match rule {
        Rule::Random => rng.random_range(0..count),
        Rule::Cyclic => state.iteration % count,
        Rule::PermutedCyclic => {
            let at = state.iteration % count;
            if at == 0 || state.order.len() != count {
                let all: Vec<usize> = (0..count).collect();
                state.order = shuffled(&all, rng);
            }
            state.order[at]
        }
        Rule::Lipschitz => {
            let mut left = rng.random::<f64>() * plan.constants.iter().sum::<f64>();
            plan.constants
                .iter()
                .position(|l| {
                    left -= l;
                    left < 0.0
                })
                .unwrap_or(count - 1)
        }
        Rule::GaussSouthwell => best(count, square),
        Rule::GaussSouthwellLipschitz => best(count, |b| square(b) / plan.constants[b]),
        Rule::GaussSouthwellDiagonal | Rule::GaussSouthwellGershgorin => {
            let scores = scores(rule, penalty, plan, &state.work);
            best(count, |b| plan.blocks[b].iter().map(|&i| scores[i]).sum())
        }
        Rule::GaussSouthwellQuadratic => best(count, |b| {
            let (block, inverse) = (&plan.blocks[b], &plan.inverses[b]);
            let mut promise = 0.0;
            for (q, &j) in block.iter().enumerate() {
                let column: f64 = block.iter().zip(inverse.col(q).iter()).map(|(&i, a)| a * steepest(i)).sum();
                promise += column * steepest(j);
            }
            promise
        }),
    }
}

fn variable(
    rule: Rule,
    problem: &dyn Smooth,
    penalty: &Penalty,
    plan: &Plan,
    state: &mut State,
    size: usize,
    rng: &mut SmallRng,
) -> Vec<usize> {
    let live = &plan.live;
    let window = |order: &[usize], at: usize| (0..size).map(|k| order[(at + k) % order.len()]).collect::<Vec<_>>();
    match rule {
        Rule::Random => rand::seq::index::sample(rng, live.len(), size).iter().map(|k| live[k]).collect(),
        Rule::Cyclic => window(live, state.iteration * size % live.len()),
        Rule::PermutedCyclic => {
            let passes = live.len().div_ceil(size);
            let at = state.iteration % passes;
            if at == 0 || state.order.len() != live.len() {
                state.order = shuffled(live, rng);
            }
            let end = ((at + 1) * size).min(live.len());
            state.order[at * size..end].to_vec()
        }
        Rule::Lipschitz => {
            // Efraimidis and Spirakis: the largest u^(1/L) are a sample without replacement.
            let mut keys = vec![f64::NEG_INFINITY; state.work.x.len()];
            live.iter().for_each(|&i| keys[i] = rng.random::<f64>().ln() / problem.constants()[i]);
            largest(live, &keys, size)
        }
        Rule::GaussSouthwellQuadratic => thresholded(problem, penalty, plan, state, size),
        _ => largest(live, &scores(rule, penalty, plan, &state.work), size),
    }
}

/// The `size` variables with the largest scores, of equals those with the lowest indices; in rising order.
fn largest(of: &[usize], scores: &[f64], size: usize) -> Vec<usize> {
    let mut all = of.to_vec();
    if size < all.len() && size > 0 {
        all.select_nth_unstable_by(size - 1, |i, j| scores[*j].total_cmp(&scores[*i]).then(i.cmp(j)));
        all.truncate(size);
    }
    all.sort_unstable();
    all
}

/// The variables off their kinks, and the most promising others.
fn growing(rule: Rule, penalty: &Penalty, plan: &Plan, state: &State, size: usize, rng: &mut SmallRng) -> Vec<usize> {
    let (x, gradient) = (&state.work.x, &state.work.gradient);
    let off = |i: usize| penalty.margin(i, x[i], gradient[i]).is_none();
    let support = plan.live.iter().filter(|i| off(**i)).count();
    let room = size.max(2 * support);
    let mut scores = match rule.is_greedy() {
        true => scores(rule, penalty, plan, &state.work),
        false => (0..x.len()).map(|_| rng.random::<f64>()).collect(),
    };
    // Nothing is gained by a variable that stays at its kink.
    let moving: Vec<usize> =
        plan.live.iter().copied().filter(|&i| off(i) || penalty.steepest(i, x[i], gradient[i]) != 0.0).collect();
    moving.iter().filter(|i| off(**i)).for_each(|&i| scores[i] = f64::INFINITY);
    largest(&moving, &scores, room)
}

/// GSQ over variable blocks: min g'd + d'Hd/2 with at most `size` entries of d, by iterative hard thresholding from
/// g/√L; the better of it and GSD.
fn thresholded(problem: &dyn Smooth, penalty: &Penalty, plan: &Plan, state: &mut State, size: usize) -> Vec<usize> {
    let n = state.work.x.len();
    let g: Vec<f64> = (0..n).map(|i| penalty.steepest(i, state.work.x[i], state.work.gradient[i])).collect();
    let mut d = vec![0.0; n];
    plan.live.iter().for_each(|&i| d[i] = g[i] / plan.scale[i].sqrt());
    let mut product = vec![0.0; n];
    let mut block = Vec::new();
    for _ in 0..THRESHOLDINGS {
        problem.bound_times(&mut state.work, &d, &mut product);
        for &i in &plan.live {
            d[i] -= (g[i] + product[i]) / plan.largest;
        }
        let sizes: Vec<f64> = d.iter().map(|d| d.abs()).collect();
        block = largest(&plan.live, &sizes, size);
        let kept: Vec<f64> = block.iter().map(|&i| d[i]).collect();
        d.fill(0.0);
        block.iter().zip(kept).for_each(|(&i, value)| d[i] = value);
    }
    let diagonal = largest(&plan.live, &scores(Rule::GaussSouthwellDiagonal, penalty, plan, &state.work), size);
    match promise(problem, state, &block, &g) > promise(problem, state, &diagonal, &g) {
        true => block,
        false => diagonal,
    }
}

/// g_b' H_b⁻¹ g_b.
fn promise(problem: &dyn Smooth, state: &mut State, block: &[usize], g: &[f64]) -> f64 {
    let mut h = faer::Mat::zeros(block.len(), block.len());
    problem.bound(&mut state.work, block, h.as_mut());
    let slope: Vec<f64> = block.iter().map(|&i| g[i]).collect();
    let mut solved = slope.clone();
    match super::dense::solve(&h, &mut solved) {
        Ok(()) => slope.iter().zip(&solved).map(|(g, s)| g * s).sum(),
        Err(_) => f64::NEG_INFINITY,
    }
}
