"""How much faster two processes on two cores score than one after the other.

    .venv/bin/python perf/processes.py --json perf/results/processes.json

The work list is that of scoring.py, cut into two halves of as many tokens; each half has a process
of its own with one thread. A round scores the halves one after the other, then at the same time.
Wall time, since the question is when the work is done.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from scoring import Process, warm
from workload import Shape, traces, write_model


def halves(work: list[list[int]]) -> list[list[list[int]]]:
    """Longest first, each to the half with fewer tokens so far."""
    found: list[list[list[int]]] = [[], []]
    for one in sorted(work, key=len, reverse=True):
        min(found, key=lambda half: sum(map(len, half))).append(one)
    return found


def prepared(shape: Shape, work: list[list[int]], stack: ExitStack) -> list[Process]:
    found = []
    for half in halves(work):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_model(shape, folder, torch.bfloat16)
        (folder / "traces.json").write_text(json.dumps(half))
        process = warm("exact", folder, threads=1)
        stack.callback(process.stop)
        found.append(process)
    return found


def measured(processes: list[Process]) -> dict[str, float]:
    alone = [process.round()["wall_s"] for process in processes]
    for process in processes:
        process.begin()
    together = [process.answer()["wall_s"] for process in processes]
    return {"one_after_the_other_s": sum(alone), "together_s": max(together)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--traces", type=int, default=64)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    shape = Shape()
    rounds: list[dict[str, float]] = []
    with ExitStack() as stack:
        processes = prepared(shape, traces(asked.traces, shape.vocabulary), stack)
        for number in range(asked.rounds):
            rounds.append(measured(processes))
            print(f"round {number + 1}  {rounds[-1]}", file=sys.stderr)
    ratio = statistics.median(one["one_after_the_other_s"] / one["together_s"] for one in rounds)
    print(f"two processes are {ratio:.2f} times as fast as one")
    if asked.json:
        result: dict[str, Any] = {"ratio": ratio, "rounds": rounds, "num_traces": asked.traces}
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
