#!/usr/bin/env python3
"""Compares `consilience merge` with mergekit, tensor by tensor, on small made checkpoints and many configurations.

    python3 bench/parity.py [--consilience PATH] [--only TEXT] [--keep FOLDER]

What counts as equal:
  f32        ‖ours − theirs‖ ≤ 1e-6 ‖theirs‖ for every tensor
  bf16, f16  every entry within one rounding of theirs
  random     the same share of changed entries, mean and spread, within 6 standard errors

mergekit runs with stable sorts (which of several equal magnitudes its own keep depends on the processor) and, where it
would compute in 16 bits, in f32 with one rounding at the end, which is what Consilience does; karcher in f64, since it takes
angles from cosines, in which angles below 3e-4 vanish at f32. Two methods select by
figures that both programs round (variances, divergences): for up to 0.5% of their entries the one may keep the base
where the other does not.
Exit code 1 on a mismatch.
"""

import argparse
import contextlib
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import measure
import peer

HERE = Path(__file__).resolve().parent
BOUND = 1e-6
FLIPS = 0.005
SIGMAS = 6.0
SELECT_BY_ROUNDED = ("sce", "arcee_fusion")
# Significant bits of a 16-bit type.
BITS = {"torch.bfloat16": 8, "torch.float16": 11}


@dataclass
class Result:
    """How far apart two outputs are."""

    case: object
    relative: float = 0.0
    roundings: float = 0.0
    off_by_one: float = 0.0
    flips: float = 0.0
    sigmas: float = 0.0
    faults: list = field(default_factory=list)
    # Of the random methods, over all tensors: each figure's summed difference and that sum's variance.
    sums: dict = field(default_factory=dict)


def make_families(root):
    """The checkpoints: each type, a tied head, and models far enough apart for divergences to stand above rounding."""
    from checkpoints import Llama, write_family
    from parity_cases import Family

    plain, tied = Llama(), Llama(tie_word_embeddings=True)
    settings = {
        "f32": (plain, "float32", {"shards": 2}),
        "bf16": (plain, "bfloat16", {"shards": 3}),
        "f16": (plain, "float16", {}),
        "tied": (tied, "float32", {}),
        "wide-f32": (plain, "float32", {"scale": 0.5, "noise": 0.3}),
        "wide-bf16": (plain, "bfloat16", {"scale": 0.5, "noise": 0.3}),
    }
    return {
        name: Family(name, write_family(root / name, llama, dtype, seed=seed, **rest), dtype)
        for seed, (name, (llama, dtype, rest)) in enumerate(settings.items())
    }


def accurately(text, stored):
    """The configuration for mergekit: where it would compute in 16 bits it computes in f32 (karcher: f64) and rounds
    once."""
    import yaml

    config = yaml.safe_load(text)
    compute = config.get("dtype") or stored
    out = config.get("out_dtype") or compute
    accurate = "float64" if config.get("merge_method") == "karcher" else "float32"
    return yaml.safe_dump(config | {"dtype": accurate, "out_dtype": out}, sort_keys=False)


def run_peer(config, out, shard_size):
    """mergekit-yaml in this process: importing it anew for every case would take hours."""
    from mergekit.scripts.run_yaml import main
    from stable_sorting import stable_sorting

    options = ["--out-shard-size", shard_size.removesuffix("B")] if shard_size else []
    with stable_sorting(), open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        main.main([str(config), str(out), "--quiet", *options], standalone_mode=False)


def run_ours(program, config, out, shard_size):
    options = ["--out-shard-size", shard_size] if shard_size else []
    command = [program, "merge", config, out, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=measure.environment())
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-600:]}")


def load(folder):
    """All tensors of a folder by name, and the names of its weight files."""
    from safetensors import safe_open

    tensors, files = {}, sorted(Path(folder).glob("*.safetensors"))
    for file in files:
        with safe_open(file, "pt") as opened:
            if (opened.metadata() or {}).get("format") != "pt":
                raise RuntimeError(f"{file.name}: metadata is {opened.metadata()}, not format: pt")
            for name in opened.keys():
                if name in tensors:
                    raise RuntimeError(f"{name} is in two files")
                tensors[name] = opened.get_tensor(name)
    index = Path(folder) / "model.safetensors.index.json"
    if len(files) > 1 or index.exists():
        named = json.loads(index.read_text())["weight_map"]
        if set(named) != set(tensors) or not set(named.values()) <= {file.name for file in files}:
            raise RuntimeError("the index does not name the tensors and files that are there")
    return tensors, [file.name for file in files]


def compare_folders(case, ours, theirs, base):
    """All differences between two outputs; `base` has the tensors of the base, for the random methods."""
    from parity_cases import RANDOM

    result = Result(case)
    try:
        (mine, files), (wanted, peer_files) = load(ours), load(theirs)
    except (OSError, RuntimeError, KeyError) as fault:
        result.faults.append(str(fault))
        return result
    if set(mine) != set(wanted):
        missing, extra = sorted(set(wanted) - set(mine)), sorted(set(mine) - set(wanted))
        result.faults.append(f"missing {missing[:3]}, extra {extra[:3]}")
    if (len(files) > 1) != (len(peer_files) > 1):
        result.faults.append(f"{len(files)} weight files, mergekit writes {len(peer_files)}")
    for name in sorted(set(mine) & set(wanted)):
        a, b = mine[name], wanted[name]
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            result.faults.append(f"{name}: {a.dtype} {list(a.shape)}, mergekit has {b.dtype} {list(b.shape)}")
        elif not a.isfinite().all():
            result.faults.append(f"{name}: not finite")
        elif case.method in RANDOM and "density 1" not in case.name:
            compare_random(result, name, a, b, base)
        elif str(a.dtype) in BITS:
            compare_rounded(result, name, a, b, base.get(name))
        else:
            compare_single(result, name, a, b, base.get(name))
    for what, (difference, variance) in result.sums.items():
        judge(result, "all tensors", what, difference, variance)
    compare_files(result, ours, theirs)
    return result


def flips(result, difference, bound, a, b, base):
    """Entries that exactly one of the two left as the base has it: where a method selects by figures that both programs
    round, few may be. None where they are too many, or where there can be none."""
    if result.case.method not in SELECT_BY_ROUNDED or base is None or base.shape != a.shape:
        return None
    kept = base.to(a.dtype)
    flipped = (difference > bound) & ((a == kept) ^ (b == kept))
    share = flipped.double().mean().item()
    if share > max(FLIPS, 1.5 / flipped.numel()):
        return None
    result.flips = max(result.flips, share)
    return flipped


def compare_single(result, name, a, b, base):
    x, y = a.double(), b.double()
    norm = y.norm().item() or 1.0
    difference = (x - y).abs()
    flipped = flips(result, difference, 8 * BOUND * norm / math.sqrt(y.numel()), a, b, base)
    if flipped is not None:
        difference = difference.masked_fill(flipped, 0.0)
    relative = difference.norm().item() / norm
    result.relative = max(result.relative, relative)
    if relative > BOUND:
        result.faults.append(f"{name}: ‖difference‖ is {relative:.1e} of the norm")


def compare_rounded(result, name, a, b, base):
    import torch

    bits = BITS[str(a.dtype)]
    x, y = a.double(), b.double()
    _, exponent = torch.frexp(torch.maximum(x.abs(), y.abs()))
    # Below the smallest normal number spacing stays the same.
    spacing = torch.ldexp(torch.ones_like(x), exponent.clamp(min=-13 if bits == 11 else -125) - bits)
    steps = (x - y).abs() / spacing
    flipped = flips(result, steps, 1.001, a, b, base)
    if flipped is not None:
        steps = steps.masked_fill(flipped, 0.0)
    result.roundings = max(result.roundings, steps.max().item())
    result.off_by_one = max(result.off_by_one, (steps > 0).double().mean().item())
    if steps.max() > 1.001:
        result.faults.append(f"{name}: an entry is {steps.max().item():.1f} roundings off")


def compare_random(result, name, a, b, base):
    """The share of changed entries, and mean, spread and size of the change, for each tensor and over all of them."""
    if name not in base:
        return
    a, b = (tensor.double() - base[name].double() for tensor in (a, b))
    for what, x, y in (
        ("share changed", (a != 0).double(), (b != 0).double()),
        ("mean change", a, b),
        ("mean square change", a.square(), b.square()),
        ("mean size of change", a.abs(), b.abs()),
    ):
        count = x.numel()
        difference, variance = (x - y).sum().item(), count * (x.var() + y.var()).item()
        total = result.sums.setdefault(what, [0.0, 0.0])
        total[0] += difference
        total[1] += variance
        if count >= 500:
            judge(result, name, what, difference, variance)


def judge(result, name, what, difference, variance):
    """Notes a summed difference in units of its standard error."""
    sigmas = abs(difference) / (math.sqrt(variance) or 1e-30)
    result.sigmas = max(result.sigmas, sigmas)
    if sigmas > SIGMAS:
        result.faults.append(f"{name}: {what} is {sigmas:.1f} standard errors from mergekit's")


def compare_files(result, ours, theirs):
    """What lies beside the weights: the number of layers and the type in config.json, the tokenizer's files."""
    mine, wanted = (json.loads((folder / "config.json").read_text()) for folder in (ours, theirs))

    def dtype(config):
        return config.get("dtype") or config.get("torch_dtype")

    if mine.get("num_hidden_layers") != wanted["num_hidden_layers"]:
        layers = mine.get("num_hidden_layers"), wanted["num_hidden_layers"]
        result.faults.append("config.json: %s layers, mergekit has %s" % layers)
    if dtype(mine) != dtype(wanted):
        result.faults.append(f"config.json: dtype {dtype(mine)}, mergekit has {dtype(wanted)}")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if not (ours / file).exists() or (ours / file).read_bytes() != (theirs / file).read_bytes():
            result.faults.append(f"{file} is not the same")
    for file in ("README.md", "mergekit_config.yml"):
        if not (ours / file).exists():
            result.faults.append(f"no {file}")


def run_case(case, family, folder, program):
    ours, theirs = folder / "ours", folder / "theirs"
    for out in (ours, theirs):
        shutil.rmtree(out, ignore_errors=True)
    config, peer_config = folder / "config.yml", folder / "peer.yml"
    config.write_text(case.text, newline="")
    peer_config.write_text(accurately(case.text, family.dtype))
    run_peer(peer_config, theirs, case.shard_size)
    try:
        run_ours(program, config, ours, case.shard_size)
    except RuntimeError as fault:
        return Result(case, faults=[str(fault)])
    return compare_folders(case, ours, theirs, load(family.base)[0])


def table(results):
    """The worst of each method."""
    lines = [
        f"{'method':18}{'cases':>6}{'f32 relative':>14}{'roundings':>11}{'off by one':>12}{'flips':>8}{'σ':>6}  equal"
    ]
    for method in dict.fromkeys(result.case.method for result in results):
        rows = [result for result in results if result.case.method == method]
        worst = {
            key: max(getattr(r, key) for r in rows)
            for key in ("relative", "roundings", "off_by_one", "flips", "sigmas")
        }
        bad = sum(bool(r.faults) for r in rows)
        lines.append(
            f"{method:18}{len(rows):>6}{worst['relative']:>14.1e}{worst['roundings']:>11.2f}{worst['off_by_one']:>12.2%}"
            f"{worst['flips']:>8.2%}{worst['sigmas']:>6.1f}  {'yes' if not bad else f'NO: {bad} of {len(rows)}'}"
        )
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consilience", type=Path, default=HERE.parent / "target/release/consilience")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--keep", type=Path, help="work here, and leave the last case's files")
    peer.add_argument(parser)
    return parser.parse_args()


def main():
    args = arguments()
    peer.enter(args.python)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    with contextlib.ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="consilience-parity-")))
        folder.mkdir(parents=True, exist_ok=True)
        from parity_cases import cases

        families = make_families(folder)
        chosen = [case for case in cases(families) if args.only in case.name]
        if args.list:
            print("\n".join(case.name for case in chosen))
            return 0
        if not chosen:
            sys.exit(f"no case's name contains {args.only!r}")
        results = []
        for i, case in enumerate(chosen):
            print(f"\r\x1b[K{i + 1}/{len(chosen)} {case.name}", end="", file=sys.stderr, flush=True)
            result = run_case(case, families[case.family], folder, args.consilience.resolve())
            results.append(result)
            for fault in result.faults[:4]:
                print(f"\r\x1b[K✗ {case.name}: {fault}", flush=True)
        print("\r\x1b[K", end="", file=sys.stderr)
    print(table(results))
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
