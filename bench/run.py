#!/usr/bin/env python3
"""Times `consilience merge` and mergekit side by side, method by method.

Both merge the same made checkpoints (58 million bf16 parameters, a base and three fine-tunes), in turn (ours, peer,
ours, peer, …), on tmpfs and on disk, each as a fresh process with its default number of threads. Prints a table and
writes `results.json` and `results.md` to `bench/out`.

    python3 bench/run.py                        everything, three rounds
    python3 bench/run.py --quick                one round, tmpfs only but for linear and ties
    python3 bench/run.py --reuse-peer           as before, with the peer's last figures instead of running it again

Exit code 1 if a target is missed.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import measure
import peer
import recipes
import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ON_DISK_WHEN_QUICK = ("linear", "ties")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consilience", type=Path, default=ROOT / "target/release/consilience")
    parser.add_argument("--copy-baseline", type=Path, help="[default: examples/copy_baseline beside --consilience]")
    parser.add_argument("--methods", help="some methods only, with commas between")
    parser.add_argument("--places", default="tmpfs,disk", help="tmpfs, disk, or both with a comma between [default: tmpfs,disk]")
    parser.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"), help="a folder in memory")
    parser.add_argument("--disk", type=Path, default=HERE / "out", help="a folder on a disk")
    parser.add_argument("--dtype", default="bfloat16", help="the configurations' dtype [default: bfloat16]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round; on disk linear and ties only")
    parser.add_argument("--reuse-peer", action="store_true", help="take the peer's figures from --peer-cache")
    parser.add_argument("--peer-only", action="store_true", help="measure the peer alone, into --peer-cache")
    parser.add_argument("--peer-cache", type=Path, default=HERE / "out/peer.json")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    peer.add_argument(parser)
    args = parser.parse_args()
    args.rounds = 1 if args.quick else args.rounds
    args.methods = args.methods.split(",") if args.methods else list(recipes.METHODS)
    args.copy_baseline = args.copy_baseline or args.consilience.parent / "examples/copy_baseline"
    unknown = [name for name in args.methods if name not in recipes.METHODS]
    if unknown:
        parser.error(f"no such methods: {', '.join(unknown)}")
    return args


class Bench:
    """The measurements of one invocation."""

    def __init__(self, args):
        self.args = args
        cached = json.loads(args.peer_cache.read_text()) if args.peer_cache.exists() else {}
        self.peer = cached if args.reuse_peer or args.peer_only else {}
        self.rows = []
        self.copies = []

    def place(self, name, parent):
        """Measures every method with its files under `parent`."""
        from checkpoints import LLAMA_58M, write_family

        methods = self.args.methods
        if self.args.quick and name == "disk":
            methods = [method for method in methods if method in ON_DISK_WHEN_QUICK]
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="consilience-bench-", dir=parent) as folder:
            folder = Path(folder)
            progress(f"{name}: writing checkpoints to {folder}")
            base, *models = write_family(folder, LLAMA_58M, "bfloat16")
            for method in methods:
                self.method(name, folder, method, base, models)

    def method(self, place, folder, method, base, models):
        import yaml

        config, log = folder / f"{method}.yml", folder / "log.txt"
        config.write_text(yaml.safe_dump(recipes.recipe(method, base, models, self.args.dtype), sort_keys=False))
        key = f"{place}/{method}/{self.args.dtype}"
        known = self.peer.get(key, [])
        reused = bool(known)
        ours, theirs, copies = [], list(known), []
        for round_ in range(self.args.rounds):
            progress(f"{place}: {method}, round {round_ + 1} of {self.args.rounds}")
            if not self.args.peer_only:
                ours.append(self.once([self.args.consilience, "merge", config, folder / "ours"], folder / "ours", log))
                if method == "linear":
                    copies.append(self.copy(folder, models, log))
            if not reused:
                theirs.append(self.once(peer.mergekit_command(config, folder / "theirs"), folder / "theirs", log))
        self.remember(key, theirs)
        if self.args.peer_only:
            return
        row = {"place": place, "method": method, "reused": reused, "inputs": recipes.inputs(method)}
        self.rows.append(row | {"ours": ours, "peer": theirs})
        if copies:
            self.copies.append({"place": place, "ours": ours, "copy": copies})

    def copy(self, folder, models, log):
        out = folder / "copy.safetensors"
        command = [self.args.copy_baseline, out, *(model / "model.safetensors" for model in models)]
        return self.once(command, out, log)

    def once(self, command, out, log):
        """One run, with nothing at its output before it and nothing left after it."""
        remove(out)
        os.sync()
        result = measure.run(command, log).to_dict()
        remove(out)
        return result

    def remember(self, key, runs):
        """Keeps the peer's figures, so that a broken-off run loses none."""
        self.peer[key] = runs
        self.args.peer_cache.parent.mkdir(parents=True, exist_ok=True)
        cached = json.loads(self.args.peer_cache.read_text()) if self.args.peer_cache.exists() else {}
        self.args.peer_cache.write_text(json.dumps(cached | {key: runs}, indent=1))


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def require(path, how):
    if not path.is_file():
        sys.exit(f"{path} is missing: build it with `{how}`")


def main():
    args = arguments()
    peer.enter(args.python)
    if not args.peer_only:
        require(args.consilience, "cargo build --release -p consilience")
        require(args.copy_baseline, "cargo build --release -p consilience-checkpoint --example copy_baseline")
    bench = Bench(args)
    for place in args.places.split(","):
        bench.place(place, {"tmpfs": args.tmpfs, "disk": args.disk}[place])
    if args.peer_only:
        return 0
    start = measure.start_up([args.consilience, "--version"])
    results = {
        "dtype": args.dtype,
        "rounds": args.rounds,
        "rows": bench.rows,
        "copies": bench.copies,
        "start_up": start,
    }
    return report.write(results, args.out)


if __name__ == "__main__":
    sys.exit(main())
