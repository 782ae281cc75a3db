#!/usr/bin/env python3
"""Class-incremental replay beside the same loop in plain PyTorch: seconds of training, as ratios.

Both train on five tasks of two classes, 4,000 pictures of 28 x 28 a task, in batches of 128 with as many replayed ones out of
1,000, by gradient descent with momentum, on two threads. The ratios wanted are at most 1.0 (perceptron) and 1.3
(convolutions); a run that is evaluated after each update should take at most 3 times the run without.

    cargo build --release && python3 bench/continual.py [--binary target/release/consilience]

Needs a Python with torch and numpy. The pictures of the PyTorch side are noise: only time is compared.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch

TASKS, PER_TASK, BATCH, MEMORY, REPEATS = 5, 4000, 128, 1000, 3


def data(folder):
    """A .npz file with as many pictures of ten classes as five tasks need, and a quarter more to test."""
    count = TASKS * PER_TASK * 4 // 3
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 10
    pictures = rng.random((count, 28, 28), dtype=np.float32) + labels[:, None, None] / 10
    path = pathlib.Path(folder) / "pictures.npz"
    np.savez(path, x=pictures.astype(np.float32), y=labels.astype(np.int64))
    return path


def ours(binary, path, network, extra=()):
    arguments = [binary, "-j", "2", "-q", "stream", "--data", path, "--learner", "er", "--epochs", "1", "--batch", BATCH]
    arguments += ["--memory", MEMORY, "--json", *network, *extra]
    out = subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True).stdout
    figures = {figure["metric"]: figure["mean"] for figure in json.loads(out)}
    return figures["training s"], figures["evaluation s"]


def perceptron():
    layers = [torch.nn.Linear(784, 400), torch.nn.ReLU(), torch.nn.Linear(400, 400), torch.nn.ReLU()]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(400, 10))


def convolutions():
    nn = torch.nn
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10))


def theirs(make):
    torch.manual_seed(0)
    pictures = torch.rand(PER_TASK, 1, 28, 28)
    network = make()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    memory = None
    start = time.perf_counter()
    for task in range(TASKS):
        labels = torch.randint(2 * task, 2 * task + 2, (PER_TASK,))
        for rows in torch.randperm(PER_TASK).split(BATCH):
            x, y = pictures[rows], labels[rows]
            optimizer.zero_grad()
            if memory is None:
                loss = loss_of(network(x), y)
            else:
                old = torch.randperm(MEMORY)[: len(rows)]
                out = network(torch.cat([x, memory[0][old]]))
                loss = 0.5 * loss_of(out[: len(rows)], y) + 0.5 * loss_of(out[len(rows) :], memory[1][old])
            loss.backward()
            optimizer.step()
        kept = torch.randperm(PER_TASK)[:MEMORY]
        memory = (pictures[kept].clone(), labels[kept].clone())
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/consilience")
    binary = parser.parse_args().binary
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        path = data(folder)
        for name, network, make in [
            ("perceptron 784-400-400-10", ["--hidden", "400,400"], perceptron),
            ("convolutions 16-32", ["--conv"], convolutions),
        ]:
            # In turns, so that both see the same machine.
            pairs = [(ours(binary, path, network)[0], theirs(make)) for _ in range(REPEATS)]
            a, b = (statistics.median(side) for side in zip(*pairs))
            print(f"{name}: {a:.2f} s, PyTorch {b:.2f} s, ratio {a / b:.2f}")
        network = ["--hidden", "400,400"]
        plain = sum(ours(binary, path, network))
        often = sum(ours(binary, path, network, ["--eval-every", "1"]))
        print(f"evaluated after each update: {often:.2f} s, without {plain:.2f} s, ratio {often / plain:.2f}")


if __name__ == "__main__":
    main()
