#!/usr/bin/env python3
"""Memory ceilings: what `consilience merge` holds beside mapped files, whatever the size of the model.

    python3 bench/memory.py

Data-free merges of made checkpoints of 15, 58 and 175 million bf16 parameters: the peak of anonymous memory may not grow
with the model. Merges that learn, on a made BERT-type model and batches of one short text, so that activations are next to
nothing: the peak may be at most 1.15 times what the command states before it starts. Prints a table, writes `memory.json` to
`bench/out`; exit code 1 if a ceiling is broken.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import learned
import measure
import peer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
METHODS = ("linear", "slerp", "task_arithmetic", "ties", "dare_ties", "della", "model_stock")
# Allocators, the stacks of threads, tables of tensors.
SLACK = 4e6
LEARNED = ("adamerging", "concrete_task_arithmetic", "concrete_adamerging", "fisher", "regmean")
STATED = 1.15


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consilience", type=Path, default=ROOT / "target/release/consilience")
    parser.add_argument("--place", type=Path, default=HERE / "out", help="where the files go [default: bench/out]")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    peer.add_argument(parser)
    return parser.parse_args()


def data_free(program, folder):
    """For each method, the peak of anonymous memory at each size, in bytes."""
    import yaml

    import recipes
    from checkpoints import Llama, write_family

    # One layer more is one tensor of every shape more: the largest tensor stays what it is.
    shape = dict(hidden_size=512, intermediate_size=1376, num_attention_heads=8, num_key_value_heads=8, vocab_size=4000)
    peaks = {method: {} for method in METHODS}
    for layers in (3, 16, 53):
        llama = Llama(num_hidden_layers=layers, **shape)
        with tempfile.TemporaryDirectory(dir=folder) as size:
            base, *models = write_family(Path(size), llama, "bfloat16")
            for method in METHODS:
                config = Path(size) / f"{method}.yml"
                config.write_text(yaml.safe_dump(recipes.recipe(method, base, models, "bfloat16", layers)))
                out = Path(size) / "out"
                runs = [measure.run([program, "merge", "-q", config, out], Path(size) / "log") for _ in range(3)]
                peaks[method][layers] = max(run.anonymous for run in runs)
    return peaks


def main():
    args = arguments()
    peer.enter(args.python)
    program = args.consilience.resolve()
    if not program.exists():
        sys.exit(f"{program} is missing; make it with: cargo build --release")
    args.place.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    met = True
    with tempfile.TemporaryDirectory(prefix="consilience-memory-", dir=args.place) as folder:
        folder = Path(folder)
        peaks = data_free(program, folder)
        print(f"{'anonymous MB, layers:':<26} {'3':>7} {'16':>7} {'53':>7}   kept")
        for method, sizes in peaks.items():
            kept = max(sizes.values()) <= 1.25 * min(sizes.values()) + SLACK
            met &= kept
            print(f"{method:<26} " + " ".join(f"{peak / 1e6:>7.1f}" for peak in sizes.values()) + f"   {verdict(kept)}")
        learned.BATCH, learned.LENGTH, learned.EXAMPLES = 1, 8, 8
        learned.write_models(folder)
        stated = {}
        print(f"\n{'merges that learn':<26} {'stated':>7} {'peak':>7} {'ratio':>7}   at most {STATED}")
        for method in LEARNED:
            run = learned.ours(program, folder, method, 3, None)
            ratio = run["anonymous"] / run["stated"]
            met &= ratio <= STATED
            stated[method] = {"stated": run["stated"], "anonymous": run["anonymous"]}
            print(f"{method:<26} {run['stated'] / 1e6:>7.0f} {run['anonymous'] / 1e6:>7.0f} {ratio:>6.2f}×   "
                  f"{verdict(ratio <= STATED)}")
    (args.out / "memory.json").write_text(json.dumps({"data_free": peaks, "learned": stated}, indent=2) + "\n")
    return 0 if met else 1


def verdict(met):
    return "yes" if met else "NO"


if __name__ == "__main__":
    sys.exit(main())
