"""Made checkpoints: Hugging Face folders of the Llama type with random weights, a base and its fine-tunes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Llama:
    """Sizes of a Llama-type network, by the names of its `config.json`."""

    hidden_size: int = 32
    intermediate_size: int = 64
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    vocab_size: int = 96
    tie_word_embeddings: bool = False

    def shapes(self):
        """Every tensor's name and shape, in the order of the network."""
        hidden, inner = self.hidden_size, self.intermediate_size
        narrow = hidden * self.num_key_value_heads // self.num_attention_heads
        shapes = {"model.embed_tokens.weight": (self.vocab_size, hidden)}
        for layer in range(self.num_hidden_layers):
            at = f"model.layers.{layer}"
            shapes |= {
                f"{at}.input_layernorm.weight": (hidden,),
                f"{at}.mlp.down_proj.weight": (hidden, inner),
                f"{at}.mlp.gate_proj.weight": (inner, hidden),
                f"{at}.mlp.up_proj.weight": (inner, hidden),
                f"{at}.post_attention_layernorm.weight": (hidden,),
                f"{at}.self_attn.k_proj.weight": (narrow, hidden),
                f"{at}.self_attn.o_proj.weight": (hidden, hidden),
                f"{at}.self_attn.q_proj.weight": (hidden, hidden),
                f"{at}.self_attn.v_proj.weight": (narrow, hidden),
            }
        shapes["model.norm.weight"] = (hidden,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, hidden)
        return shapes

    def config(self, dtype):
        """The `config.json` of a checkpoint stored as `dtype`."""
        return asdict(self) | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "torch_dtype": dtype,
        }


# 58.07 million parameters: 116 MB as bf16.
LLAMA_58M = Llama(
    hidden_size=512,
    intermediate_size=1376,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=8,
    vocab_size=32000,
)


def base_tensors(llama, generator, scale=0.02):
    """Weights as a training run starts with them: normal, norms around 1."""

    def make(name, shape):
        noise = torch.empty(shape).normal_(0.0, scale, generator=generator)
        return noise + 1.0 if "norm" in name else noise

    return {name: make(name, shape) for name, shape in llama.shapes().items()}


def fine_tune(tensors, generator, noise=1e-3):
    """The same weights, moved a little everywhere."""
    return {
        name: tensor + torch.empty(tensor.shape).normal_(0.0, noise, generator=generator)
        for name, tensor in tensors.items()
    }


def write_folder(folder, tensors, config, dtype="float32", shards=1):
    """Writes a Hugging Face folder: weights (in `shards` files with an index), config, a small tokenizer."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.to(DTYPES[dtype]).contiguous() for name, tensor in tensors.items()}
    if shards == 1:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        names = list(stored)
        weight_map, per_shard = {}, -(-len(names) // shards)
        for i in range(shards):
            file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
            part = {name: stored[name] for name in names[i * per_shard : (i + 1) * per_shard]}
            save_file(part, folder / file, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(part, file)
        total = sum(tensor.nbytes for tensor in stored.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_tokenizer(folder)


def write_tokenizer(folder):
    """The two files that both programs carry over as they are."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    tokenizer |= {"pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model}
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast"} | special
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_family(root, llama, dtype="float32", fine_tunes=3, noise=1e-3, scale=0.02, shards=1, seed=0):
    """Writes `base` and `model-1` … `model-N` under `root`; returns their folders, the base first."""
    generator = torch.Generator().manual_seed(seed)
    base = base_tensors(llama, generator, scale)
    folders = [Path(root) / "base"] + [Path(root) / f"model-{i + 1}" for i in range(fine_tunes)]
    for i, folder in enumerate(folders):
        tensors = base if i == 0 else fine_tune(base, generator, noise)
        write_folder(folder, tensors, llama.config(dtype), dtype, shards)
    return folders
