#!/usr/bin/env python3
"""Times one step of merges that learn: `consilience merge` against the same written in PyTorch.

A made BERT-type classifier (MiniLM's shape: 6 layers of width 384) and two experts of it, each with made token ids; a step
draws a batch of each task, makes the merged weights, takes the gradient of the summed entropy and one step of Adam. Ours is
the difference of two runs of the command that differ in their steps alone, divided by these; PyTorch's is the loop alone,
without its start. In turn (ours, peer, ours, peer, …), with as many threads each. Also holds the command's anonymous memory
against what it states before it starts. Prints a table and writes `learned.json` to `bench/out`.

    python3 bench/learned.py
    python3 bench/learned.py --rounds 1 --methods adamerging

Exit code 1 if a step takes more than 1.5 times PyTorch's.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import measure
import peer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
METHODS = ("adamerging", "concrete_task_arithmetic")
BATCH, LENGTH, EXAMPLES, CLASSES, VOCABULARY = 16, 64, 256, 8, 8000
TARGET = 1.5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consilience", type=Path, default=ROOT / "target/release/consilience")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--time-peer", nargs=3, metavar=("METHOD", "FOLDER", "STEPS"), help=argparse.SUPPRESS)
    peer.add_argument(parser)
    return parser.parse_args()


def write_models(folder):
    """A base, two experts near it, and their inputs."""
    import numpy
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=CLASSES,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    base = BertForSequenceClassification(config)
    base.save_pretrained(folder / "base")
    start = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    for expert in range(2):
        moved = {
            name: t + 1e-3 * torch.randn_like(t) if t.is_floating_point() else t for name, t in start.items()
        }
        base.load_state_dict(moved)
        base.save_pretrained(folder / f"expert-{expert}")
        tokens = numpy.random.default_rng(expert).integers(5, VOCABULARY, (EXAMPLES, LENGTH))
        numpy.savez(folder / f"task-{expert}.npz", input_ids=tokens)


def parameters(method, steps):
    if method in ("fisher", "regmean"):
        return {"examples": steps, "batch": BATCH}
    meta = {"meta_steps": steps} if method == "concrete_adamerging" else {}
    return {"steps": steps, "batch": BATCH, "learning_rate": 1e-3} | meta


def configuration(method, steps):
    import yaml

    return yaml.safe_dump(
        {
            "merge_method": method,
            "base_model": "base",
            "models": [{"model": "expert-0"}, {"model": "expert-1"}],
            "parameters": parameters(method, steps),
            "data": [{"path": f"task-{expert}.npz", "head": f"expert-{expert}"} for expert in range(2)],
        },
        sort_keys=False,
    )


def ours(program, folder, method, steps, threads):
    """Seconds of CPU and wall a step, the peak anonymous memory, and the memory stated before the start."""
    runs = []
    for taken in (1, 1 + steps):
        config = folder / f"{method}-{taken}.yml"
        config.write_text(configuration(method, taken))
        out = folder / f"ours-{taken}"
        command = [program, "merge", config, out, "--force"] + (["--threads", threads] if threads else [])
        runs.append(measure.run(command, folder / "log", measure.environment(threads)))
    check = subprocess.run([program, "merge", "--check", config], capture_output=True, text=True)
    stated = re.search(r"([\d.]+) (MB|GB), and the activations", check.stdout + check.stderr)
    held = float(stated[1]) * {"MB": 1e6, "GB": 1e9}[stated[2]] if stated else None
    first, last = runs
    return {
        "cpu": (last.cpu - first.cpu) / steps,
        "wall": (last.wall - first.wall) / steps,
        "anonymous": last.anonymous,
        "stated": held,
    }


def time_peer(method, folder, steps, threads):
    """The same in PyTorch, in this process; prints seconds of CPU and wall a step, and the peak memory."""
    import time

    import numpy
    import torch
    from torch.func import functional_call
    from transformers import BertForSequenceClassification

    torch.set_num_threads(threads)
    load = lambda name: BertForSequenceClassification.from_pretrained(folder / name)
    model, experts = load("base").eval().requires_grad_(False), [load(f"expert-{i}") for i in range(2)]
    base = dict(model.bert.named_parameters())
    vectors = [
        {name: tensor.detach() - base[name] for name, tensor in expert.bert.named_parameters()} for expert in experts
    ]
    heads = [expert.classifier.requires_grad_(False) for expert in experts]
    inputs = [torch.from_numpy(numpy.load(folder / f"task-{i}.npz")["input_ids"]) for i in range(2)]
    ones = torch.ones(BATCH, LENGTH, dtype=torch.long)
    if method == "adamerging":
        learned = [{name: torch.tensor(0.3, requires_grad=True) for name in base} for _ in vectors]
        parameters = [weight for weights in learned for weight in weights.values()]

        def merged():
            return {
                name: tensor + sum(w[name] * v[name] for w, v in zip(learned, vectors))
                for name, tensor in base.items()
            }

    else:
        total = {name: sum(v[name] for v in vectors) for name in base}
        logits = {name: torch.zeros_like(tensor, requires_grad=True) for name, tensor in base.items()}
        parameters = list(logits.values())

        def merged():
            weights = {}
            for name, tensor in base.items():
                u = torch.rand_like(tensor).clamp_(1e-6, 1 - 1e-6)
                mask = torch.sigmoid((logits[name] + torch.log(u) - torch.log1p(-u)) / 0.5)
                weights[name] = tensor + 0.3 * mask * total[name]
            return weights

    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def step():
        weights = merged()
        loss = 0.0
        for rows, head in zip(inputs, heads):
            batch = rows[torch.randint(len(rows), (BATCH,))]
            pooled = functional_call(model.bert, weights, (batch, ones)).pooler_output
            log_p = torch.log_softmax(head(pooled), -1)
            loss = loss - (log_p.exp() * log_p).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(steps):
        step()
    cpu, wall = (time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps
    peak = max(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak}))


def main():
    args = arguments()
    peer.enter(args.python)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if args.time_peer:
        method, folder, steps = args.time_peer
        time_peer(method, Path(folder), int(steps), args.threads)
        return 0
    if not args.consilience.exists():
        sys.exit(f"{args.consilience} is missing; make it with: cargo build --release")
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="consilience-learned-") as folder:
        folder = Path(folder)
        write_models(folder)
        for method in args.methods.split(","):
            mine, theirs = [], []
            for _ in range(args.rounds):
                mine.append(ours(args.consilience.resolve(), folder, method, args.steps, args.threads))
                command = [sys.executable, __file__, "--python", sys.executable, "--threads", str(args.threads)]
                command += ["--time-peer", method, str(folder), str(args.steps)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                theirs.append(json.loads(done.stdout.splitlines()[-1]))
            rows.append({"method": method, "ours": mine, "peer": theirs})
    print(f"{'one step':<26} {'wall s':>7} {'torch':>7} {'ratio':>6} {'CPU s':>7} {'torch':>7} {'ratio':>6} "
          f"{'anonymous MB':>13} {'stated':>7}")
    met = True
    for row in rows:
        cells = [f"{row['method']:<26}"]
        for key in ("wall", "cpu"):
            ratio = median(a[key] / b[key] for a, b in zip(row["ours"], row["peer"]))
            row[f"{key}_ratio"] = ratio
            a, b = (median(run[key] for run in row[side]) for side in ("ours", "peer"))
            cells.append(f"{a:>7.3f} {b:>7.3f} {ratio:>5.2f}×")
        met &= row["wall_ratio"] <= TARGET
        stated = row["ours"][0]["stated"]
        held = max(run["anonymous"] for run in row["ours"]) / 1e6
        cells.append(f"{held:>13.0f} {f'{stated / 1e6:.0f}' if stated else '?':>7}")
        print(" ".join(cells))
    (args.out / "learned.json").write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
