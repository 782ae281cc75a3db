//! Invariants of block coordinate descent.

use argmin::core::{Executor, State as _};
use consilience_core::testing::Recorder;
use consilience_core::{Error, Seed, Silent};
use consilience_linalg::random::gaussian;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use proptest::prelude::*;

use super::*;
use crate::Bounds;
use crate::test_functions::TestFunction;

/// A Gaussian design, sparse where asked for, and numbers for targets.
fn data(m: usize, n: usize, sparse: bool, seed: u64) -> (Mat<f64>, Vec<f64>) {
    let a = gaussian(m, n, Seed(seed));
    let keep = gaussian(m, n, Seed(seed).derive("keep"));
    let a =
        Mat::from_fn(m, n, |i, j| if sparse && keep[(i, j)] < 0.3 { 0.0 } else { a[(i, j)] * (1.0 + j as f64 / 3.0) });
    let y = gaussian(m, 1, Seed(seed).derive("y"));
    (a, (0..m).map(|i| y[(i, 0)]).collect())
}

fn least_squares(m: usize, n: usize, sparse: bool, seed: u64) -> LinearModel {
    let (a, y) = data(m, n, sparse, seed);
    LinearModel::least_squares(Design::dense(a.as_ref()).unwrap(), y).unwrap()
}

fn logistic(m: usize, n: usize, sparse: bool, seed: u64) -> LinearModel {
    let (a, y) = data(m, n, sparse, seed);
    LinearModel::logistic(Design::dense(a.as_ref()).unwrap(), y.iter().map(|y| y.signum()).collect()).unwrap()
}

fn softmax(m: usize, n: usize, classes: usize, seed: u64) -> LinearModel {
    let (a, y) = data(m, n, true, seed);
    let labels: Vec<usize> = y.iter().map(|y| ((y.abs() * 7.0) as usize) % classes).collect();
    LinearModel::softmax(Design::dense(a.as_ref()).unwrap(), &labels, classes).unwrap()
}

/// A random symmetric positive definite matrix on a graph.
fn on_graph(n: usize, edges: &[(usize, usize)], seed: u64) -> Quadratic {
    let weights = gaussian(edges.len() + n, 1, Seed(seed));
    let mut entries: Vec<(usize, usize, f64)> = Vec::new();
    for (at, &(i, j)) in edges.iter().enumerate() {
        let w = weights[(at, 0)];
        entries.extend([(i, j, w), (i, i, w.abs()), (j, j, w.abs())]);
    }
    let mut diagonal = vec![0.5; n];
    entries.retain(|(i, j, w)| {
        if i == j {
            diagonal[*i] += w;
        }
        i != j
    });
    entries.extend((0..n).map(|i| (i, i, diagonal[i])));
    Quadratic::from_entries(n, &entries, (0..n).map(|i| weights[(edges.len() + i, 0)]).collect()).unwrap()
}

fn whole(problem: &dyn Smooth) -> Mat<f64> {
    let n = problem.size();
    let all: Vec<usize> = (0..n).collect();
    let mut h = Mat::zeros(n, n);
    problem.bound(&mut problem.start(vec![0.0; n]), &all, h.as_mut());
    h
}

fn method(blocks: Blocks, rule: Rule, update: Update, iterations: usize) -> BlockCoordinateDescent {
    BlockCoordinateDescent { blocks, rule, update, iterations, ..Default::default() }
}

fn models() -> Vec<(&'static str, LinearModel)> {
    vec![
        ("least squares", least_squares(60, 20, true, 1)),
        ("least squares, dense", least_squares(30, 20, false, 2)),
        ("logistic", logistic(60, 20, true, 3)),
        ("softmax", softmax(60, 7, 3, 4)),
        ("ridge", logistic(40, 20, true, 5).with_ridge(0.3, &[2]).unwrap()),
    ]
}

#[test]
fn gradients_changes_and_hessians_agree_with_differences() {
    for (name, model) in models() {
        let n = model.size();
        let x: Vec<f64> = (0..n).map(|i| ((i * 37) % 11) as f64 / 20.0 - 0.2).collect();
        let mut work = model.start(x.clone());
        model.full_gradient(&mut work);
        let value = |x: &[f64]| model.value(&model.start(x.to_vec()));
        let gradient = |x: &[f64]| {
            let mut work = model.start(x.to_vec());
            model.full_gradient(&mut work);
            work.gradient
        };
        let all: Vec<usize> = (0..n).collect();
        for block in [vec![3], vec![0, 4, 5], all] {
            let mut h = Mat::zeros(block.len(), block.len());
            model.hessian(&mut work, &block, h.as_mut());
            for (q, &j) in block.iter().enumerate() {
                let (mut above, mut below) = (x.clone(), x.clone());
                above[j] += 1e-5;
                below[j] -= 1e-5;
                let slope = (value(&above) - value(&below)) / 2e-5;
                assert!((slope - work.gradient[j]).abs() < 1e-6 * slope.abs().max(1.0), "{name}, variable {j}");
                let (up, down) = (gradient(&above), gradient(&below));
                for (p, &i) in block.iter().enumerate() {
                    let curve = (up[i] - down[i]) / 2e-5;
                    assert!((curve - h[(p, q)]).abs() < 1e-5 * curve.abs().max(1.0), "{name}: {curve} {}", h[(p, q)]);
                }
            }
            let step: Vec<f64> = block.iter().map(|i| 0.1 - 0.03 * (*i as f64)).collect();
            let mut moved = x.clone();
            block.iter().zip(&step).for_each(|(&i, d)| moved[i] += d);
            let change = model.change(&mut work, &block, &step);
            let wanted = value(&moved) - value(&x);
            assert!((change - wanted).abs() < 1e-10 * wanted.abs().max(1.0), "{name}: {change} {wanted}");
            // What is kept on the way is what is computed anew.
            let mut walked = work.clone();
            model.advance(&mut walked, &block, &step);
            assert!(walked.change.iter().all(|c| *c == 0.0));
            model.full_gradient(&mut walked);
            let anew = gradient(&moved);
            assert!((0..n).all(|i| (walked.gradient[i] - anew[i]).abs() < 1e-9 * anew[i].abs().max(1.0)), "{name}");
        }
    }
}

#[test]
fn the_bound_is_above_every_hessian_and_below_its_own_row_sums() {
    for (name, model) in models() {
        let n = model.size();
        let all: Vec<usize> = (0..n).collect();
        for block in [all, vec![0, 1, 4, 5], vec![2]] {
            let mut work = model.start((0..n).map(|i| 0.05 * (i as f64) - 0.4).collect());
            let (mut bound, mut hessian) = (Mat::zeros(block.len(), block.len()), Mat::zeros(block.len(), block.len()));
            model.bound(&mut work, &block, bound.as_mut());
            model.hessian(&mut work, &block, hessian.as_mut());
            let scale = bound.norm_max();
            let least = |m: &Mat<f64>| m.self_adjoint_eigenvalues(Side::Lower).unwrap()[0];
            assert!(least(&(&bound - &hessian)) > -1e-12 * scale, "{name}");
        }
        let h = whole(&model);
        let sums = model.row_sums(&mut model.start(vec![0.0; n]));
        let gap = Mat::from_fn(n, n, |i, j| if i == j { sums[i] - h[(i, i)] } else { -h[(i, j)] });
        assert!(gap.self_adjoint_eigenvalues(Side::Lower).unwrap()[0] > -1e-10 * h.norm_max(), "{name}");
        let mut product = vec![0.0; n];
        let d: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 - 0.1 * i as f64 }).collect();
        model.bound_times(&mut model.start(vec![0.0; n]), &d, &mut product);
        for i in 0..n {
            let wanted: f64 = (0..n).map(|j| h[(i, j)] * d[j]).sum();
            assert!((product[i] - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{name}");
        }
    }
}

#[test]
fn one_block_of_everything_is_solved_in_one_step() {
    let model = least_squares(40, 15, false, 7);
    let (a, y) = data(40, 15, false, 7);
    let right = a.transpose() * Mat::from_fn(40, 1, |i, _| y[i]);
    let wanted = (a.transpose() * &a).llt(Side::Lower).unwrap().solve(right);
    for update in [Update::Matrix, Update::Newton] {
        let one = method(Blocks::Variable { size: 15 }, Rule::GaussSouthwell, update, 1);
        let found = one.minimize(&model, &Penalty::none(15), &Silent).unwrap();
        assert!((0..15).all(|i| (found.x[i] - wanted[(i, 0)]).abs() < 1e-9), "{update:?}");
    }
}

#[test]
fn with_single_variables_the_scaled_rules_and_the_updates_are_the_same() {
    let model = least_squares(50, 25, true, 8);
    let run = |blocks: Blocks, rule, update| {
        let found = method(blocks, rule, update, 40).minimize(&model, &Penalty::none(25), &Silent).unwrap();
        found.history.iter().map(|one| one.objective).collect::<Vec<_>>()
    };
    let fixed = || Blocks::Fixed { partition: Partition::Order, size: 1 };
    let reference = run(fixed(), Rule::GaussSouthwellLipschitz, Update::Gradient);
    for rule in [Rule::GaussSouthwellLipschitz, Rule::GaussSouthwellDiagonal, Rule::GaussSouthwellQuadratic] {
        for update in [Update::Gradient, Update::Matrix] {
            for blocks in [fixed(), Blocks::Variable { size: 1 }] {
                let path = run(blocks, rule, update);
                assert!(
                    path.iter().zip(&reference).all(|(a, b)| (a - b).abs() < 1e-9 * reference[0]),
                    "{rule:?} {update:?}"
                );
            }
        }
    }
}

#[test]
fn with_equal_constants_gsd_is_gs_and_with_a_diagonal_gsq_is_gsd() {
    let (mut a, y) = data(40, 12, false, 9);
    for j in 0..12 {
        let norm = a.col(j).norm_l2();
        a.col_mut(j).iter_mut().for_each(|v| *v /= norm);
    }
    let model = LinearModel::least_squares(Design::dense(a.as_ref()).unwrap(), y).unwrap();
    let x = |rule| {
        method(Blocks::Variable { size: 3 }, rule, Update::Matrix, 15)
            .minimize(&model, &Penalty::none(12), &Silent)
            .unwrap()
            .x
    };
    assert_eq!(x(Rule::GaussSouthwell), x(Rule::GaussSouthwellDiagonal));
    let entries: Vec<(usize, usize, f64)> = (0..12).map(|i| (i, i, 1.0 + i as f64)).collect();
    let diagonal =
        Quadratic::from_entries(12, &entries, (0..12).map(|i| ((i * 5) % 7) as f64 - 3.0).collect()).unwrap();
    let order = |rule| {
        let one = method(Blocks::Fixed { partition: Partition::Average, size: 3 }, rule, Update::Matrix, 4);
        one.minimize(&diagonal, &Penalty::none(12), &Silent)
            .unwrap()
            .history
            .iter()
            .map(|h| h.objective)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(Rule::GaussSouthwellQuadratic), order(Rule::GaussSouthwellDiagonal));
}

const RULES: [Rule; 9] = [
    Rule::Random,
    Rule::Cyclic,
    Rule::PermutedCyclic,
    Rule::Lipschitz,
    Rule::GaussSouthwell,
    Rule::GaussSouthwellLipschitz,
    Rule::GaussSouthwellDiagonal,
    Rule::GaussSouthwellGershgorin,
    Rule::GaussSouthwellQuadratic,
];
const UPDATES: [Update; 5] =
    [Update::Gradient, Update::GradientSearch, Update::Matrix, Update::Newton, Update::TwoMetric];

#[test]
fn every_rule_and_update_lowers_the_objective_at_least_as_promised() {
    for (name, model) in models() {
        let n = model.size();
        let penalties = [
            Penalty::none(n),
            Penalty::l1(n, 1.0).unwrap().without_l1(1),
            Penalty::non_negative(n, 0.5).unwrap(),
            Penalty::l1(n, 0.3).unwrap().within(Bounds::uniform(n, -0.2, 0.1).unwrap()).unwrap(),
        ];
        for rule in RULES {
            for update in UPDATES {
                for (kind, penalty) in penalties.iter().enumerate() {
                    for blocks in [
                        Blocks::Fixed { partition: Partition::Sort, size: 4 },
                        Blocks::Variable { size: 5 },
                        Blocks::Growing { size: 4 },
                    ] {
                        let context = format!("{name} {rule:?} {update:?} {blocks:?} penalty {kind}");
                        let run = method(blocks, rule, update, 30);
                        let found = run.minimize(&model, penalty, &Silent).unwrap_or_else(|e| panic!("{context}: {e}"));
                        let start = model.value(&model.start(vec![0.0; n]));
                        let mut last = start;
                        for one in &found.history {
                            let slack = 1e-12 * start;
                            assert!(one.objective <= last + slack, "{context}: rose");
                            if matches!(update, Update::Gradient | Update::GradientSearch | Update::Matrix) {
                                assert!(one.objective <= last - one.promised + slack, "{context}: {one:?} {last}");
                            }
                            last = one.objective;
                        }
                        assert!((found.objective - last).abs() < 1e-9 * start, "{context}: the sum of changes");
                        assert!(found.objective < start, "{context}");
                    }
                }
            }
        }
    }
}

/// The solution by many cheap steps with another method: proximal gradient steps on everything.
fn by_proximal_gradient(model: &dyn Smooth, penalty: &Penalty) -> f64 {
    let n = model.size();
    let all: Vec<usize> = (0..n).collect();
    let l = whole(model).self_adjoint_eigenvalues(Side::Lower).unwrap()[n - 1];
    let mut work = model.start(vec![0.0; n]);
    for _ in 0..20_000 {
        model.full_gradient(&mut work);
        let step: Vec<f64> =
            (0..n).map(|i| penalty.prox(i, work.x[i] - work.gradient[i] / l, 1.0 / l) - work.x[i]).collect();
        model.advance(&mut work, &all, &step);
    }
    model.value(&work) + penalty.value(&work.x)
}

#[test]
fn the_sparse_settings_find_the_solution_of_every_problem_in_few_steps() {
    for (name, model) in models() {
        let n = model.size();
        for penalty in [
            Penalty::l1(n, 3.0).unwrap(),
            Penalty::non_negative(n, 1.0).unwrap(),
            Penalty::l1(n, 1.0).unwrap().within(Bounds::uniform(n, -0.05, 0.1).unwrap()).unwrap(),
        ] {
            let found = BlockCoordinateDescent::sparse().minimize(&model, &penalty, &Silent).unwrap();
            assert!(matches!(found.halt, Halt::Converged | Halt::Stalled), "{name}: {:?}", found.halt);
            assert!(found.iterations < 60, "{name}: {}", found.iterations);
            let wanted = by_proximal_gradient(&model, &penalty);
            assert!(found.objective <= wanted + 1e-7 * wanted.abs(), "{name}: {} {wanted}", found.objective);
            // The conditions of optimality, and what is said of the active set.
            let mut work = model.start(found.x.clone());
            model.full_gradient(&mut work);
            for i in 0..n {
                assert!(penalty.steepest(i, found.x[i], work.gradient[i]).abs() < 1e-5, "{name}: variable {i}");
            }
            let active = found.active_set.unwrap();
            let at_kinks = (0..n).filter(|&i| penalty.margin(i, found.x[i], 0.0).is_some()).count();
            assert_eq!(active.size, at_kinks, "{name}");
            assert!(active.identified <= found.iterations);
        }
    }
}

#[test]
fn warm_starts_need_fewer_iterations() {
    let model = logistic(80, 30, true, 12);
    let sparse = BlockCoordinateDescent::sparse();
    let near = sparse.minimize(&model, &Penalty::l1(30, 3.0).unwrap(), &Silent).unwrap();
    let penalty = Penalty::l1(30, 2.9).unwrap();
    let cold = sparse.minimize(&model, &penalty, &Silent).unwrap();
    let warm = sparse.minimize_from(&model, &penalty, &near.x, &Silent).unwrap();
    assert!((cold.objective - warm.objective).abs() < 1e-8 * cold.objective);
    assert!(warm.iterations < cold.iterations, "{} {}", warm.iterations, cold.iterations);
}

fn random_tree(n: usize, seed: u64) -> Vec<(usize, usize)> {
    use rand::RngExt;
    let mut rng = Seed(seed).rng();
    // About one variable in ten begins a new tree.
    let mut edges = Vec::new();
    for i in 1..n {
        if rng.random::<f64>() > 0.1 {
            edges.push((rng.random_range(0..i), i));
        }
    }
    edges
}

#[test]
fn messages_solve_trees_as_a_dense_factorisation_does() {
    for seed in 0..5 {
        let n = 60;
        let problem = on_graph(n, &random_tree(n, seed), seed);
        let block: Vec<usize> = (0..n).filter(|i| i % 7 != 3).collect();
        let rhs: Vec<f64> = block.iter().map(|i| (*i as f64).sin()).collect();
        let mut found = rhs.clone();
        assert!(solve_forest(&problem, &block, &mut found).unwrap());
        let mut h = Mat::zeros(block.len(), block.len());
        problem.bound(&mut problem.start(vec![0.0; n]), &block, h.as_mut());
        let wanted = h.llt(Side::Lower).unwrap().solve(Mat::from_fn(block.len(), 1, |i, _| rhs[i]));
        assert!((0..block.len()).all(|p| (found[p] - wanted[(p, 0)]).abs() < 1e-10 * wanted.norm_max()));
        let (beliefs, rounds) = belief_propagation(&problem, &block, &rhs, 100).unwrap();
        assert!(rounds < 100 && (0..block.len()).all(|p| (found[p] - beliefs[p]).abs() < 1e-6 * wanted.norm_max()));
    }
}

#[test]
fn chains_stars_and_cycles() {
    // The Thomas algorithm's chain: −1 2 −1 with the solution 1 everywhere.
    let n = 1000;
    let chain: Vec<(usize, usize, f64)> = (0..n).map(|i| (i, i, 2.0)).chain((1..n).map(|i| (i - 1, i, -1.0))).collect();
    let ends: Vec<f64> = (0..n).map(|i| if i == 0 || i + 1 == n { 1.0 } else { 0.0 }).collect();
    let problem = Quadratic::from_entries(n, &chain, ends.clone()).unwrap();
    let all: Vec<usize> = (0..n).collect();
    let mut x = ends;
    assert!(solve_forest(&problem, &all, &mut x).unwrap());
    assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-9));
    // A star, and a path as long, need no stack.
    let n = 100_000;
    for edges in [(1..n).map(|i| (0, i)).collect::<Vec<_>>(), (1..n).map(|i| (i - 1, i)).collect()] {
        let problem = on_graph(n, &edges, 3);
        let mut x = vec![1.0; n];
        assert!(solve_forest(&problem, &(0..n).collect::<Vec<_>>(), &mut x).unwrap());
        let work = problem.start(x);
        // A x − c + c = 1.
        let linear = problem.start(vec![0.0; n]).gradient;
        assert!((0..n).all(|i| (work.gradient[i] - linear[i] - 1.0).abs() < 1e-8));
    }
    let cycle = on_graph(4, &[(0, 1), (1, 2), (2, 3), (3, 0)], 1);
    let mut x = vec![1.0; 4];
    assert!(!solve_forest(&cycle, &[0, 1, 2, 3], &mut x).unwrap(), "a cycle is no forest");
    assert_eq!(greedy_forest(&cycle, &[0, 1, 2, 3]).len(), 3);
    let complete = on_graph(4, &[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], 1);
    assert_eq!(forest_partition(&complete, &[0, 1, 2, 3]).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn lattices_are_red_and_black_and_two_combs() {
    let (rows, columns) = (7, 6);
    let at = |r: usize, c: usize| r * columns + c;
    let mut edges = Vec::new();
    for r in 0..rows {
        for c in 0..columns {
            if c + 1 < columns {
                edges.push((at(r, c), at(r, c + 1)));
            }
            if r + 1 < rows {
                edges.push((at(r, c), at(r + 1, c)));
            }
        }
    }
    let lattice = on_graph(rows * columns, &edges, 2);
    let classes = colouring(&lattice);
    assert_eq!(classes.len(), 2);
    for class in &classes {
        assert!(class.iter().all(|&i| lattice.neighbours(i).all(|(j, _)| j == i || !class.contains(&j))));
    }
    let teeth = combs(rows, columns);
    assert_eq!(teeth.concat().len(), rows * columns);
    for block in teeth.iter().chain(&forest_partition(&lattice, &(0..rows * columns).collect::<Vec<_>>())) {
        let mut rhs = vec![1.0; block.len()];
        assert!(solve_forest(&lattice, block, &mut rhs).unwrap(), "{block:?}");
    }
    // All kinds of blocks come to the same solution.
    let n = rows * columns;
    let wanted = method(Blocks::Variable { size: n }, Rule::GaussSouthwell, Update::Matrix, 3);
    let wanted = wanted.minimize(&lattice, &Penalty::none(n), &Silent).unwrap().x;
    for blocks in [
        Blocks::Forest,
        Blocks::Given(teeth),
        Blocks::Fixed { partition: Partition::Forests, size: 1 },
        Blocks::Fixed { partition: Partition::Colouring, size: 1 },
        Blocks::Fixed { partition: Partition::AverageRows, size: 4 },
    ] {
        for rule in [Rule::GaussSouthwell, Rule::GaussSouthwellDiagonal, Rule::Random] {
            let found =
                method(blocks.clone(), rule, Update::Matrix, 3000).minimize(&lattice, &Penalty::none(n), &Silent);
            let found = found.unwrap();
            assert!((0..n).all(|i| (found.x[i] - wanted[i]).abs() < 1e-6), "{blocks:?} {rule:?}: {:?}", found.halt);
        }
    }
}

#[test]
fn labels_propagate_along_a_path() {
    // 0 – 1 – 2 – 3 with labels 0 and 3 at the ends: linear between.
    let edges = [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)];
    let task = LabelPropagation::new(4, &edges, &[(0, 0.0), (3, 3.0)]).unwrap();
    let found = method(Blocks::Forest, Rule::GaussSouthwell, Update::Matrix, 5);
    let found = found.minimize(&task.problem, &Penalty::none(2), &Silent).unwrap();
    assert_eq!(task.nodes, [1, 2]);
    assert!((found.x[0] - 1.0).abs() < 1e-14 && (found.x[1] - 2.0).abs() < 1e-14);
    let fault = |edges: &[(usize, usize, f64)], labels: &[(usize, f64)]| {
        LabelPropagation::new(4, edges, labels).unwrap_err().to_string()
    };
    assert_eq!(fault(&edges[..2], &[(0, 0.0)]), "labels: node 3 is connected to no labelled node");
    assert_eq!(fault(&edges, &[(0, 0.0), (0, 1.0)]), "labels: node 0 has two labels");
    assert_eq!(fault(&[(0, 9, 1.0)], &[(0, 0.0)]), "edge: the shape is [9], wanted a node below 4");
    assert_eq!(fault(&[(0, 1, 0.0)], &[(0, 0.0)]), "edge weight = 0, wanted a finite number above 0");
    assert_eq!(fault(&[(1, 1, 1.0)], &[(0, 0.0)]), "edges: node 1 has an edge to itself");
}

#[test]
fn bad_problems_and_settings_are_refused_by_name() {
    let design = || Design::from_entries(2, 2, vec![(0, 0, 1.0), (1, 1, 2.0)]).unwrap();
    let text = |fault: Error| fault.to_string();
    assert_eq!(
        text(LinearModel::least_squares(design(), vec![1.0]).unwrap_err()),
        "targets: the shape is [1], wanted [2], one a sample"
    );
    assert_eq!(
        text(LinearModel::logistic(design(), vec![1.0, 0.0]).unwrap_err()),
        "labels: label 1 is 0, wanted -1 or 1"
    );
    assert_eq!(
        text(LinearModel::softmax(design(), &[0, 3], 3).unwrap_err()),
        "labels: label 1 is 3, wanted a class from 0 to 2"
    );
    assert_eq!(text(Penalty::l1(2, -1.0).unwrap_err()), "l1 = -1, wanted a finite number, at least 0");
    let model = LinearModel::least_squares(design(), vec![1.0, 2.0]).unwrap();
    let fault = |method: BlockCoordinateDescent| text(method.minimize(&model, &Penalty::none(2), &Silent).unwrap_err());
    let with = |blocks| BlockCoordinateDescent { blocks, ..Default::default() };
    assert_eq!(fault(with(Blocks::Variable { size: 0 })), "size = 0, wanted from 1 to 2, the number of variables");
    assert_eq!(fault(with(Blocks::Variable { size: 3 })), "size = 3, wanted from 1 to 2, the number of variables");
    assert_eq!(fault(with(Blocks::Given(vec![vec![0], vec![]]))), "blocks: block 1 is empty");
    assert_eq!(
        fault(with(Blocks::Given(vec![vec![0, 1], vec![1]]))),
        "blocks: variable 1 is in block 0 and in block 1"
    );
    assert_eq!(fault(with(Blocks::Given(vec![vec![0]]))), "blocks: variable 1 is in no block");
    assert_eq!(fault(with(Blocks::Given(vec![vec![0, 5]]))), "block 0: the shape is [5], wanted variables below 2");
    assert_eq!(fault(with(Blocks::Forest)), "blocks = forest: needs a quadratic function, whose matrix is a graph");
    let wrong = BlockCoordinateDescent::default().minimize(&model, &Penalty::none(3), &Silent);
    assert_eq!(text(wrong.unwrap_err()), "penalty: the shape is [3], wanted [2], as many variables as the function");
    assert_eq!(
        text(
            Quadratic::from_entries(2, &[(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 1.0)], vec![0.0; 2])
                .unwrap_err()
        ),
        "matrix: not symmetric: entry (0, 1) is 2, entry (1, 0) is 3"
    );
    assert_eq!(
        text(Quadratic::from_entries(2, &[(0, 0, 1.0), (1, 1, -4.0)], vec![0.0; 2]).unwrap_err()),
        "matrix: pivot -4.000e0 at variable 1, wanted a positive definite matrix"
    );
    // Positive on the diagonal, but not definite: found when the block is solved.
    let indefinite = Quadratic::from_entries(2, &[(0, 0, 1.0), (0, 1, 2.0), (1, 1, 1.0)], vec![1.0, 0.0]).unwrap();
    let solved = method(Blocks::Forest, Rule::GaussSouthwell, Update::Matrix, 5).minimize(
        &indefinite,
        &Penalty::none(2),
        &Silent,
    );
    assert!(matches!(solved, Err(Error::Rank { .. })), "{solved:?}");
    assert!(matches!(
        BlockCoordinateDescent::default().minimize(
            &least_squares(9, 6, false, 1),
            &Penalty::none(6),
            &Recorder::stopping_after(0)
        ),
        Err(Error::Stopped)
    ));
}

#[test]
fn zero_columns_stay_and_are_told_of() {
    let design = Design::from_entries(3, 3, vec![(0, 0, 1.0), (1, 2, 2.0), (2, 2, 1.0)]).unwrap();
    let model = LinearModel::least_squares(design, vec![3.0, 4.0, 2.0]).unwrap();
    for rule in RULES {
        for blocks in [Blocks::Variable { size: 2 }, Blocks::Fixed { partition: Partition::Order, size: 2 }] {
            let found = method(blocks, rule, Update::Matrix, 50).minimize(&model, &Penalty::none(3), &Silent).unwrap();
            assert!((found.x[0] - 3.0).abs() < 1e-12 && found.x[1] == 0.0 && (found.x[2] - 2.0).abs() < 1e-12);
            assert!(found.warnings[0].starts_with("1 of 3 variables change nothing"));
        }
    }
    let empty = LinearModel::least_squares(Design::from_entries(1, 1, vec![]).unwrap(), vec![1.0]).unwrap();
    let fault = BlockCoordinateDescent { blocks: Blocks::Variable { size: 1 }, ..Default::default() };
    assert!(
        fault.minimize(&empty, &Penalty::none(1), &Silent).unwrap_err().to_string().starts_with("problem: no variable")
    );
}

#[test]
fn more_variables_than_samples_and_repeated_columns_are_no_trouble() {
    let a = Mat::from_fn(5, 8, |i, j| ((i * 3 + (j / 2) * 5) % 7) as f64 - 3.0);
    let model = LinearModel::least_squares(Design::dense(a.as_ref()).unwrap(), vec![1.0, -2.0, 0.5, 3.0, 0.0]).unwrap();
    for update in UPDATES {
        for penalty in [Penalty::none(8), Penalty::l1(8, 0.5).unwrap(), Penalty::non_negative(8, 0.1).unwrap()] {
            let found = method(Blocks::Variable { size: 8 }, Rule::GaussSouthwellDiagonal, update, 4000);
            let found = found.minimize(&model, &penalty, &Silent).unwrap();
            let wanted = by_proximal_gradient(&model, &penalty);
            assert!(found.objective <= wanted + 1e-6, "{update:?}: {} {wanted}", found.objective);
        }
    }
}

#[test]
fn black_boxes_need_a_search_or_constants() {
    let problem = BlackBox::new(TestFunction::named("sphere").unwrap(), 4).unwrap();
    let fault = BlockCoordinateDescent { blocks: Blocks::Variable { size: 2 }, ..Default::default() };
    let fault = fault.minimize(&problem, &Penalty::none(4), &Silent).unwrap_err().to_string();
    assert_eq!(fault, "update = matrix: needs constants, which this function does not have");
    let bowl = |x: &[f64]| x.iter().enumerate().map(|(i, v)| (i + 1) as f64 * (v - 1.0).powi(2)).sum::<f64>();
    let known = BlackBox::with_constants(&bowl, vec![2.0, 4.0, 6.0, 8.0]).unwrap();
    for rule in [Rule::Cyclic, Rule::GaussSouthwellDiagonal] {
        for update in [Update::Gradient, Update::GradientSearch, Update::Matrix] {
            let one =
                BlockCoordinateDescent { tolerance: 1e-6, ..method(Blocks::Variable { size: 2 }, rule, update, 500) };
            let bounds = Bounds::uniform(4, f64::NEG_INFINITY, 0.5).unwrap();
            let free = one.minimize(&known, &Penalty::none(4), &Silent).unwrap();
            assert!(free.x.iter().all(|x| (x - 1.0).abs() < 1e-5), "{rule:?} {update:?}: {free:?}");
            let held = one.minimize(&known, &Penalty::none(4).within(bounds).unwrap(), &Silent).unwrap();
            assert!(held.x.iter().all(|x| *x == 0.5), "{rule:?} {update:?}: {:?}", held.x);
        }
    }
}

#[test]
fn argmin_makes_the_same_iterations() {
    let penalty = Penalty::l1(20, 2.0).unwrap();
    let one = method(Blocks::Variable { size: 4 }, Rule::PermutedCyclic, Update::Matrix, 25);
    let alone = one.minimize(&logistic(60, 20, true, 3), &penalty, &Silent).unwrap();
    let solver = BlockCoordinateSolver::new(one, penalty);
    // A solver that was written down and read again goes on by itself.
    let text = serde_json::to_string(&solver).unwrap();
    let solver: BlockCoordinateSolver = serde_json::from_str(&text).unwrap();
    let run = Executor::new(logistic(60, 20, true, 3), solver).configure(|state| state.max_iters(25)).run().unwrap();
    assert_eq!(run.state().get_param(), Some(&alone.x));
    assert_eq!(run.state().get_cost(), alone.history.last().unwrap().objective);
    let wrong = BlockCoordinateSolver::new(BlockCoordinateDescent::default(), Penalty::none(3));
    assert!(Executor::new(logistic(60, 20, true, 3), wrong).run().is_err());
}

#[test]
fn the_bound_on_identification_is_as_derived() {
    let bound = identification_bound(0.1, 2.0, 0.5, 0.1, 3.0);
    assert!((bound - 10.0 * (8.0 * 4.0 * 3.0 / (0.5 * 0.01_f64)).ln()).abs() < 1e-9);
    assert_eq!(identification_bound(0.1, 1.0, 1.0, 1.0, 1e-9), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the problem and the settings: an error or a finite objective no higher than at the start; the same again.
    #[test]
    fn never_a_panic(
        m in 1_usize..12, n in 1_usize..9, size in 0_usize..10, rule in 0_usize..9, update in 0_usize..5,
        blocks in 0_usize..4, l1 in 0.0..2.0_f64, bounded: bool, seed: u64,
    ) {
        let model = least_squares(m, n, true, seed % 1000);
        let blocks = match blocks {
            0 => Blocks::Variable { size },
            1 => Blocks::Growing { size },
            2 => Blocks::Forest,
            _ => Blocks::Fixed { partition: Partition::Average, size },
        };
        let mut penalty = Penalty::l1(n, l1).unwrap();
        if bounded {
            penalty = penalty.within(Bounds::uniform(n, -0.5, 0.25).unwrap()).unwrap();
        }
        let run = BlockCoordinateDescent { seed: Seed(seed), ..method(blocks, RULES[rule], UPDATES[update], 40) };
        let start = model.value(&model.start(vec![0.0; n]));
        if let Ok(found) = run.minimize(&model, &penalty, &Silent) {
            prop_assert!(found.objective.is_finite() && found.objective <= start * (1.0 + 1e-12) + 1e-12);
            prop_assert_eq!(&found, &run.minimize(&model, &penalty, &Silent).unwrap());
            if bounded {
                prop_assert!(found.x.iter().all(|x| (-0.5..=0.25).contains(x)));
            }
        }
    }
}
