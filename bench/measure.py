"""Runs one process and measures it: CPU seconds, wall time, peak resident and peak anonymous memory."""

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# Set for hand-tuned BLAS builds; a peer must run as a fresh install does.
TUNING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Run:
    """What one process took. Seconds, and bytes."""

    cpu: float
    wall: float
    rss: int
    anonymous: int

    def to_dict(self):
        return asdict(self)


def environment(threads=None):
    """The environment for either program: no tuning variables, no network."""
    env = {key: value for key, value in os.environ.items() if key not in TUNING}
    env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    if threads:
        env |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    return env


def memory(pid):
    """The anonymous resident memory of a process now and its peak resident memory so far, in bytes; zeros once it has
    ended. (The peak that wait4 reports will not do: it counts in the memory of the process that started this one.)"""
    anonymous = peak = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    peak = int(line.split()[1]) * 1024
                elif line.startswith(b"RssAnon:"):
                    anonymous = int(line.split()[1]) * 1024
                    break
    except OSError:
        pass
    return anonymous, peak


def run(command, log, env=None):
    """Runs `command` to its end and returns its `Run`; its output goes to the file `log`.

    Memory is sampled every 2 ms in the first second, so that short processes get their share of samples, and
    every 10 ms from then on. Raises RuntimeError with the log's tail on a non-zero exit.
    """
    command = [str(part) for part in command]
    with open(log, "wb") as out:
        start = time.perf_counter()
        actions = [
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        ]
        pid = os.posix_spawnp(command[0], command, env or environment(), file_actions=actions)
        # A page at least, so that ratios stay finite.
        anonymous = rss = 4096
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            now, highest = memory(pid)
            anonymous, rss = max(anonymous, now), max(rss, highest)
            time.sleep(0.002 if time.perf_counter() - start < 1.0 else 0.01)
        wall = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    if code:
        tail = Path(log).read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)}\nended with {code}:\n{tail}")
    return Run(usage.ru_utime + usage.ru_stime, wall, rss, anonymous)


def start_up(command, rounds=20):
    """Wall seconds of `command`, sorted, `rounds` times. No sampling, and a blocking wait, so that nothing disturbs it."""
    env = environment()
    null = os.open(os.devnull, os.O_RDWR)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        pid = os.posix_spawnp(str(command[0]), [str(part) for part in command], env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        times.append(time.perf_counter() - start)
        if os.waitstatus_to_exitcode(status):
            raise RuntimeError(f"{command} failed")
    os.close(null)
    return sorted(times)
