#!/usr/bin/env python3
"""Times merging a LoRA adapter into its base: `consilience merge` against peft's `merge_and_unload`.

A made model of 58 million bf16 parameters and an adapter of rank 16 on all its linear layers; both load, merge and save,
in turn, each as a fresh process with its default number of threads. Prints a table and writes `lora.json` to `bench/out`.

    python3 bench/lora.py
    python3 bench/lora.py --rounds 1 --place /dev/shm
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

import measure
import peer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RANK = 16
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PEER = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consilience", type=Path, default=ROOT / "target/release/consilience")
    parser.add_argument("--place", type=Path, default=HERE / "out", help="where the files go [default: bench/out]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "out")
    peer.add_argument(parser)
    return parser.parse_args()


def write_adapter(folder, shapes):
    """An adapter of noise on every linear layer of a model whose tensors have these shapes."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if len(shape) == 2 and module.rsplit(".", 1)[-1] in LINEARS:
            out, inside = shape
            prefix = f"base_model.model.{module}"
            tensors[f"{prefix}.lora_A.weight"] = 0.02 * torch.randn(RANK, inside, generator=generator)
            tensors[f"{prefix}.lora_B.weight"] = 0.02 * torch.randn(out, RANK, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": list(LINEARS),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def main():
    args = arguments()
    peer.enter(args.python)
    if not args.consilience.exists():
        sys.exit(f"{args.consilience} is missing; make it with: cargo build --release -p consilience")
    from checkpoints import LLAMA_58M, write_family
    from safetensors import safe_open

    args.place.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="consilience-lora-", dir=args.place) as folder:
        folder = Path(folder)
        base = write_family(folder, LLAMA_58M, "bfloat16")[0]
        with safe_open(Path(base) / "model.safetensors", "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
        adapter = folder / "adapter"
        write_adapter(adapter, shapes)
        config = folder / "merge.yml"
        config.write_text(f"merge_method: passthrough\nmodels: [{{model: '{base}+{adapter}'}}]\ndtype: bfloat16\n")
        script = folder / "peer.py"
        script.write_text(PEER)
        commands = {
            "consilience": [args.consilience, "merge", "-q", config, folder / "ours"],
            "peft": [sys.executable, script, base, adapter, folder / "theirs"],
        }
        runs = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                runs[name].append(measure.run(command, folder / "log"))
    medians = {
        name: {what: median(getattr(run, what) for run in taken) for what in ("cpu", "wall", "anonymous")}
        for name, taken in runs.items()
    }
    print(f"{'':<12} {'CPU s':>8} {'wall s':>8} {'anonymous MB':>13}")
    for name, taken in medians.items():
        print(f"{name:<12} {taken['cpu']:>8.3f} {taken['wall']:>8.3f} {taken['anonymous'] / 1e6:>13.1f}")
    ratios = {what: medians["peft"][what] / medians["consilience"][what] for what in medians["peft"]}
    print(f"{'ratio':<12} {ratios['cpu']:>7.1f}x {ratios['wall']:>7.1f}x {ratios['anonymous']:>12.1f}x")
    results = {"rounds": args.rounds, "rank": RANK, "medians": medians, "ratios": ratios}
    (args.out / "lora.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
