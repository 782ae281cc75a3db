//! Tensor names of GGUF files turned to those of Hugging Face models.

/// What a tensor of a GGUF file is to a Hugging Face model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The tensor of this name, its rows as they lie.
    Same(String),
    /// A projection to queries, whose rows a converter may have rearranged.
    Query(String),
    /// A projection to keys, likewise.
    Key(String),
    /// Factors of the rotary frequencies: a setting, no weights.
    RotaryFactors,
}

/// The role of the tensor `name` in a model of Llama's kind with `layers` layers; `None` for a name that such a model does
/// not have.
pub(super) fn role(name: &str, layers: u64) -> Option<Role> {
    let (part, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let outside = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        "rope_freqs.weight" => return Some(Role::RotaryFactors),
        _ => None,
    };
    if let Some(name) = outside {
        return Some(Role::Same(name.to_owned()));
    }
    let (layer, part) = part.strip_prefix("blk.")?.split_once('.')?;
    let number: u64 = layer.parse().ok()?;
    // Only the number's own digits: a second spelling would be a second tensor of the same name.
    if number >= layers || number.to_string() != layer {
        return None;
    }
    let module = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    let name = format!("model.layers.{number}.{module}.{kind}");
    Some(match part {
        "attn_q" => Role::Query(name),
        "attn_k" => Role::Key(name),
        _ => Role::Same(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_and_what_is_outside() {
        let same = |name: &str| Some(Role::Same(name.to_owned()));
        assert_eq!(role("token_embd.weight", 2), same("model.embed_tokens.weight"));
        assert_eq!(role("output.weight", 2), same("lm_head.weight"));
        assert_eq!(role("blk.1.ffn_norm.weight", 2), same("model.layers.1.post_attention_layernorm.weight"));
        assert_eq!(role("blk.0.attn_v.bias", 2), same("model.layers.0.self_attn.v_proj.bias"));
        assert_eq!(role("blk.0.attn_q.bias", 2), Some(Role::Query("model.layers.0.self_attn.q_proj.bias".into())));
        assert_eq!(role("blk.1.attn_k.weight", 2), Some(Role::Key("model.layers.1.self_attn.k_proj.weight".into())));
        assert_eq!(role("rope_freqs.weight", 2), Some(Role::RotaryFactors));
    }

    #[test]
    fn what_no_such_model_has_is_not_guessed() {
        for name in [
            "",
            "weight",
            "blk",
            "blk.0",
            "blk.0.weight",
            "blk.2.attn_q.weight",
            "blk.00.attn_q.weight",
            "blk.+1.attn_q.weight",
            "blk.-1.attn_q.weight",
            "blk.0.attn_q.scale",
            "blk.0.attn_qkv.weight",
            "blk.0.ffn_gate_exps.weight",
            "output.bias",
            "blk.99999999999999999999.attn_q.weight",
        ] {
            assert_eq!(role(name, 2), None, "{name}");
        }
    }
}
