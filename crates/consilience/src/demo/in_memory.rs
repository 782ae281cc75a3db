//! The experts merged in memory: the closed forms that look at data, and the merges that learn without labels.

use burn::tensor::{Device, Tensor};
use consilience_core::{Progress, Result, Seed};
use consilience_merging::learned::{
    AdaMerging, ConcreteAdaMerging, ConcreteTaskArithmetic, EntropyObjective, Granularity,
};
use consilience_merging::library::{
    FisherMerging, Grams, Merge, Pool, RegMean, SimpleAverage, TaskArithmetic, TiesMerging,
};
use consilience_nn::{Parameters, batch_of, diagonal_fisher_of_linear};

use super::tasks::{Net, Task};

/// A merged network, and how its loss fell where it was learned.
pub struct Merged {
    /// The method, as the table names it.
    pub method: &'static str,
    /// What comes out.
    pub parameters: Parameters,
    /// The entropy in each step.
    pub losses: Vec<f32>,
}

/// Merges the experts by every method of the library.
pub fn merge(base: &Net, experts: &[Net], tasks: &[Task], seed: Seed, progress: &dyn Progress) -> Result<Vec<Merged>> {
    let pool = Pool::new(Parameters::of(base)?, experts.iter().map(Parameters::of).collect::<Result<_>>()?)?;
    let mut merged = Vec::new();
    let mut add = |method, parameters, losses| merged.push(Merged { method, parameters, losses });
    add("simple average", SimpleAverage.merge(&pool)?, vec![]);
    add("task arithmetic, λ = 0.3", TaskArithmetic::default().merge(&pool)?, vec![]);
    add("TIES over the whole model", TiesMerging::default().merge(&pool)?, vec![]);

    let (mut information, mut grams) = (Vec::new(), Vec::new());
    for ((task, expert), theta) in tasks.iter().zip(experts).zip(pool.experts()) {
        let rows: Vec<usize> = (0..task.adapt.len().min(256)).collect();
        let batches = rows.chunks(64).map(|rows| batch_of(&task.adapt, rows, &Device::flex()));
        let batches: Vec<Tensor<2>> = batches.collect::<Result<_>>()?;
        information.push(diagonal_fisher_of_linear(expert, theta, batches.iter().cloned(), progress)?);
        grams.push(Grams::of(expert, batches, progress)?);
    }
    add("Fisher merging", FisherMerging::default().merge(&pool, &information)?, vec![]);
    add("RegMean", RegMean::default().merge(&pool, &grams)?, vec![]);

    let networks = tasks.iter().map(|task| (task.on(base), task.adapt.clone())).collect();
    let objective = EntropyObjective::new(networks, 16, seed.derive("adaptation"))?;
    let ada = |granularity, steps| AdaMerging { granularity, steps, ..AdaMerging::default() };
    for (method, granularity) in
        [("AdaMerging, task-wise", Granularity::TaskWise), ("AdaMerging, layer-wise", Granularity::LayerWise)]
    {
        let result = ada(granularity, 400).merge(&pool, &objective, progress)?;
        add(method, result.parameters, result.losses);
    }
    let plus = ada(Granularity::LayerWise, 400).merge_selected(&pool, &TiesMerging::default(), &objective, progress)?;
    add("AdaMerging++, layer-wise", plus.parameters, plus.losses);
    let concrete =
        ConcreteTaskArithmetic { steps: 600, seed: seed.derive("mask"), ..ConcreteTaskArithmetic::default() };
    let result = concrete.merge(&pool, &objective, progress)?;
    add("Concrete task arithmetic", result.parameters, result.losses);
    let concrete = ConcreteAdaMerging {
        meta_steps: 300,
        adaptation: ada(Granularity::LayerWise, 400),
        seed: seed.derive("mask"),
        ..ConcreteAdaMerging::default()
    };
    let result = concrete.merge(&pool, &objective, progress)?;
    add("Concrete AdaMerging, layer-wise", result.parameters, result.losses);
    Ok(merged)
}
