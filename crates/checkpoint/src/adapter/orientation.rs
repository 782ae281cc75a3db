//! How a module's weight lies in its file: `[out, in]`, or the other way round.

use crate::Checkpoint;

/// How the product of the factors lies over a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orientation {
    /// The weight is `[out, in …]`, as `B A` is.
    Plain,
    /// The weight is `[in, out]`: it is `B A` transposed that is added.
    Transposed,
}

/// Models that have layers of the kind that GPT-2 calls `Conv1D`, whose weight is `[in, out]`; and those layers.
const TRANSPOSING: [&str; 5] = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"];
const TRANSPOSED: [&str; 4] = ["c_attn", "c_proj", "c_fc", "q_attn"];

/// How the factors `a` (`[rank, in …]`) and `b` (`[out, rank …]`) of `module` lie over a weight of shape `weight`; `None`
/// where they do not fit it.
///
/// A square weight fits both ways. The model's type decides then, where it is known to have one kind or both; `flag`, which
/// is what held for the last layer that the adapter was put on, decides for models that are not known.
pub(crate) fn orientation(
    model: &Checkpoint,
    module: &str,
    flag: bool,
    (weight, a, b): (&[usize], &[usize], &[usize]),
) -> Option<Orientation> {
    let plain = weight.first() == b.first() && weight.get(1..) == a.get(1..);
    let transposed = weight.len() == 2 && a.len() == 2 && weight[0] == a[1] && weight[1] == b[0];
    match (plain, transposed) {
        (true, false) => Some(Orientation::Plain),
        (false, true) => Some(Orientation::Transposed),
        (false, false) => None,
        (true, true) => {
            let flipped = stores_transposed(model, module).unwrap_or(flag);
            Some(if flipped { Orientation::Transposed } else { Orientation::Plain })
        }
    }
}

/// Whether the layer `module` stores its weight as `[in, out]`, as GPT-2's layers do; `None` where the model's type does not
/// say.
pub fn stores_transposed(model: &Checkpoint, module: &str) -> Option<bool> {
    let kind = model.config()?.get("model_type")?.as_str()?;
    let layer = module.rsplit('.').next().unwrap_or(module);
    TRANSPOSING.contains(&kind).then(|| TRANSPOSED.contains(&layer))
}
