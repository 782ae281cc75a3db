//! From a method's name and its parameters for one tensor to its kernel.

use consilience_core::{Error, Result, Seed};

use crate::config::Resolved;
use crate::kernels::{
    Active, ArceeFusion, Group, IsoC, IsoCts, Karcher, Linear, ModelStock, MultiSlerp, Nearswap, Nuslerp, Output,
    Passthrough, Ram, RamPlus, Sce, Slerp, Sparsify, TallMask, TaskArithmetic, TsvM,
};

/// A kernel with its parameters.
pub enum Kernel {
    Linear(Linear),
    Slerp(Slerp),
    Nuslerp(Nuslerp),
    MultiSlerp(MultiSlerp),
    Karcher(Karcher),
    TaskArithmetic(TaskArithmetic),
    Sce(Sce),
    ModelStock(ModelStock),
    Nearswap(Nearswap),
    ArceeFusion(ArceeFusion),
    Passthrough(Passthrough),
    Ram(Ram),
    TsvM(TsvM),
    IsoC(IsoC),
    IsoCts(IsoCts),
    TallMask(TallMask),
}

impl Kernel {
    /// The kernel of `method` for one tensor. `resolved.inputs` holds the values of the inputs in the order of the
    /// configuration, of which `base` is the base. `seed` is the tensor's own.
    ///
    /// Errors: a method that does not exist, parameters that do not fit it.
    pub fn new(method: &str, resolved: &Resolved, base: Option<usize>, seed: Seed) -> Result<Self> {
        let shared = &resolved.shared;
        let models = || resolved.inputs.iter().enumerate().filter(|(i, _)| Some(*i) != base).map(|(_, values)| values);
        let each = |name: &str| models().map(|values| values.float(name)).collect::<Result<Vec<f64>>>();
        Ok(match method {
            "linear" => Kernel::Linear(Linear {
                weights: resolved.inputs.iter().map(|values| values.float("weight")).collect::<Result<_>>()?,
                normalize: shared.bool("normalize")?,
            }),
            "slerp" => Kernel::Slerp(Slerp { t: shared.float("t")? }),
            "nuslerp" => Kernel::Nuslerp(Nuslerp {
                weights: each("weight")?.try_into().map_err(|w: Vec<f64>| {
                    Error::shape("weight", [w.len()], "[2]: nuslerp takes two models beside a base")
                })?,
                row_wise: shared.bool("nuslerp_row_wise")?,
                flatten: shared.bool("nuslerp_flatten")?,
            }),
            "multislerp" => Kernel::MultiSlerp(MultiSlerp {
                weights: each("weight")?,
                normalize_weights: shared.bool("normalize_weights")?,
                eps: shared.float("eps")?,
            }),
            "karcher" => Kernel::Karcher(Karcher {
                max_iter: shared.int("max_iter")?.max(0) as usize,
                tol: shared.float("tol")?,
            }),
            "sce" => Kernel::Sce(Sce { select_topk: shared.float("select_topk")? }),
            "model_stock" => Kernel::ModelStock(ModelStock { filter_wise: shared.bool("filter_wise")? }),
            "nearswap" => Kernel::Nearswap(Nearswap { t: shared.float("t")? }),
            "arcee_fusion" => Kernel::ArceeFusion(ArceeFusion),
            "passthrough" => {
                let scale = resolved.inputs.first().map(|values| values.optional_float("scale"));
                Kernel::Passthrough(Passthrough { scale: scale.transpose()?.flatten() })
            }
            "ram" => Kernel::Ram(Ram { epsilon: shared.float("epsilon")?, plus: None }),
            "ramplus_tl" => Kernel::Ram(Ram {
                epsilon: shared.float("epsilon")?,
                plus: Some(RamPlus { r: shared.float("r")?, alpha: shared.float("alpha")? }),
            }),
            "tsv_m" => Kernel::TsvM(TsvM {
                rank_fraction: shared.optional_float("rank_fraction")?,
                lambda: shared.float("lambda")?,
                average: shared.bool("average")?,
                randomized: shared.bool("randomized")?,
                seed,
            }),
            "iso_c" => Kernel::IsoC(IsoC { lambda: shared.float("lambda")?, average: shared.bool("average")? }),
            "iso_cts" => Kernel::IsoCts(IsoCts {
                lambda: shared.float("lambda")?,
                common_fraction: shared.float("common_space_fraction")?,
                average: shared.bool("average")?,
            }),
            "consensus_ta" | "consensus_ties" | "tall_mask" => {
                let ties = method == "consensus_ties";
                let weights = each("weight")?;
                Kernel::TallMask(TallMask {
                    arithmetic: TaskArithmetic {
                        densities: if ties { each("density")? } else { vec![1.0; weights.len()] },
                        weights,
                        sparsify: if ties { Sparsify::Magnitude } else { Sparsify::Keep },
                        elect_sign: ties,
                        normalize: ties && shared.bool("normalize")?,
                        rescale: false,
                        lambda: shared.float("lambda")?,
                        seed,
                    },
                    mask_lambdas: each("tall_mask_lambda")?,
                    strict: shared.bool("tall_mask_strict")?,
                    active: match method {
                        "tall_mask" => Active::Model(only(models().map(|values| values.bool("task")))?),
                        _ => Active::Consensus(shared.int("prun_thre_k")?.max(0) as usize),
                    },
                })
            }
            _ => {
                let sparsify = match method {
                    "task_arithmetic" => Sparsify::Keep,
                    "ties" => Sparsify::Magnitude,
                    "dare_linear" | "dare_ties" => Sparsify::Random,
                    "della" | "della_linear" => Sparsify::RankRandom { epsilon: each("epsilon")? },
                    "breadcrumbs" | "breadcrumbs_ties" => Sparsify::Outliers { gamma: each("gamma")? },
                    _ => {
                        return Err(Error::parameter(
                            "merge_method",
                            method,
                            "a method of `consilience methods --merge`",
                        ));
                    }
                };
                Kernel::TaskArithmetic(TaskArithmetic {
                    weights: each("weight")?,
                    densities: each("density")?,
                    sparsify,
                    elect_sign: matches!(method, "ties" | "dare_ties" | "della" | "breadcrumbs_ties"),
                    normalize: shared.bool("normalize")?,
                    rescale: shared.bool("rescale")?,
                    lambda: shared.float("lambda")?,
                    seed,
                })
            }
        })
    }

    /// Merges `group` into `output`.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        match self {
            Kernel::Linear(kernel) => kernel.merge(group, output),
            Kernel::Slerp(kernel) => kernel.merge(group, output),
            Kernel::Nuslerp(kernel) => kernel.merge(group, output),
            Kernel::MultiSlerp(kernel) => kernel.merge(group, output),
            Kernel::Karcher(kernel) => kernel.merge(group, output),
            Kernel::TaskArithmetic(kernel) => kernel.merge(group, output),
            Kernel::Sce(kernel) => kernel.merge(group, output),
            Kernel::ModelStock(kernel) => kernel.merge(group, output),
            Kernel::Nearswap(kernel) => kernel.merge(group, output),
            Kernel::ArceeFusion(kernel) => kernel.merge(group, output),
            Kernel::Passthrough(kernel) => kernel.merge(group, output),
            Kernel::Ram(kernel) => kernel.merge(group, output),
            Kernel::TsvM(kernel) => kernel.merge(group, output),
            Kernel::IsoC(kernel) => kernel.merge(group, output),
            Kernel::IsoCts(kernel) => kernel.merge(group, output),
            Kernel::TallMask(kernel) => kernel.merge(group, output),
        }
    }

    /// Whether it copies its one input as it is.
    pub fn is_copy(&self) -> bool {
        matches!(self, Kernel::Passthrough(Passthrough { scale: None }))
    }
}

/// The one model that is marked as the task.
fn only(marks: impl Iterator<Item = Result<bool>>) -> Result<usize> {
    let marks = marks.collect::<Result<Vec<bool>>>()?;
    let marked: Vec<usize> = marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(i, _)| i).collect();
    match marked[..] {
        [one] => Ok(one),
        _ => Err(Error::parameter(
            "task",
            format!("true for {} of the models", marked.len()),
            "`task: true` in the parameters of exactly one model other than the base, which has every tensor",
        )),
    }
}

/// The kernel that copies its one input as it is.
pub const COPY: Kernel = Kernel::Passthrough(Passthrough { scale: None });
