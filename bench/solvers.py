"""Sketched least squares beside SciPy, and matrix completion beside alternating least squares in NumPy.

    cargo build --release -p consilience-solvers --example solvers_bench
    python3 bench/solvers.py [--rows 1000000] [--columns 100]

Both sides get two threads and the same arrays, through .npy files in a temporary folder. Answers are compared before times
are. Needs numpy and scipy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = "2"
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[variable] = THREADS

import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def program():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "examples" / "solvers_bench"


def run(*arguments):
    out = subprocess.run([program(), *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def least_squares(folder, rows, columns):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, columns))
    b = a @ rng.standard_normal(columns) + rng.standard_normal(rows)
    np.save(folder / "a.npy", a)
    np.save(folder / "b.npy", b)
    times = []
    for _ in range(2):
        copy_a, copy_b = np.asfortranarray(a), b.copy()
        start = time.perf_counter()
        x = scipy.linalg.lstsq(copy_a, copy_b, overwrite_a=True, overwrite_b=True, check_finite=True)[0]
        times.append(time.perf_counter() - start)
    scipy_seconds, best = min(times), np.linalg.norm(a @ x - b)
    del a, copy_a
    results = run("least-squares", folder / "a.npy", folder / "b.npy")
    exact = results[0]
    assert np.allclose(exact["x"], x[:4], rtol=1e-8), "the exact solutions differ"
    faer = next(r["seconds"] for r in results if r["name"] == "faer QR")
    print(f"\nleast squares, {rows} x {columns}: SciPy lstsq {scipy_seconds:.3f} s")
    print(f"{'':44} {'seconds':>8} {'residual':>9} {'SciPy /':>8} {'faer QR /':>9}")
    for r in results:
        s = r["seconds"]
        print(f"{r['name']:44} {s:8.3f} {r['residual'] / best:9.5f} {scipy_seconds / s:8.1f} {faer / s:9.1f}")


def als(rows, columns, values, n, k, iterations):
    """Alternating least squares as people write it in NumPy: a Gram matrix and a solve for each row."""
    rng = np.random.default_rng(1)
    sides = []
    for lines, others in ((rows, columns), (columns, rows)):
        order = np.argsort(lines, kind="stable")
        ends = np.searchsorted(lines[order], np.arange(n + 1))
        sides.append((others[order], values[order], ends))
    u, v = np.linalg.qr(rng.standard_normal((n, k)))[0], np.zeros((n, k))
    start = time.perf_counter()
    for _ in range(iterations):
        for (others, vals, ends), fixed, out in ((sides[1], u, v), (sides[0], v, u)):
            for i in range(n):
                part = fixed[others[ends[i] : ends[i + 1]]]
                out[i] = np.linalg.solve(part.T @ part + 1e-12 * np.eye(k), part.T @ vals[ends[i] : ends[i + 1]])
    return (time.perf_counter() - start) / iterations


def completion(folder):
    print("\ncompletion, seconds an iteration (two threads)")
    print(f"{'n':>6} {'entries':>9} {'rank':>4} {'NumPy ALS':>10} {'exact':>8} {'CG 3':>8} {'ALS / CG':>9} {'exact / CG':>10} {'ns / (entry rank)':>18}")
    for n, per_row, k in ((1000, 250, 20), (2000, 250, 20), (4000, 250, 20), (4000, 250, 40), (4000, 1000, 80)):
        rng = np.random.default_rng(2)
        u, v = rng.standard_normal((n, k)), rng.standard_normal((n, k))
        rows = np.repeat(np.arange(n), per_row)
        columns = np.concatenate([rng.choice(n, per_row, replace=False) for _ in range(n)])
        values = np.einsum("ij,ij->i", u[rows], v[columns])
        np.save(folder / "t.npy", np.column_stack([rows, columns, values]).astype(np.float64))
        exact, cg = run("complete", folder / "t.npy", n, k)
        peer = als(rows, columns, values, n, k, 2)
        unit = 1e9 * cg["seconds"] / (cg["entries"] * k)
        print(
            f"{n:6} {cg['entries']:9} {k:4} {peer:10.3f} {exact['seconds']:8.3f} {cg['seconds']:8.3f}"
            f" {peer / cg['seconds']:9.1f} {exact['seconds'] / cg['seconds']:10.2f} {unit:18.3f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--only", choices=["least-squares", "completion"])
    arguments = parser.parse_args()
    if not program().exists():
        sys.exit(f"{program()} is missing: cargo build --release -p consilience-solvers --example solvers_bench")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "completion":
            least_squares(Path(folder), arguments.rows, arguments.columns)
        if arguments.only != "least-squares":
            completion(Path(folder))


if __name__ == "__main__":
    main()
