use consilience_core::{LabelledSamples, Samples, Seed, Split};
use proptest::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::*;

/// `per_class` training and 2 test samples for each class, sample i of class c holding the values c and i.
pub(crate) fn split(classes: usize, per_class: usize) -> Split {
    let side = |per_class: usize| {
        let values = (0..classes).flat_map(|c| (0..per_class).flat_map(move |i| [c as f32, i as f32])).collect();
        let labels = (0..classes as u32).flat_map(|c| vec![c; per_class]).collect();
        LabelledSamples::new(Samples::new(values, &[2]).unwrap(), labels, classes).unwrap()
    };
    Split { train: side(per_class), test: side(2) }
}

fn all_rows(stream: &Stream) -> Vec<u32> {
    let mut rows: Vec<u32> = stream.tasks().iter().flat_map(|task| task.rows().to_vec()).collect();
    rows.sort_unstable();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn blurry_tasks_are_the_training_set_in_parts(
        disjoint in 0.0_f64..=1.0, blur in 0.0_f64..=1.0, tasks in 1_usize..7, fixed: bool, seed: u64,
    ) {
        let split = split(10, 7);
        let blurry = Blurry { tasks, disjoint, blur, fixed };
        let stream = Scenario::Blurry(blurry.clone()).build(&split, Seed(seed)).unwrap();
        prop_assert_eq!(all_rows(&stream), (0..70).collect::<Vec<_>>());
        let sizes = |stream: &Stream| stream.tasks().iter().map(Task::len).collect::<Vec<_>>();
        let plain = Scenario::Blurry(Blurry { blur: 0.0, ..blurry }).build(&split, Seed(seed)).unwrap();
        prop_assert_eq!(sizes(&stream), sizes(&plain), "blurring keeps the sizes");
        let mut seen = Vec::new();
        for task in plain.tasks() {
            prop_assert!(task.classes.iter().all(|class| !seen.contains(class)), "a class in two tasks");
            seen.extend_from_slice(&task.classes);
            // Classes are numbered by their first appearance.
            prop_assert!(seen.iter().all(|class| (*class as usize) < seen.len()));
        }
    }

    #[test]
    fn class_incremental_tasks_cover_all_samples(tasks in 1_usize..=10, seed: u64, keep_order: bool) {
        let stream =
            Scenario::Class(ClassIncremental { tasks, keep_order, first: None }).build(&split(10, 3), Seed(seed)).unwrap();
        prop_assert_eq!(all_rows(&stream), (0..30).collect::<Vec<_>>());
        let classes: Vec<u32> = stream.tasks().iter().flat_map(|task| task.classes.clone()).collect();
        prop_assert_eq!(classes, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn labels_go_with_their_samples() {
    let stream = Scenario::Class(ClassIncremental::default()).build(&split(10, 4), Seed(3)).unwrap();
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    stream.read_train(2, &(0..8).collect::<Vec<_>>(), &mut values, &mut labels);
    for (sample, label) in values.chunks(2).zip(&labels) {
        assert_eq!(sample[0] as u32, stream.class_order()[*label as usize]);
        assert!([4, 5].contains(label));
    }
}

#[test]
fn the_first_task_may_be_larger() {
    let scenario = |first, tasks| Scenario::Class(ClassIncremental { tasks, first: Some(first), keep_order: false });
    let stream = scenario(4, 4).build(&split(10, 1), Seed(0)).unwrap();
    let sizes: Vec<usize> = stream.tasks().iter().map(|task| task.classes.len()).collect();
    assert_eq!(sizes, [4, 2, 2, 2]);
    assert!(scenario(9, 3).build(&split(10, 1), Seed(0)).is_err());
    assert!(scenario(0, 3).build(&split(10, 1), Seed(0)).is_err());
}

#[test]
fn split_domains_share_their_labels() {
    let domain = DomainIncremental { tasks: 5, shift: Shift::Split };
    let stream = Scenario::Domain(domain).build(&split(10, 3), Seed(0)).unwrap();
    assert_eq!((stream.outputs(), stream.head()), (2, HeadMode::Shared));
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    stream.read_train(3, &(0..6).collect::<Vec<_>>(), &mut values, &mut labels);
    assert_eq!(labels, [0, 0, 0, 1, 1, 1]);
    let uneven = DomainIncremental { tasks: 3, shift: Shift::Split };
    let error = Scenario::Domain(uneven).build(&split(10, 3), Seed(0)).unwrap_err().to_string();
    assert!(error.starts_with("tasks = 3, wanted a divisor of 10"), "{error}");
}

#[test]
fn uniform_classes_come_equally_often() {
    let scole = Scole { tasks: 5000, ..Scole::default() };
    let tasks = scole.draw(10, Seed(1664)).unwrap();
    assert_eq!(tasks, scole.draw(10, Seed(1664)).unwrap());
    let mut counts = [0.0_f64; 10];
    for classes in &tasks {
        assert!(classes.len() == 2 && classes[0] < classes[1]);
        classes.iter().for_each(|class| counts[*class as usize] += 1.0);
    }
    assert!(counts.iter().all(|count| (count / 5000.0 - 0.2).abs() < 0.02), "{counts:?}");
    let statistic: f64 = counts.iter().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
    assert!(ChiSquared::new(9.0).unwrap().sf(statistic) > 1e-4, "{statistic}");
}

#[test]
fn imbalanced_laws_are_those_of_the_formula() {
    for (exponent, first, last) in [(1.0, 1.0 / 7.75, 0.55 / 7.75), (2.0, 1.0 / 6.2125, 0.55 * 0.55 / 6.2125)] {
        let scole = Scole { law: Law::Imbalanced { slope: 0.05, exponent }, ..Scole::default() };
        let mut law = scole.probabilities(10, Seed(0)).unwrap();
        law.sort_by(|a, b| b.total_cmp(a));
        assert!((law[0] - first).abs() < 1e-12 && (law[9] - last).abs() < 1e-12, "{law:?}");
    }
}

#[test]
fn variants_restrict_the_classes() {
    let draw = |variant, tasks| Scole { tasks, variant, ..Scole::default() }.draw(10, Seed(5)).unwrap();
    let periods = draw(Variant::Periods, 40);
    assert!(periods[..20].iter().flatten().all(|c| *c < 5) && periods[20..].iter().flatten().all(|c| *c >= 5));
    let forgetting = draw(Variant::Forgetting, 40);
    assert!(forgetting[20..].iter().flatten().all(|c| *c < 5) && forgetting[..20].iter().flatten().any(|c| *c >= 5));
    let cyclic = draw(Variant::Cyclic, 20);
    assert_eq!(cyclic[..5], cyclic[5..10]);
    let disjoint = draw(Variant::Disjoint, 20);
    assert!(disjoint.chunks(4).all(|block| block.iter().all(|classes| *classes == block[0])));
    assert_eq!(disjoint.iter().step_by(4).flatten().collect::<std::collections::HashSet<_>>().len(), 10);
    let mut restricted = draw(Variant::Restricted { share: 0.2 }, 500);
    restricted.sort();
    restricted.dedup();
    assert_eq!(restricted.len(), 9, "a fifth of the 45 pairs");
    let walk = draw(Variant::RandomisedOrder { replace: 0.0 }, 45);
    assert_eq!((walk[0].clone(), walk[44].clone()), (vec![0, 1], vec![8, 9]));
}

#[test]
fn bad_streams_are_refused() {
    let small = split(3, 2);
    let build = |scenario: Scenario| scenario.build(&small, Seed(0)).unwrap_err().to_string();
    let classes = build(Scenario::Class(ClassIncremental { tasks: 4, ..Default::default() }));
    assert_eq!(classes, "tasks = 4, wanted 1 to 3, the number of classes");
    assert_eq!(
        build(Scenario::Blurry(Blurry { blur: 1.5, ..Blurry::default() })),
        "blur = 1.5, wanted a number in [0, 1]"
    );
    let scole = |classes, law, variant| Scenario::Scole(Scole { classes, law, variant, ..Scole::default() });
    assert_eq!(build(scole(4, Law::Uniform, Variant::Free)), "classes = 4, wanted 1 to 3, the number of classes");
    assert!(build(scole(2, Law::Weights(vec![1.0, 0.0, 0.0]), Variant::Free)).contains("at least 2 classes"));
    assert!(build(scole(2, Law::Weights(vec![1.0, f64::NAN, 1.0]), Variant::Free)).contains("finite"));
    assert!(build(scole(2, Law::Uniform, Variant::Periods)).contains("at most 1"));
    let mut test_only = split(3, 2);
    test_only.train = test_only.train.select(&[0, 1, 2, 3]).unwrap();
    let error = Scenario::Class(ClassIncremental { tasks: 1, ..Default::default() }).build(&test_only, Seed(0));
    assert_eq!(error.unwrap_err().to_string(), "samples: class 2 has 2 test samples and no training sample");
}
