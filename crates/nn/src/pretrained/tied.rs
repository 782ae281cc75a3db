//! Output heads that are the transposed embeddings.

use consilience_checkpoint::Checkpoint;
use consilience_core::Result;

/// The name of an output head of its own.
pub(super) const HEAD: &str = "lm_head.weight";

/// Whether the network in `checkpoint` has an output head of its own: where `config.json` does not tie it to the embeddings
/// (`tied`), and where it is stored beside the embeddings with other values, as configurations that are saved anew may say
/// that it is tied where it never was.
///
/// Cost: a comparison of both tensors where both are stored.
pub(super) fn has_own_head(checkpoint: &Checkpoint, tied: bool, embeddings: &[&str]) -> Result<bool> {
    if !tied {
        return Ok(true);
    }
    let Some(head) = checkpoint.tensor(HEAD)? else { return Ok(false) };
    for name in embeddings {
        if let Some(tensor) = checkpoint.tensor(name)? {
            let (head, tensor) = (head.view(), tensor.view());
            return Ok(head.dtype() != tensor.dtype()
                || head.shape() != tensor.shape()
                || head.bytes() != tensor.bytes());
        }
    }
    // The embeddings are stored as the head.
    Ok(false)
}
