#!/usr/bin/env python3
"""Merges tiny models of different vocabularies with mergekit: writes the fixtures of
`crates/merging/tests/reference/tokenizers`, or compares with `consilience merge`.

    python3 bench/tokenizers_reference.py [--python PATH] [--out FOLDER]      writes models and cases.json
    python3 bench/tokenizers_reference.py --check target/release/consilience  merges them with both and compares

`models/NAME` holds Llama models of one layer, four columns and some dozens of tokens. `cases.json` says of each case:

    name, config     the merge; models are named by their folders
    vocabulary       the tokens of mergekit's result with their numbers; new ones come in no certain order there
    vocab_size       what its config.json says
    tensors          its embedding and head: {"shape": […], "data": […]}, row-major
    added            its added tokens: whether they match single words only, take white space to their left and right,
                     are looked for in normalised text, and are special
    encoded          what its tokenizer makes of some texts, as tokens

The check also loads both tokenizers with `AutoTokenizer` and compares the tokens that they make of the texts. Exit code 1
on a mismatch.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import peer

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "crates/merging/tests/reference/tokenizers"
TENSORS = ("model.embed_tokens.weight", "lm_head.weight")
BOUND = 1e-6

TEXTS = {
    "plain": ["the cat sat on the mat", "the hat of the cat", "that is that", "a cat that sat there"],
    "code": ["for x in xs: return x", "if x: return the xs", "for i in is: for x in i", "return fox in box"],
    "chat": ["hello there, how are you", "you are there", "hello, the hare is here", "how is he"],
}
SAMPLES = [
    "the cat sat on the mat",
    "return the xs for x in hello there",
    "<s>hello you</s><pad> the <|im_start|>hat<|im_end|>",
    "<new>that<id> fox, how",
]


def linear(base, *models, more=""):
    listed = "".join(f"- model: {m}\n  parameters: {{weight: {0.75 - 0.25 * i}}}\n" for i, m in enumerate(models))
    return f"merge_method: linear\nbase_model: {base}\nmodels:\n{listed}{more}"


TOKENS = """tokenizer:
  source: union
  pad_to_multiple_of: 16
  tokens:
    <new>:
      source: {kind: model_token, model: code, token: <pad>}
    <id>:
      source: {kind: model_token, model: plain, token_id: 5}
    </s>: {source: code, force: true}
    the:
      source: {kind: zero}
    <pad>: {source: code}
"""

CASES = {
    "union of two": linear("plain", "plain", "code", more="tokenizer_source: union\n"),
    "union of three, one tied": linear("plain", "plain", "code", "chat", more="tokenizer_source: union\n"),
    "union without the base's tokens in two others": linear(
        "code", "code", "plain", "chat", more="tokenizer: {source: union}\n"
    ),
    "the base's": linear("plain", "plain", "code", "chat", more="tokenizer_source: base\n"),
    "another model's": linear("plain", "plain", "code", more="tokenizer_source: chat\n"),
    "settings of tokens": linear("plain", "plain", "code", "chat", more=TOKENS),
    "a padded base, to a multiple": linear(
        "padded", "padded", "code", more="tokenizer: {source: union, pad_to_multiple_of: 8}\n"
    ),
    "a padded base, cut": linear("padded", "padded", "plain", more="tokenizer: {source: base, pad_to_multiple_of: 1}\n"),
    "tokens without rows": linear("short", "short", "code", more="tokenizer_source: union\n"),
    "pieces of words": linear("plain", "plain", "pieces", more="tokenizer_source: union\n"),
    "task arithmetic": "merge_method: task_arithmetic\nbase_model: plain\nmodels:\n- model: code\n  parameters: {weight: 0.5}\n"
    "- model: chat\n  parameters: {weight: 0.25}\ntokenizer_source: union\n",
    "stacked layers": "merge_method: passthrough\nbase_model: plain\nslices:\n- sources: [{model: plain, layer_range: [0, 1]}]\n"
    "- sources: [{model: code, layer_range: [0, 1]}]\ntokenizer_source: union\n",
}


def trained(kind, texts, special):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if kind == "pieces":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        trainer = trainers.WordPieceTrainer(vocab_size=44, special_tokens=special, show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        trainer = trainers.BpeTrainer(vocab_size=44, special_tokens=special, show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_model(folder, tokenizer, seed, tied=False, rows=None, **special):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    rows = rows or len(wrapped)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def write_models(folder):
    from tokenizers import AddedToken

    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    special = list(roles.values())
    plain = trained("bpe", TEXTS["plain"], special)
    write_model(folder / "plain", plain, 1, **roles)
    write_model(folder / "padded", plain, 2, rows=48, **roles)
    short = trained("bpe", TEXTS["plain"], special)
    short.add_tokens([AddedToken("<used>"), AddedToken("<beyond>", special=True)])
    write_model(folder / "short", short, 3, rows=short.get_vocab_size() - 1, **roles)
    code = trained("bpe", TEXTS["code"], ["<unk>", "<pad>", "<s>", "</s>"])
    code.add_tokens([AddedToken("fox", lstrip=True), AddedToken("the", single_word=True)])
    write_model(folder / "code", code, 4, **roles, pad_token="<pad>")
    chat = trained("bpe", TEXTS["chat"], special + ["<pad>"])
    chat.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    write_model(folder / "chat", chat, 5, tied=True, **(roles | {"eos_token": "<|im_end|>"}), pad_token="<pad>")
    pieces = trained("pieces", TEXTS["chat"], special)
    write_model(folder / "pieces", pieces, 6, **roles)


def merged_by_mergekit(models, config, out):
    path = models / "merge.yml"
    path.write_text(config)
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*peer.mergekit_command(path, out), "--no-write-model-card"], cwd=models, env=environment, capture_output=True, text=True, check=False
    )
    path.unlink()
    if done.returncode:
        raise RuntimeError(f"mergekit: {done.stderr[-2000:]}")


def facts(folder):
    """What is compared of a result."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    stored = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored |= load_file(file)
    tensors = {
        name: {"shape": list(stored[name].shape), "data": [float(f"{v:.9g}") for v in stored[name].flatten().tolist()]}
        for name in TENSORS
        if name in stored
    }
    vocabulary = dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))
    return {
        "vocabulary": vocabulary,
        "vocab_size": json.loads((folder / "config.json").read_text())["vocab_size"],
        "tensors": tensors,
        "added": {
            token.content: [token.single_word, token.lstrip, token.rstrip, token.normalized, token.special]
            for token in tokenizer.added_tokens_decoder.values()
        },
        "encoded": {text: tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) for text in SAMPLES},
    }


def difference(ours, theirs):
    """The first way in which two results differ, or nothing."""
    if set(ours["vocabulary"]) != set(theirs["vocabulary"]):
        return f"tokens: {set(ours['vocabulary']) ^ set(theirs['vocabulary'])}"
    if ours["vocab_size"] != theirs["vocab_size"]:
        return f"vocab_size {ours['vocab_size']}, wanted {theirs['vocab_size']}"
    if set(ours["tensors"]) != set(theirs["tensors"]):
        return f"tensors {set(ours['tensors'])}, wanted {set(theirs['tensors'])}"
    for name, wanted in theirs["tensors"].items():
        found, width = ours["tensors"][name], wanted["shape"][1]
        if found["shape"] != wanted["shape"]:
            return f"{name}: {found['shape']}, wanted {wanted['shape']}"
        for token, at in theirs["vocabulary"].items():
            here = ours["vocabulary"][token]
            pair = zip(found["data"][here * width :][:width], wanted["data"][at * width :][:width])
            if any(abs(a - b) > BOUND * max(1.0, abs(b)) for a, b in pair):
                return f"{name}: the row of {token!r}"
    for what in ("added", "encoded"):
        if ours[what] != theirs[what]:
            return f"{what} {ours[what]}\nwanted {theirs[what]}"
    return None


def write(out):
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        write_models(models)
        cases = []
        for name, config in CASES.items():
            merged_by_mergekit(models, config, Path(folder) / "out")
            cases.append({"name": name, "config": config} | facts(Path(folder) / "out"))
            shutil.rmtree(Path(folder) / "out")
            print(f"{name}: {len(cases[-1]['vocabulary'])} tokens")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(models, out / "models")
        lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
        (out / "cases.json").write_text(f"[\n{lines}\n]\n")


def check(out, consilience):
    models, wrong = out / "models", 0
    for name, config in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            both = [Path(folder) / "ours", Path(folder) / "theirs"]
            (Path(folder) / "merge.yml").write_text(config)
            command = [consilience, "merge", Path(folder) / "merge.yml", both[0]]
            subprocess.run(command, cwd=models, check=True, stdout=subprocess.DEVNULL)
            merged_by_mergekit(models, config, both[1])
            found = difference(*map(facts, both))
            wrong += found is not None
            print(f"{'equal' if found is None else 'DIFFERENT'}  {name}{'' if found is None else ': ' + found}")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--check", type=Path, metavar="CONSILIENCE", help="compare with this command; write nothing")
    peer.add_argument(parser)
    args = parser.parse_args()
    peer.enter(args.python)
    if args.check:
        return check(args.out, args.check.resolve())
    return write(args.out)


if __name__ == "__main__":
    sys.exit(main())
