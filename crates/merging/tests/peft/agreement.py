"""Makes small models and adapters with peft, and checks what was made of them.

    agreement.py make FOLDER     writes FOLDER/CASE/{base,adapter,merged,finetuned}, inputs and outputs
    agreement.py check FOLDER    compares FOLDER/CASE/ours and FOLDER/CASE/extracted with them

Prints one line a fault; exits with 1 if there is any.
"""

import copy
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.utils import logging

logging.disable_progress_bar()
TOLERANCE = 1e-5


def llama(tied=False):
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=40,
            tie_word_embeddings=tied,
        )
    )


def qwen2():
    return Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=40,
            tie_word_embeddings=False,
        )
    )


def gpt2():
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=40, n_positions=16))


def vit():
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=8,
            patch_size=4,
            num_labels=3,
        )
    )


LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
PATTERNS = {
    "rank_pattern": {"layers.1.self_attn.q_proj": 6, "down_proj": 2},
    "alpha_pattern": {"^model.layers.0.self_attn.v_proj": 32, "up_proj": 3},
}

# name: model, settings, whether merge_and_unload gives what was trained (it does not where tied weights differ).
CASES = {
    "plain": (llama, dict(target_modules=LINEARS), True),
    "patterns": (llama, dict(target_modules=LINEARS, **PATTERNS), True),
    "stabilised": (llama, dict(target_modules=LINEARS, use_rslora=True, **PATTERNS), True),
    "biased": (qwen2, dict(target_modules=["q_proj", "v_proj"], lora_bias=True), True),
    "saved": (llama, dict(target_modules=["q_proj", "embed_tokens"], modules_to_save=["lm_head", "norm"]), True),
    "gpt2": (gpt2, dict(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True), True),
    "decomposed": (llama, dict(target_modules=LINEARS + ["embed_tokens", "lm_head"], use_dora=True), True),
    "decomposed_gpt2": (gpt2, dict(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, use_dora=True), True),
    "convolution": (vit, dict(target_modules=["projection"], modules_to_save=["classifier"]), True),
    "decomposed_convolution": (vit, dict(target_modules=["projection"], use_dora=True), True),
    "tied_embeddings": (lambda: llama(True), dict(target_modules=["q_proj", "embed_tokens"]), False),
    "tied_head": (lambda: llama(True), dict(target_modules=["q_proj", "lm_head"]), False),
    "tied_together": (
        lambda: llama(True),
        dict(target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True),
        False,
    ),
}


def shaken(model, by):
    """The model with noise on every parameter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return model


def inputs_of(model):
    if hasattr(model.config, "patch_size"):
        return torch.randn(2, 3, 8, 8)
    return torch.randint(0, 40, (2, 7))


@torch.no_grad()
def outputs_of(model, inputs):
    return model.eval()(inputs).logits.contiguous()


def make(folder):
    for number, (name, (build, settings, merges)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        place = folder / name
        model = shaken(build(), 0.1)
        model.save_pretrained(place / "base")
        inputs = inputs_of(model)
        finetuned = copy.deepcopy(model)
        for key, parameter in finetuned.named_parameters():
            # Some tensors stay as they are.
            if "layers.1.mlp" not in key and "mlp.c_fc" not in key:
                parameter.data.add_(0.05 * torch.randn_like(parameter))
        finetuned.save_pretrained(place / "finetuned")
        wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=10, init_lora_weights=False, **settings))
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "lora_" in key or "modules_to_save" in key:
                    # An adapter whose factors are shared between embeddings and head has one set of values.
                    parameter.add_(0.1 * torch.randn_like(parameter).abs())
        wrapped.save_pretrained(place / "adapter")
        seen = {"inputs": inputs, "adapted": outputs_of(wrapped, inputs), "finetuned": outputs_of(finetuned, inputs)}
        save_file(seen, place / "seen.safetensors")
        if merges:
            wrapped.merge_and_unload().save_pretrained(place / "merged")


def distance(found, wanted):
    return ((found.double() - wanted.double()).abs().max() / wanted.double().abs().max().clamp(min=1.0)).item()


def check(folder):
    faults = []

    def compare(what, found, wanted):
        apart = distance(found, wanted)
        if not apart <= TOLERANCE:
            faults.append(f"{what}: {apart:.2e} apart")

    for name, (build, _, merges) in CASES.items():
        place = folder / name
        seen = load_file(place / "seen.safetensors")
        kind = type(build())
        ours = kind.from_pretrained(place / "ours", dtype=torch.float32)
        compare(f"{name}: outputs with the adapter", outputs_of(ours, seen["inputs"]), seen["adapted"])
        if build is vit:
            # Its modules have other names than its file's tensors; the extraction says so in a note.
            continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            extracted = PeftModel.from_pretrained(kind.from_pretrained(place / "base"), place / "extracted")
        # Missing and unexpected tensors are warnings to peft.
        lacking = [str(line.message) for line in said if "adapter keys" in str(line.message)]
        faults.extend(f"{name}: {line}" for line in lacking)
        compare(f"{name}: outputs of what was extracted", outputs_of(extracted, seen["inputs"]), seen["finetuned"])
        if merges:
            tied = getattr(ours.config, "tie_word_embeddings", False)
            finetuned = kind.from_pretrained(place / "finetuned").state_dict()
            for key, value in extracted.merge_and_unload().state_dict().items():
                if tied and ("wte" in key or "lm_head" in key):
                    # peft adds the change of the embeddings and the same one of the head to their one weight.
                    continue
                compare(f"{name}: extracted and merged: {key}", value, finetuned[key])
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    sys.exit(make(place) if verb == "make" else check(place))
