//! The methods that configurations know: those of mergekit 0.1.5, then those that it lacks.

use super::{BasePolicy, DefaultValue, Method, Parameter, Range, Scope, Type, learned};

/// Every method that a configuration can name: the 20 of mergekit first, then those without data, then those that learn.
pub static METHODS: [Method; 31] = [
    Method {
        name: "linear",
        title: "Linear",
        reference: Some("https://arxiv.org/abs/2203.05482"),
        summary: "the weighted average of all models (model soup)",
        parameters: &[
            Parameter { scope: Scope::Input, ..WEIGHT },
            flag("normalize", true, "divide by the sum of the weights"),
        ],
        ..COMMON
    },
    Method {
        name: "slerp",
        title: "SLERP",
        reference: Some("https://en.wikipedia.org/wiki/Slerp"),
        summary: "the spherical way from the base to one other model",
        base: BasePolicy::Required,
        min_inputs: 2,
        max_inputs: Some(2),
        parameters: &[shared(
            "t",
            DefaultValue::Required,
            Range::Within(0.0, 1.0),
            "how far to go: 0 is the base, 1 the other model",
        )],
        ..COMMON
    },
    Method {
        name: "nuslerp",
        title: "NuSLERP",
        reference: None,
        summary: "the spherical way between two models or two task vectors, by relative weights",
        base: BasePolicy::Optional,
        min_non_base: 2,
        max_non_base: Some(2),
        parameters: &[
            WEIGHT,
            flag("nuslerp_row_wise", false, "interpolate row by row (needs `nuslerp_flatten: false`)"),
            flag("nuslerp_flatten", true, "treat the tensor as one vector"),
        ],
        ..COMMON
    },
    Method {
        name: "multislerp",
        title: "Multi-SLERP",
        reference: Some("https://goddard.blog/posts/multislerp-wow-what-a-cool-idea"),
        summary: "the weighted mean of several models on a sphere, in the tangent space at their mean",
        base: BasePolicy::Optional,
        min_non_base: 1,
        parameters: &[
            WEIGHT,
            flag("normalize_weights", true, "divide the weights by their sum"),
            shared("eps", DefaultValue::Float(1e-8), Range::Above(0.0), "added to norms before dividing by them"),
        ],
        ..COMMON
    },
    Method {
        name: "karcher",
        title: "Karcher mean",
        reference: Some("https://arxiv.org/abs/2603.04972"),
        summary: "the point of the sphere with the least squared distance to all models",
        parameters: &[
            Parameter {
                kind: Type::Int,
                ..shared("max_iter", DefaultValue::Int(10), Range::AtLeast(0.0), "the most iterations")
            },
            shared("tol", DefaultValue::Float(1e-5), Range::Above(0.0), "the step below which the iteration stops"),
        ],
        ..COMMON
    },
    Method {
        name: "task_arithmetic",
        title: "Task arithmetic",
        reference: Some("https://arxiv.org/abs/2212.04089"),
        summary: "the base plus the weighted sum of the task vectors",
        parameters: &[INT8_MASK, normalize(false), rescale(false), LAMBDA, WEIGHT, DENSITY],
        ..TASK_VECTORS
    },
    Method {
        name: "ties",
        title: "TIES",
        reference: Some("https://arxiv.org/abs/2306.01708"),
        summary: "task vectors trimmed to their largest entries, added where they agree in sign",
        parameters: &[INT8_MASK, normalize(true), rescale(false), LAMBDA, WEIGHT, DENSITY],
        ..TASK_VECTORS
    },
    Method {
        name: "dare_linear",
        title: "DARE linear",
        reference: Some("https://arxiv.org/abs/2311.03099"),
        summary: "task vectors with entries dropped at random and the rest rescaled, added up",
        parameters: &[INT8_MASK, normalize(false), rescale(true), LAMBDA, WEIGHT, DENSITY],
        ..TASK_VECTORS
    },
    Method {
        name: "dare_ties",
        title: "DARE TIES",
        reference: Some("https://arxiv.org/abs/2311.03099"),
        summary: "task vectors with entries dropped at random and the rest rescaled, added where they agree in sign",
        parameters: &[INT8_MASK, normalize(false), rescale(true), LAMBDA, WEIGHT, DENSITY],
        ..TASK_VECTORS
    },
    Method {
        name: "della",
        title: "DELLA",
        reference: Some("https://arxiv.org/abs/2406.11617"),
        summary: "as DARE TIES, with small entries dropped more often than large ones",
        parameters: &[INT8_MASK, normalize(true), rescale(true), LAMBDA, WEIGHT, DENSITY, EPSILON],
        ..TASK_VECTORS
    },
    Method {
        name: "della_linear",
        title: "DELLA linear",
        reference: Some("https://arxiv.org/abs/2406.11617"),
        summary: "as DARE linear, with small entries dropped more often than large ones",
        parameters: &[INT8_MASK, normalize(false), rescale(true), LAMBDA, WEIGHT, DENSITY, EPSILON],
        ..TASK_VECTORS
    },
    Method {
        name: "breadcrumbs",
        title: "Model Breadcrumbs",
        reference: Some("https://arxiv.org/abs/2312.06795"),
        summary: "task vectors without their smallest entries and without outliers, added up",
        parameters: &[INT8_MASK, normalize(false), rescale(false), LAMBDA, WEIGHT, DENSITY, GAMMA],
        ..TASK_VECTORS
    },
    Method {
        name: "breadcrumbs_ties",
        title: "Model Breadcrumbs with TIES",
        reference: Some("https://arxiv.org/abs/2312.06795"),
        summary: "task vectors without their smallest entries and without outliers, added where they agree in sign",
        parameters: &[INT8_MASK, normalize(false), rescale(false), LAMBDA, WEIGHT, DENSITY, GAMMA],
        ..TASK_VECTORS
    },
    Method {
        name: "sce",
        title: "SCE",
        reference: Some("https://arxiv.org/abs/2408.07990"),
        summary: "the entries that vary most between task vectors, weighted by energy, minority signs erased",
        parameters: &[
            INT8_MASK,
            shared(
                "select_topk",
                DefaultValue::Float(1.0),
                Range::Within(0.0, 1.0),
                "the share of entries to keep, those of highest variance",
            ),
        ],
        ..TASK_VECTORS
    },
    Method {
        name: "model_stock",
        title: "Model Stock",
        reference: Some("https://arxiv.org/abs/2403.19522"),
        summary: "the average pulled towards the base, by the angle between the task vectors",
        min_inputs: 3,
        parameters: &[flag("filter_wise", false, "an angle for each row, not for the whole tensor")],
        ..TASK_VECTORS
    },
    Method {
        name: "nearswap",
        title: "NearSwap",
        reference: Some("https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001"),
        summary: "the base, moved to the other model where the two are close",
        min_inputs: 2,
        max_inputs: Some(2),
        parameters: &[shared("t", DefaultValue::Required, Range::AtLeast(0.0), "the distance that counts as close")],
        ..TASK_VECTORS
    },
    Method {
        name: "arcee_fusion",
        title: "Arcee Fusion",
        reference: Some("https://arcee.ai"),
        summary: "the base, with the other model's entries where they matter most",
        min_inputs: 2,
        max_inputs: Some(2),
        ..TASK_VECTORS
    },
    Method {
        name: "passthrough",
        title: "Passthrough",
        reference: None,
        summary: "one model as it is, or layers of several stacked",
        max_inputs: Some(1),
        parameters: &[Parameter {
            scope: Scope::Input,
            ..shared("scale", DefaultValue::Nothing, Range::Any, "multiply the tensor by this")
        }],
        ..COMMON
    },
    Method {
        name: "ram",
        title: "Reinforced Agent Merging",
        reference: Some("https://arxiv.org/abs/2601.13572"),
        summary: "task vectors added, averaged where several change the same entry",
        parameters: &[shared(
            "epsilon",
            DefaultValue::Float(1e-5),
            Range::AtLeast(0.0),
            "the change below which an entry counts as unchanged",
        )],
        ..TASK_VECTORS
    },
    Method {
        name: "ramplus_tl",
        title: "Reinforced Agent Merging Plus (tensor-local)",
        reference: Some("https://arxiv.org/abs/2601.13572"),
        summary: "as ram, with entries that one model alone changes amplified by how much is shared",
        parameters: &[
            shared("r", DefaultValue::Float(0.1), Range::Any, "how strongly entries of one model alone are amplified"),
            shared("alpha", DefaultValue::Float(0.2), Range::AtLeast(0.0), "the most of the shared ratio that counts"),
            shared(
                "epsilon",
                DefaultValue::Float(1e-5),
                Range::Above(0.0),
                "the change below which an entry counts as unchanged",
            ),
        ],
        ..TASK_VECTORS
    },
    Method {
        name: "tsv_m",
        title: "Task Singular Vectors",
        reference: Some("https://arxiv.org/abs/2412.00081"),
        summary: "the leading singular vectors of each task matrix, made orthogonal to those of the others",
        parameters: &[
            LAMBDA,
            shared(
                "rank_fraction",
                DefaultValue::Nothing,
                Range::Within(0.0, 1.0),
                "the share of each task matrix's singular triples to keep; without it, one divided by the number of tasks",
            ),
            flag("randomized", false, "find the leading triples by random projection where that is less work"),
            AVERAGE,
        ],
        ..TASK_VECTORS
    },
    Method {
        name: "iso_c",
        title: "Isotropic merging, common subspace",
        reference: Some("https://arxiv.org/abs/2502.04959"),
        summary: "the sum of the task matrices, with all singular values replaced by their mean",
        parameters: &[LAMBDA, AVERAGE],
        ..TASK_VECTORS
    },
    Method {
        name: "iso_cts",
        title: "Isotropic merging, common and task-specific subspaces",
        reference: Some("https://arxiv.org/abs/2502.04959"),
        summary: "as iso_c, with the smallest directions of the sum replaced by the leading ones of each task",
        parameters: &[
            LAMBDA,
            shared(
                "common_space_fraction",
                DefaultValue::Float(0.8),
                Range::Within(0.0, 1.0),
                "the share of the directions that come from the sum",
            ),
            AVERAGE,
        ],
        ..TASK_VECTORS
    },
    Method {
        name: "consensus_ta",
        title: "Consensus task arithmetic",
        reference: Some("https://arxiv.org/abs/2405.07813"),
        summary: "task arithmetic, at the entries that several tasks need",
        parameters: &[LAMBDA, PRUN_THRE_K, WEIGHT_OF_ONE, TALL_MASK_LAMBDA, TALL_MASK_STRICT],
        ..TASK_VECTORS
    },
    Method {
        name: "consensus_ties",
        title: "Consensus TIES",
        reference: Some("https://arxiv.org/abs/2405.07813"),
        summary: "TIES, at the entries that several tasks need",
        parameters: &[
            normalize(false),
            LAMBDA,
            PRUN_THRE_K,
            WEIGHT_OF_ONE,
            Parameter { default: DefaultValue::Float(0.2), ..DENSITY },
            TALL_MASK_LAMBDA,
            TALL_MASK_STRICT,
        ],
        ..TASK_VECTORS
    },
    Method {
        name: "tall_mask",
        title: "TALL mask",
        reference: Some("https://arxiv.org/abs/2405.07813"),
        summary: "the summed task vectors, at the entries that one task needs: that task's model, recovered",
        min_non_base: 1,
        parameters: &[
            LAMBDA,
            WEIGHT_OF_ONE,
            TALL_MASK_LAMBDA,
            TALL_MASK_STRICT,
            Parameter {
                scope: Scope::NonBase,
                ..flag("task", false, "whether this model is the task to recover; true for exactly one")
            },
        ],
        ..TASK_VECTORS
    },
    learned::FISHER,
    learned::REGMEAN,
    learned::ADAMERGING,
    learned::CONCRETE_TASK_ARITHMETIC,
    learned::CONCRETE_ADAMERGING,
];

/// What most methods over plain models share.
pub(super) const COMMON: Method = Method {
    name: "",
    title: "",
    reference: None,
    summary: "",
    base: BasePolicy::Ignored,
    min_inputs: 1,
    max_inputs: None,
    min_non_base: 0,
    max_non_base: None,
    parameters: &[],
    learned: false,
};

/// What the methods over differences to the base share.
pub(super) const TASK_VECTORS: Method = Method { base: BasePolicy::Required, ..COMMON };

const INT8_MASK: Parameter =
    flag("int8_mask", false, "no effect here: mergekit keeps its sign masks in 8 bits with it");

const LAMBDA: Parameter = shared(
    "lambda",
    DefaultValue::Float(1.0),
    Range::Any,
    "multiplies the merged task vector before it joins the base",
);

const WEIGHT: Parameter = each("weight", DefaultValue::Required, Range::Any, "how much this model counts");

const WEIGHT_OF_ONE: Parameter = Parameter { default: DefaultValue::Float(1.0), ..WEIGHT };

const AVERAGE: Parameter =
    flag("average", false, "average the task vectors of a matrix, as is done with tensors that are no matrices");

const PRUN_THRE_K: Parameter = Parameter {
    kind: Type::Int,
    ..shared(
        "prun_thre_k",
        DefaultValue::Int(2),
        Range::AtLeast(0.0),
        "how many tasks must need an entry for it to be kept: 0 keeps all, more than there are tasks none",
    )
};

const TALL_MASK_LAMBDA: Parameter = each(
    "tall_mask_lambda",
    DefaultValue::Float(0.4),
    Range::AtLeast(0.0),
    "how large a task's own change must be against what the merge changed of it; more keeps less",
);

const TALL_MASK_STRICT: Parameter = flag(
    "tall_mask_strict",
    false,
    "leave out changes of just that size, as the published code does; the paper keeps them",
);

const DENSITY: Parameter = each(
    "density",
    DefaultValue::Float(1.0),
    Range::Within(0.0, 1.0),
    "the share of the task vector's entries that is kept",
);

const GAMMA: Parameter = each(
    "gamma",
    DefaultValue::Float(0.01),
    Range::Within(0.0, 1.0),
    "the share of the largest entries that is dropped",
);

const EPSILON: Parameter = each(
    "epsilon",
    DefaultValue::Float(0.15),
    Range::AtLeast(0.0),
    "how far the chance to be kept goes to both sides of the density",
);

const fn normalize(default: bool) -> Parameter {
    flag("normalize", default, "divide by the sum of the weights that take part")
}

const fn rescale(default: bool) -> Parameter {
    flag("rescale", default, "give what is kept of a task vector the sum of magnitudes that it had before")
}

pub(super) const fn flag(name: &'static str, default: bool, description: &'static str) -> Parameter {
    Parameter { kind: Type::Bool, ..shared(name, DefaultValue::Bool(default), Range::Any, description) }
}

pub(super) const fn shared(
    name: &'static str,
    default: DefaultValue,
    range: Range,
    description: &'static str,
) -> Parameter {
    Parameter { name, kind: Type::Float, scope: Scope::Shared, default, range, description }
}

const fn each(name: &'static str, default: DefaultValue, range: Range, description: &'static str) -> Parameter {
    Parameter { name, kind: Type::Float, scope: Scope::NonBase, default, range, description }
}
