#!/usr/bin/env python3
"""Writes the reference fixtures of `crates/merging/tests/reference`: what mergekit's own method objects make of small
f32 tensors.

    python3 bench/reference.py [--python PATH] [--out FOLDER] [METHOD …]

One JSON file a method:

    method      its name
    made_with   versions of mergekit and torch
    tensors     the inputs by name: {"shape": […], "data": […]}, row-major
    cases       merges with one right answer:
        name        what the case is about
        inputs      names of tensors, in the configuration's order
        base        the base's place among them, or null
        parameters  by mergekit's names; lists hold a value an input (linear, passthrough) or a value a model other than
                    the base (all others), in the inputs' order; what is missing has its default
        tied        whether magnitudes tie at a threshold: of equal ones the first counts as larger in a descending
                    order, as smaller in an ascending one (a stable sort)
        expected    the output's data, row-major; the shape is that of the inputs
        noise       mergekit's own rounding: ‖f32 result − f64 result‖ ÷ ‖f64 result‖
    chances     merges in which chance decides, with the facts of `runs` runs, entry by entry:
        name, inputs, base, parameters   as above
        mean, variance                   of the output's entries
        changed                          the share of runs in which the entry differs from the base

Numbers have nine significant digits, which names every f32 exactly. Where rounding alone would decide a selection (f32
and f64 disagree by more than 1e-5), the case is made anew from other random tensors; tensors then carry a suffix.
"""

import argparse
import json
import sys
from pathlib import Path

import peer

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "crates/merging/tests/reference"
RUNS = 4000
LARGEST = 60_000
AGREE = 1e-5


def number(value):
    """A float by nine significant digits, as short as it goes."""
    return float(f"{value:.9g}")


def data(tensor):
    return [number(value) for value in tensor.reshape(-1).tolist()]


class Reference:
    """The fixtures of one method."""

    def __init__(self, method):
        from mergekit import merge_methods

        self.name, self.method = method, merge_methods.get(method)
        self.tensors, self.pools = {}, {}

    def pool(self, seed):
        from reference_cases import tensors

        if seed not in self.pools:
            pool = tensors(seed)
            pool["far1_negated.matrix"] = -pool["far1.matrix"]
            self.pools[seed] = pool
        return self.pools[seed]

    def merge(self, inputs, case):
        from mergekit.merge_methods.base import TensorGroup

        group = TensorGroup.from_tensors(inputs, base_index=case.base, name=case.name)
        (merged,) = self.method((group,), parameters=case.parameters)
        return merged

    def use(self, case, seed):
        """The case's tensors, noted for the file; their names there."""
        inputs = [self.pool(seed)[name] for name in case.inputs]
        names = [name if seed == 0 else f"{name}#{seed}" for name in case.inputs]
        for name, tensor in zip(names, inputs):
            self.tensors[name] = {"shape": list(tensor.shape), "data": data(tensor)}
        return inputs, names

    def certain(self, case):
        """A case with one right answer."""
        for seed in range(100):
            inputs = [self.pool(seed)[name] for name in case.inputs]
            single = self.merge([tensor.float() for tensor in inputs], case)
            exact = self.merge([tensor.double() for tensor in inputs], case)
            noise = ((single.double() - exact).norm() / exact.norm().clamp(min=1e-30)).item()
            if noise <= AGREE:
                break
        else:
            raise RuntimeError(f"{self.name}, {case.name}: f32 and f64 disagree by {noise:.1e} whatever the tensors")
        assert single.isfinite().all(), f"{self.name}, {case.name}: {single}"
        _, names = self.use(case, seed)
        return self.head(case, names) | {
            "tied": case.tied,
            "expected": data(single),
            "noise": float(f"{noise:.2g}"),
        }

    def uncertain(self, case):
        """A case in which chance decides."""
        import torch

        inputs, names = self.use(case, 0)
        torch.manual_seed(0)
        runs = torch.stack([self.merge(inputs, case) for _ in range(RUNS)]).double()
        return self.head(case, names) | {
            "runs": RUNS,
            "mean": data(runs.mean(0)),
            "variance": data(runs.var(0)),
            "changed": data((runs != inputs[case.base].double()).double().mean(0)),
        }

    def head(self, case, names):
        return {"name": case.name, "inputs": names, "base": case.base, "parameters": case.parameters}

    def write(self, folder):
        from importlib.metadata import version

        from reference_cases import CASES, chances
        from stable_sorting import stable_sorting

        with stable_sorting():
            cases = [self.certain(case) for case in CASES[self.name]()]
            random = [self.uncertain(case) for case in chances(self.name)]
        made_with = {name: version(name) for name in ("mergekit", "torch")}
        text = "{\n" + ",\n".join(
            [
                f'"method": {json.dumps(self.name)}',
                f'"made_with": {json.dumps(made_with)}',
                f'"tensors": {{\n{lines(f"{json.dumps(k)}: {compact(v)}" for k, v in self.tensors.items())}\n}}',
                f'"cases": [\n{lines(map(compact, cases))}\n]',
                f'"chances": [\n{lines(map(compact, random))}\n]',
            ]
        )
        path = folder / f"{self.name}.json"
        path.write_text(text + "\n}\n")
        json.loads(path.read_text())
        size = path.stat().st_size
        worst = max((case["noise"] for case in cases), default=0.0)
        print(
            f"{path.name:24} {len(cases):3} cases, {len(random)} of chance, noise ≤ {worst:.1e}, {size / 1000:.1f} kB"
        )
        if size > LARGEST:
            raise RuntimeError(f"{path} is larger than {LARGEST} bytes")


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def lines(items):
    return ",\n".join(items)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="some methods only")
    parser.add_argument("--out", type=Path, default=OUT)
    peer.add_argument(parser)
    args = parser.parse_args()
    peer.enter(args.python)

    import torch
    from reference_cases import CASES

    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for method in args.methods or CASES:
        Reference(method).write(args.out)


if __name__ == "__main__":
    sys.exit(main())
