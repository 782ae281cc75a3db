//! The methods that run the models on examples of their tasks.

use super::table::{TASK_VECTORS, flag, shared};
use super::{DefaultValue, Method, Parameter, Range, Type};

const LEARNED: Method = Method { min_non_base: 1, learned: true, ..TASK_VECTORS };

pub(super) const FISHER: Method = Method {
    name: "fisher",
    title: "Fisher merging",
    reference: Some("https://arxiv.org/abs/2111.09832"),
    summary: "every weight averaged by how much each expert's predictions depend on it",
    parameters: &[
        EXAMPLES,
        BATCH,
        flag("exact", true, "the Fisher information itself; off: one backward a batch, as a fast stand-in"),
        Parameter {
            kind: Type::Int,
            ..shared(
                "draws",
                DefaultValue::Int(0),
                Range::AtLeast(0.0),
                "classes drawn from the predictions for each example, for models with many; 0 takes all classes",
            )
        },
        flag(
            "labels",
            false,
            "count the labelled class alone (empirical Fisher) instead of all classes by probability",
        ),
        flag("normalise", true, "let every expert count alike, whatever the size of its gradients"),
        shared("floor", DefaultValue::Float(1e-6), Range::Above(0.0), "added to every entry of the information"),
    ],
    ..LEARNED
};

pub(super) const REGMEAN: Method = Method {
    name: "regmean",
    title: "RegMean",
    reference: Some("https://arxiv.org/abs/2212.09849"),
    summary: "linear layers whose outputs are closest to all experts' own; the rest averaged",
    parameters: &[
        EXAMPLES,
        BATCH,
        shared(
            "off_diagonal",
            DefaultValue::Float(0.9),
            Range::Within(0.0, 1.0),
            "what entries of the inputs' Gram matrices off the diagonal are multiplied by",
        ),
        shared("jitter", DefaultValue::Float(1e-6), Range::AtLeast(0.0), "added to the diagonal, relative to its mean"),
    ],
    ..LEARNED
};

pub(super) const ADAMERGING: Method = Method {
    name: "adamerging",
    title: "AdaMerging",
    reference: Some("https://arxiv.org/abs/2310.02575"),
    summary: "task vectors weighted so that predictions on unlabelled examples are certain",
    parameters: &[
        LAYER_WISE,
        flag("plus_plus", false, "AdaMerging++: weigh only the entries that TIES selects"),
        shared(
            "density",
            DefaultValue::Float(0.2),
            Range::Within(0.0, 1.0),
            "the share of entries that TIES keeps for AdaMerging++",
        ),
        flag("clamp", true, "keep the weights within [0, 1]"),
        LAMBDA,
        steps("steps", 1000, "steps of Adam on the weights"),
        LEARNING_RATE,
        BATCH,
    ],
    ..LEARNED
};

pub(super) const CONCRETE_TASK_ARITHMETIC: Method = Method {
    name: "concrete_task_arithmetic",
    title: "Concrete task arithmetic",
    reference: Some("https://arxiv.org/abs/2312.06173"),
    summary: "task arithmetic under one mask, learned so that predictions on unlabelled examples are certain",
    parameters: &[
        LAMBDA,
        TEMPERATURE,
        BINARY_MASK,
        MEAN_MASK,
        steps("steps", 2000, "steps of Adam on the mask"),
        LEARNING_RATE,
        BATCH,
    ],
    ..LEARNED
};

pub(super) const CONCRETE_ADAMERGING: Method = Method {
    name: "concrete_adamerging",
    title: "Concrete AdaMerging",
    reference: Some("https://arxiv.org/abs/2312.06173"),
    summary: "a mask learned for use with merging weights, then the weights",
    parameters: &[
        LAYER_WISE,
        flag("clamp", true, "keep the weights within [0, 1]"),
        LAMBDA,
        TEMPERATURE,
        BINARY_MASK,
        MEAN_MASK,
        steps("meta_steps", 2000, "steps of Adam on the mask"),
        steps("steps", 1000, "steps of Adam on the weights under the finished mask"),
        LEARNING_RATE,
        shared(
            "inner_learning_rate",
            DefaultValue::Nothing,
            Range::Above(0.0),
            "the step on the weights within each step on the mask [1, for language models 0.1]",
        ),
        BATCH,
    ],
    ..LEARNED
};

const LAYER_WISE: Parameter = flag("layer_wise", true, "one weight a task and tensor; off: one a task");
const BINARY_MASK: Parameter = flag("binary_mask", false, "round the final mask to 0 and 1");
const MEAN_MASK: Parameter = flag("mean_mask", false, "take the mean of the final mask instead of a draw");

const LAMBDA: Parameter =
    shared("lambda", DefaultValue::Float(0.3), Range::Any, "the weight of every task vector, or where weights start");
const TEMPERATURE: Parameter =
    shared("temperature", DefaultValue::Float(0.5), Range::Above(0.0), "how soft the mask is");
const LEARNING_RATE: Parameter =
    shared("learning_rate", DefaultValue::Nothing, Range::Above(0.0), "Adam's rate [1e-3, for language models 1e-4]");
const BATCH: Parameter = Parameter {
    kind: Type::Int,
    ..shared(
        "batch",
        DefaultValue::Nothing,
        Range::AtLeast(1.0),
        "examples of each task a step [16, for language models 8]",
    )
};
const EXAMPLES: Parameter = steps("examples", 256, "examples of each task to look at");

const fn steps(name: &'static str, default: i64, description: &'static str) -> Parameter {
    Parameter { kind: Type::Int, ..shared(name, DefaultValue::Int(default), Range::AtLeast(1.0), description) }
}
