"""Tables of what run.py measured, held against the targets."""

import json
import os
import platform
from importlib import metadata
from statistics import median

# How many times less than the peer's: CPU time, with the stricter target of one method, and anonymous memory.
CPU_TARGET, CPU_TARGETS, MEMORY_TARGET = 15.0, {"ties": 20.0}, 10.0
# How many times the copy's time linear may take, and how long the program may take to start, in seconds.
COPY_TARGET, START_TARGET = 1.5, 0.05
MB = 1e6


def ratio(row, key):
    """Peer ÷ ours: the median of the rounds' ratios; where the peer's figures come from an earlier run, of the peer's
    median to each of ours."""
    if row["reused"]:
        usual = median(run[key] for run in row["peer"])
        return median(usual / run[key] for run in row["ours"])
    return median(p[key] / o[key] for o, p in zip(row["ours"], row["peer"]))


def middle(runs, key):
    return median(run[key] for run in runs)


def verdict(met):
    return "yes" if met else "**no**"


def method_table(rows):
    """The methods of one place as Markdown, and whether all targets are met."""
    head = ["method", "inputs", "CPU s", "peer", "ratio", "target", "wall s", "peer", "ratio"]
    head += ["anonymous MB", "peer", "ratio", "target", "met"]
    lines, met_all = [head, ["---"] + ["--:"] * (len(head) - 2) + [":-:"]], True
    for row in rows:
        target = CPU_TARGETS.get(row["method"], CPU_TARGET)
        cpu, wall, memory = (ratio(row, key) for key in ("cpu", "wall", "anonymous"))
        met = cpu >= target and memory >= MEMORY_TARGET
        met_all &= met
        ours, peer = row["ours"], row["peer"]
        name = row["method"] + (" ¹" if row["reused"] else "")
        line = [name, str(row["inputs"])]
        line += [f"{middle(ours, 'cpu'):.3f}", f"{middle(peer, 'cpu'):.2f}", f"{cpu:.1f}×", f"{target:.0f}×"]
        line += [f"{middle(ours, 'wall'):.3f}", f"{middle(peer, 'wall'):.2f}", f"{wall:.1f}×"]
        line += [f"{middle(ours, 'anonymous') / MB:.1f}", f"{middle(peer, 'anonymous') / MB:.0f}"]
        line += [f"{memory:.1f}×", f"{MEMORY_TARGET:.0f}×", verdict(met)]
        lines.append(line)
    return markdown(lines), met_all


def copy_table(copies):
    """Linear against a plain copy with the same reads."""
    head = ["place", "CPU s", "copy", "ratio", "wall s", "copy", "ratio", "at most", "met"]
    lines, met_all = [head, ["---"] + ["--:"] * (len(head) - 2) + [":-:"]], True
    for row in copies:
        line, met = [row["place"]], True
        for key in ("cpu", "wall"):
            times = median(o[key] / c[key] for o, c in zip(row["ours"], row["copy"]))
            met &= times <= COPY_TARGET
            line += [f"{middle(row['ours'], key):.3f}", f"{middle(row['copy'], key):.3f}", f"{times:.2f}×"]
        met_all &= met
        lines.append(line + [f"{COPY_TARGET}×", verdict(met)])
    return markdown(lines), met_all


def markdown(lines):
    """Rows of cells, padded so that the source reads as a table too."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def cell(text, width, head):
        if set(text) <= set(":-") and text.startswith((":", "-")):
            return text[0] + "-" * (width - 2) + text[-1]
        return text.ljust(width) if head else text.rjust(width)

    rows = ([cell(text, width, i == 0) for i, (text, width) in enumerate(zip(line, widths))] for line in lines)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine():
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as info:
            cpu = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores"


def write(results, out):
    """Prints the tables, writes results.json and results.md to `out`, and returns the exit code."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("mergekit", "torch"))
    parts = [
        f"Checkpoints of 58.07 million bf16 parameters, `dtype: {results['dtype']}`; {versions}; {machine()}; "
        f"rounds in turn: {results['rounds']}. Columns show medians, ratios are peer ÷ ours (medians of the rounds' "
        "ratios). Anonymous: the peak of memory that no file stands behind."
    ]
    if any(row["reused"] for row in results["rows"]):
        parts.append("¹ The peer's figures come from an earlier run on this machine.")
    met = True
    for place in dict.fromkeys(row["place"] for row in results["rows"]):
        table, good = method_table([row for row in results["rows"] if row["place"] == place])
        met &= good
        parts += [f"### Methods, {'in memory (tmpfs)' if place == 'tmpfs' else 'on disk'}", table]
    if results["copies"]:
        table, good = copy_table(results["copies"])
        met &= good
        parts += ["### Linear against copying the same bytes", table]
    start = median(results["start_up"])
    met &= start < START_TARGET
    parts += [
        "### Start-up",
        f"`consilience --version`: median {start * 1e3:.1f} ms, best {min(results['start_up']) * 1e3:.1f} ms of "
        f"{len(results['start_up'])}; target under {START_TARGET * 1e3:.0f} ms: {verdict(start < START_TARGET)}",
    ]
    text = "\n\n".join(parts) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text(text)
    (out / "results.json").write_text(json.dumps(results, indent=1))
    print(f"\n{text}\nwritten to {out / 'results.md'} and {out / 'results.json'}")
    return 0 if met else 1
