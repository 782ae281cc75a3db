"""Writes the GGUF files that the tests of `crates/checkpoint` read, with what other readers make of them.

    python bench/gguf_reference.py

`blocks.gguf` has two random blocks of every quantised type, and beside each what the package `gguf` decodes them to.
`llama.gguf` is a small Llama with weights of several types; `llama.safetensors` holds some of its tensors as `transformers`
reads them. Needs the packages of `requirements.txt`, and `gguf` 0.19.0.
"""

from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, dequantize, quantize
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

OUT = Path(__file__).parent.parent / "crates/checkpoint/tests/reference"

# Where each type keeps its half-precision scales, in bytes from the beginning of a block.
SCALES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}


def blocks(random):
    writer = GGUFWriter(OUT / "blocks.gguf", "reference")
    for name, places in SCALES.items():
        kind = GGMLQuantizationType[name]
        raw = random.integers(0, 256, (2, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        for place in places:
            # Random bytes there could be NaN or infinite.
            raw[:, place : place + 2] = random.normal(size=(2, 1)).astype(np.float16).view(np.uint8)
        writer.add_tensor(name, raw, raw_dtype=kind)
        writer.add_tensor(f"{name}.expected", dequantize(raw, kind))
    # The package does not decode Q8_K: a scale in single precision, 256 signed bytes, and sums of groups.
    raw = random.integers(0, 256, (2, 292), dtype=np.uint8)
    scales = random.normal(size=(2, 1)).astype(np.float32)
    raw[:, :4] = scales.view(np.uint8)
    writer.add_tensor("Q8_K", raw, raw_dtype=GGMLQuantizationType.Q8_K)
    writer.add_tensor("Q8_K.expected", scales * raw[:, 4:260].view(np.int8).astype(np.float32))
    finish(writer)


def interleave(weights, heads):
    """The row order that converters to GGUF give to queries and keys of a Llama."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(weights.shape)


def rotary_factors(theta, width, factor=8.0, low=1.0, high=4.0, original=8192):
    wavelengths = 2 * np.pi * theta ** (np.arange(0, width, 2) / width)
    share = (original / wavelengths - low) / (high - low)
    blend = 1 / ((1 - share) / factor + share)
    return np.where(share > 1, 1.0, np.where(share < 0, factor, blend)).astype(np.float32)


def llama(random):
    hidden, heads, kv_heads, vocab = 32, 2, 1, 40
    narrow = hidden * kv_heads // heads
    writer = GGUFWriter(OUT / "llama.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(vocab)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_token_list([f"<{i}>" for i in range(vocab)])
    weights = {}

    def add(name, shape, kind):
        weights[name] = random.normal(size=shape).astype(np.float32)
        values = weights[name]
        if ".attn_q." in name:
            values = interleave(values, heads)
        if ".attn_k." in name:
            values = interleave(values, kv_heads)
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)

    kinds = GGMLQuantizationType
    add("token_embd.weight", (vocab, hidden), kinds.Q4_0)
    add("output_norm.weight", (hidden,), kinds.F32)
    add("output.weight", (vocab, hidden), kinds.Q8_0)
    writer.add_tensor("rope_freqs.weight", rotary_factors(500000.0, hidden // heads))
    add("blk.0.attn_norm.weight", (hidden,), kinds.F32)
    add("blk.0.attn_q.weight", (hidden, hidden), kinds.Q8_0)
    add("blk.0.attn_k.weight", (narrow, hidden), kinds.F32)
    add("blk.0.attn_v.weight", (narrow, hidden), kinds.F16)
    add("blk.0.attn_output.weight", (hidden, hidden), kinds.BF16)
    add("blk.0.ffn_norm.weight", (hidden,), kinds.F32)
    add("blk.0.ffn_gate.weight", (hidden, hidden), kinds.Q5_1)
    add("blk.0.ffn_up.weight", (hidden, hidden), kinds.Q4_1)
    add("blk.0.ffn_down.weight", (hidden, hidden), kinds.Q5_0)
    finish(writer)

    model = AutoModelForCausalLM.from_pretrained(OUT, gguf_file="llama.gguf", dtype=torch.float32)
    state = model.state_dict()
    at = "model.layers.0.self_attn"
    assert np.array_equal(state[f"{at}.k_proj.weight"].numpy(), weights["blk.0.attn_k.weight"])
    # The rest of the tensors differ in nothing but name and shape.
    kept = [f"{at}.q_proj.weight", f"{at}.k_proj.weight", f"{at}.v_proj.weight", f"{at}.o_proj.weight"]
    kept += ["model.norm.weight", "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.up_proj.weight"]
    save_file({name: state[name].contiguous() for name in kept}, OUT / "llama.safetensors")


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    blocks(random)
    llama(random)
