"""Random small decoders and encoder-decoders of the transformers package, with what they make of random texts.

    python decoders.py FOLDER SEED

writes one model folder for each case into FOLDER. Beside the weights stands `expected.safetensors`: the texts (ids and
attention mask); of a decoder the logits of all tokens, text after text, and the mean loss of the next token; of an
encoder-decoder the logits of the first position of the answer, and answers with the logits of all their positions. The
folders under `tests/reference` were written with seed 0.
"""

import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 17
LENGTHS = [13, 1, 6, 9]
DECODER = dict(
    vocab_size=VOCABULARY,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)
T5 = dict(
    vocab_size=VOCABULARY,
    d_model=8,
    d_kv=3,
    d_ff=12,
    num_layers=2,
    num_decoder_layers=1,
    num_heads=2,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=12,
    decoder_start_token_id=0,
)


def shaken(model):
    """The model with parameters large enough that each of them shows in the outputs."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1.0 + 0.3 * noise)
            else:
                parameter.copy_(0.4 * noise)
    return model.eval()


def texts():
    """Ids and attention mask of texts of several lengths, one of them shorter than the padding of all."""
    width = max(LENGTHS) + 1
    ids = torch.zeros(len(LENGTHS), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(1, VOCABULARY, (length,))
        mask[row, :length] = 1
    return ids, mask


def write(folder, model, ids, mask, **expected):
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    expected["texts"] = torch.stack([ids, mask], 1).float()
    save_file({name: tensor.detach().contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")


def decoder(folder, model):
    shaken(model)
    ids, mask = texts()
    out = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100))
    write(folder, model, ids, mask, logits=out.logits[mask.bool()], loss=out.loss.reshape(1))


def llama(folder):
    # Of the four angles of a head one is kept, two are mixed and one is divided.
    scaling = dict(
        rope_type="llama3",
        rope_theta=100.0,
        factor=4.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=40,
    )
    decoder(folder, transformers.LlamaForCausalLM(transformers.LlamaConfig(**DECODER, head_dim=8, rope_parameters=scaling)))


def llama_biased(folder):
    scaling = dict(rope_type="linear", rope_theta=1000.0, factor=2.0)
    config = dict(DECODER, num_key_value_heads=4, hidden_act="gelu")
    model = transformers.LlamaConfig(**config, attention_bias=True, mlp_bias=True, rope_parameters=scaling, rms_norm_eps=1e-3)
    decoder(folder, transformers.LlamaForCausalLM(model))


def mistral(folder):
    decoder(folder, transformers.MistralForCausalLM(transformers.MistralConfig(**DECODER, sliding_window=5)))


def qwen2(folder):
    config = transformers.Qwen2Config(
        **DECODER, tie_word_embeddings=True, use_sliding_window=True, sliding_window=4, max_window_layers=1
    )
    decoder(folder, transformers.Qwen2ForCausalLM(config))


def qwen3(folder):
    decoder(folder, transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**DECODER, head_dim=6)))


def encoder_decoder(folder, model):
    shaken(model)
    ids, mask = texts()
    answers = torch.randint(1, VOCABULARY, (len(LENGTHS), 5))
    answers[:, 0] = model.config.decoder_start_token_id
    first = model(input_ids=ids, attention_mask=mask, decoder_input_ids=answers[:, :1]).logits[:, 0]
    every = model(input_ids=ids, attention_mask=mask, decoder_input_ids=answers).logits
    write(folder, model, ids, mask, logits=first, answers=answers.float(), answer_logits=every.flatten(0, 1))


def t5(folder):
    encoder_decoder(folder, transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)))


def flan_t5(folder):
    config = transformers.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model = transformers.T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCABULARY, T5["d_model"]))
    encoder_decoder(folder, model)


CASES = dict(
    llama=llama, llama_biased=llama_biased, mistral=mistral, qwen2=qwen2, qwen3=qwen3, t5=t5, flan_t5=flan_t5
)


def main(folder, seed):
    for number, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(1000 * int(seed) + number)
        with torch.no_grad():
            case(Path(folder) / name)


main(*sys.argv[1:])
