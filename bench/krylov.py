#!/usr/bin/env python3
"""Times CG and SSOR-CG beside SciPy, and a sweep of SOR beside memory bandwidth, on a 2-D Poisson matrix.

    pip install -r bench/requirements-krylov.txt
    cargo build --release -p consilience-solvers --example poisson
    python3 bench/krylov.py                    # 10^6 unknowns, 50 iterations, three rounds
    python3 bench/krylov.py --side 300 --rounds 1

Both run the same number of iterations on the same system; the residuals that they reach are compared first, and have to agree
to 1e-6 of the first one. SciPy's SSOR-CG applies its preconditioner by the faster of the two ways that SciPy has, SuperLU's
solves with the triangular factors, whose setting up is not counted; ours is. Prints a table, writes
`bench/out/krylov.json`; exit code 1 if a target is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, splu

ROOT = Path(__file__).resolve().parent.parent
OMEGA = 1.5
TARGETS = {"CG": 1.0, "SSOR-CG": 1.0, "SOR": 2.0}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poisson", type=Path, default=ROOT / "target/release/examples/poisson")
    parser.add_argument("--side", type=int, default=1000, help="points a side of the grid [default: 1000]")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3, help="the best of these counts [default: 3]")
    parser.add_argument("--threads", type=int, default=2, help="for both [default: 2]")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/out/krylov.json")
    return parser.parse_args()


def poisson(side):
    line = sp.diags([-1.0, 4.0, -1.0], [-1, 0, 1], shape=(side, side), format="csr")
    beside = sp.diags([-1.0, -1.0], [-1, 1], shape=(side, side), format="csr")
    identity = sp.identity(side, format="csr")
    return (sp.kron(identity, line) + sp.kron(beside, identity)).tocsr()


def ssor(a):
    """P^-1 for P = (D + w L) D^-1 (D + w L)^T / (w (2 - w))."""
    diagonal = a.diagonal()
    factor = (sp.diags(diagonal) + OMEGA * sp.tril(a, -1)).tocsc()
    settings = dict(permc_spec="NATURAL", diag_pivot_thresh=0.0, options=dict(SymmetricMode=True))
    forward, backward = splu(factor, **settings), splu(factor.T.tocsc(), **settings)
    scale = OMEGA * (2.0 - OMEGA)
    return LinearOperator(a.shape, matvec=lambda r: scale * backward.solve(diagonal * forward.solve(r)))


def timed(a, b, iterations, rounds, preconditioner=None):
    best, step, x = float("inf"), float("inf"), None
    for _ in range(rounds):
        times = [time.perf_counter()]
        x, _ = cg(a, b, rtol=0.0, atol=0.0, maxiter=iterations, M=preconditioner,
                  callback=lambda _: times.append(time.perf_counter()))
        best = min(best, time.perf_counter() - times[0])
        step = min([step] + [after - before for before, after in zip(times[1:], times[2:])])
    return {"seconds": best, "step": step, "residual": float(np.linalg.norm(b - a @ x))}


def main():
    args = arguments()
    if not args.poisson.is_file():
        sys.exit(f"{args.poisson} is not there; build it with\n"
                 "  cargo build --release -p consilience-solvers --example poisson")
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    command = [str(args.poisson), str(args.side), str(args.iterations), str(args.rounds)]
    ours = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    a = poisson(args.side)
    b = np.sin(np.arange(a.shape[0]) * 0.1)
    peer = {
        "cg": timed(a, b, args.iterations, args.rounds),
        "ssor_cg": timed(a, b, args.iterations, args.rounds, ssor(a)),
    }
    first = float(np.linalg.norm(b))
    for name, theirs in peer.items():
        difference = abs(theirs["residual"] - ours[name]["residual"]) / first
        if difference > 1e-6:
            sys.exit(f"{name}: the residuals differ by {difference:.1e} of the first one: "
                     f"{ours[name]['residual']:.6e}, SciPy {theirs['residual']:.6e}")

    beside = f"SciPy {scipy.__version__}"
    rows = [
        ("CG", ours["cg"]["seconds"], peer["cg"]["seconds"], beside),
        ("CG, a step", ours["cg"]["step"], peer["cg"]["step"], beside),
        ("SSOR-CG", ours["ssor_cg"]["seconds"], peer["ssor_cg"]["seconds"], beside),
        ("SSOR-CG, a step", ours["ssor_cg"]["step"], peer["ssor_cg"]["step"], beside),
        ("SOR, a sweep", ours["sor"]["step"], ours["pass"], f"a pass over memory, {args.threads} threads"),
    ]
    print(f"{a.shape[0]} unknowns, {args.iterations} iterations, {args.threads} threads, best of {args.rounds}")
    missed = False
    for name, seconds, other, beside in rows:
        ratio, wanted = seconds / other, TARGETS[name.split(",")[0]]
        missed |= ratio > wanted
        mark = "  MISSED" if ratio > wanted else ""
        print(f"{name:16} {seconds:9.4f} s   {other:9.4f} s {beside:32} ratio {ratio:.3f}, wanted {wanted:.0f}{mark}")
    alone = ours["sor"]["step"] / ours["pass_on_one_thread"]
    print(f"(the sweep, which runs on one thread, takes {alone:.2f} times a pass over memory on one thread)")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"ours": ours, "peer": peer, "scipy": scipy.__version__}, indent=2))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
