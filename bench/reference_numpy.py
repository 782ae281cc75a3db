#!/usr/bin/env python3
"""Writes the reference fixtures of the methods that mergekit lacks: their published formulas in numpy, tensor by tensor.

    python3 bench/reference_numpy.py [--python PATH] [--out FOLDER]

Task singular vectors (arXiv 2412.00081), isotropic merging (2502.04959), TALL masks and consensus merging (2405.07813).
The files have the form of `reference.py`'s. Everything is computed in f64 by full singular value decompositions and whole
sorts; `noise` is 0. Singular values below 1e-6 of the largest count as zero, and what belongs to them is left out.
"""

import argparse
import json
import sys
from pathlib import Path

import peer

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "crates/merging/tests/reference"
SHAPES = {"vector": (12,), "tall": (9, 6), "wide": (6, 9), "conv": (3, 2, 3, 3), "scalar": ()}
ZERO = 1e-6


def tensors(np):
    """f32 tensors by name: `base`, three models of each shape, a low-rank change, and a sparse one."""
    rng = np.random.default_rng(20250207)
    pool = {}
    for kind, shape in SHAPES.items():
        pool[f"base.{kind}"] = base = rng.normal(0, 0.5, shape)
        for i in (1, 2, 3):
            pool[f"m{i}.{kind}"] = base + rng.normal(0, 0.1, shape)
            pool[f"sparse{i}.{kind}"] = base + rng.normal(0, 0.3, shape) * (rng.random(shape) < 0.5)
    # Halves and quarters add up exactly, so that these changes have exactly the rank that they should.
    pool["base.tall_grid"] = np.round(rng.normal(0, 8, (9, 6))) / 4
    for i in (1, 2):
        factors = np.round(rng.normal(0, 2, (9, 1))) / 2, np.round(rng.normal(0, 2, (1, 6))) / 2
        pool[f"low{i}.tall_grid"] = pool["base.tall_grid"] + factors[0] @ factors[1]
    return {name: np.asarray(value, dtype=np.float32) for name, value in pool.items()}


class Formulas:
    """The merged task vector of each method, without `lambda`."""

    def __init__(self, np):
        self.np = np

    def leading(self, matrix, rank):
        u, s, vt = self.np.linalg.svd(matrix, full_matrices=False)
        rank = min(rank, int((s > ZERO * s[0]).sum()))
        return u[:, :rank], s[:rank], vt[:rank]

    def whiten(self, matrix):
        u, s, vt = self.leading(matrix, min(matrix.shape)) if matrix.size else (matrix, [], matrix.T)
        return u @ vt

    def tsv_m(self, taus, rank_fraction=None, randomized=False):
        size = min(taus[0].shape)
        rank = max(1, int(size * (rank_fraction if rank_fraction is not None else 1 / len(taus)) + 1e-9))
        parts = [self.leading(tau, rank) for tau in taus]
        u = self.whiten(self.np.concatenate([u for u, _, _ in parts], axis=1))
        vt = self.whiten(self.np.concatenate([vt for _, _, vt in parts], axis=0))
        return u @ self.np.diag(self.np.concatenate([s for _, s, _ in parts])) @ vt

    def iso_c(self, taus):
        u, s, vt = self.leading(sum(taus), min(taus[0].shape))
        return s.mean() * u @ vt

    def iso_cts(self, taus, common_space_fraction=0.8):
        size, count = min(taus[0].shape), len(taus)
        own = min(round((size - int(size * common_space_fraction)) / count), size // count)
        parts = [self.leading(sum(taus), size - own * count)]
        common = parts[0][0]
        if own > 0:
            rests = [(tau, tau - common @ common.T @ tau) for tau in taus]
            norm = self.np.linalg.norm
            parts += [self.leading(rest, own) for tau, rest in rests if norm(rest) > ZERO * norm(tau)]
        u = self.whiten(self.np.concatenate([u for u, _, _ in parts], axis=1))
        vt = self.whiten(self.np.concatenate([vt for _, _, vt in parts], axis=0))
        return self.np.concatenate([s for _, s, _ in parts]).mean() * u @ vt

    def ties(self, taus, weights, densities, normalize):
        kept = []
        for tau, weight, density in zip(taus, weights, densities):
            flat = tau.reshape(-1)
            count = max(1, int(density * flat.size))
            chosen = self.np.argsort(-abs(flat), kind="stable")[:count]
            thin = self.np.zeros_like(flat)
            thin[chosen] = flat[chosen]
            kept.append(weight * thin.reshape(tau.shape))
        sign = self.np.where(sum(kept) >= 0, 1, -1)
        agreed = [thin * (thin * sign > 0) for thin in kept]
        total = sum(weight * (thin * sign > 0) for thin, weight in zip(kept, weights))
        return sum(agreed) / self.np.where(total == 0, 1, total) if normalize else sum(agreed)

    def masks(self, taus, merged, lambdas):
        return [abs(tau) >= lam * abs(merged - tau) for tau, lam in zip(taus, lambdas)]

    def consensus(self, taus, merged, lambdas, prun_thre_k=2):
        return merged * (sum(self.np.asarray(mask, int) for mask in self.masks(taus, merged, lambdas)) >= prun_thre_k)

    def of(self, method, taus, parameters):
        given = dict(parameters)
        if method in ("tsv_m", "iso_c", "iso_cts"):
            average = given.pop("average", False)
            if average or taus[0].ndim != 2:
                return sum(taus) / len(taus)
            return getattr(self, method)(taus, **given)
        count = len(taus)
        weights = given.get("weight", [1.0] * count)
        lambdas = given.get("tall_mask_lambda", [0.4] * count)
        merged = sum(weight * tau for weight, tau in zip(weights, taus))
        if method == "consensus_ties":
            merged = self.ties(taus, weights, given.get("density", [0.2] * count), given.get("normalize", False))
        if method == "tall_mask":
            return merged * self.masks(taus, merged, lambdas)[given["task"].index(True)]
        return self.consensus(taus, merged, lambdas, given.get("prun_thre_k", 2))


def cases():
    """Method, name, inputs, parameters."""
    spectral = {
        "tsv_m": [{}, {"lambda": 0.5, "rank_fraction": 0.5}],
        "iso_c": [{}, {"lambda": 1.3}],
        "iso_cts": [{}, {"lambda": 1.5, "common_space_fraction": 0.4}],
    }
    for method, settings in spectral.items():
        for kind in ("tall", "wide"):
            for parameters in settings:
                name = "_".join([kind, *map(str, parameters.values())])
                yield method, name, [f"base.{kind}", f"m1.{kind}", f"m2.{kind}", f"m3.{kind}"], parameters
        for kind in ("vector", "conv", "scalar"):
            yield method, kind, [f"base.{kind}", f"m1.{kind}", f"m2.{kind}"], {"lambda": 0.7}
        yield method, "averaged", ["base.tall", "m1.tall", "m2.tall"], {"average": True}
        yield method, "one_task", ["base.wide", "m1.wide"], {}
        yield method, "zero_task_vector", ["base.tall", "base.tall", "m2.tall"], {}
        yield method, "low_rank", ["base.tall_grid", "low1.tall_grid", "low2.tall_grid"], {}
    yield "tsv_m", "same_task_twice", ["base.tall", "m1.tall", "m1.tall"], {}
    yield "tsv_m", "all_triples", ["base.wide", "m1.wide", "m2.wide"], {"rank_fraction": 1.0}
    masks = {"tall_mask_lambda": [0.2, 0.4, 1.1], "weight": [1.0, 0.8, 0.6]}
    for kind in ("vector", "tall", "conv", "scalar"):
        for how in ("m", "sparse"):
            inputs = [f"base.{kind}", *(f"{how}{i}.{kind}" for i in (1, 2, 3))]
            yield "consensus_ta", f"{kind}_{how}", inputs, {}
            yield "consensus_ta", f"{kind}_{how}_one", inputs, {"prun_thre_k": 1, "lambda": 0.3} | masks
            yield "consensus_ties", f"{kind}_{how}", inputs, {}
            more = {"density": [0.7, 0.5, 0.6], "normalize": True, "prun_thre_k": 1}
            yield "consensus_ties", f"{kind}_{how}_mean", inputs, more | masks
            yield "tall_mask", f"{kind}_{how}", inputs, {"task": [False, True, False]}
            yield "tall_mask", f"{kind}_{how}_third", inputs, {"task": [False, False, True], "lambda": 0.9} | masks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    peer.add_argument(parser)
    args = parser.parse_args()
    peer.enter(args.python)

    import numpy as np

    pool, formulas, files = tensors(np), Formulas(np), {}
    for method, name, inputs, parameters in cases():
        base, *models = [pool[name].astype(np.float64) for name in inputs]
        given = {key: value for key, value in parameters.items() if key != "lambda"}
        merged = formulas.of(method, [model - base for model in models], given)
        expected = np.asarray(base + parameters.get("lambda", 1.0) * merged)
        file = files.setdefault(method, {"tensors": {}, "cases": []})
        for tensor in inputs:
            file["tensors"][tensor] = {"shape": list(pool[tensor].shape), "data": data(pool[tensor])}
        case = {"name": name, "inputs": inputs, "base": 0, "parameters": parameters}
        file["cases"].append(case | {"expected": data(expected), "noise": 0.0})
    for method, file in files.items():
        lists = [
            f'"tensors": {{\n{lines(f"{json.dumps(k)}: {compact(v)}" for k, v in file["tensors"].items())}\n}}',
            f'"cases": [\n{lines(map(compact, file["cases"]))}\n]',
        ]
        head = [f'"method": {json.dumps(method)}', f'"made_with": {json.dumps({"numpy": np.__version__})}']
        path = args.out / f"{method}.json"
        path.write_text("{\n" + ",\n".join(head + lists) + "\n}\n")
        json.loads(path.read_text())
        print(f"{path.name:24} {len(file['cases']):3} cases, {path.stat().st_size / 1000:.1f} kB")


def data(array):
    return [float(f"{value:.9g}") for value in array.reshape(-1).tolist()]


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def lines(items):
    return ",\n".join(items)


if __name__ == "__main__":
    sys.exit(main())
