"""CPU and memory of importing traces, and of the first and the next `rdpt plan` of them.

    .venv/bin/python perf/importing.py --traces 40000 200000 --json perf/results/importing.json

A JSONL file of so many traces of about 5 kB, ten to a problem (200,000 are 1 GB), is read by a
process of its own, as `rdpt run` reads it; `rdpt plan` runs before (it peeks) and after it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

SAMPLES = 10
LENGTH = 4800
"""Bytes of a trace."""
STUDY = """
name = "imported"
part_size = 500
[traces]
source = "import"
path = "traces.jsonl"
delimiters = "<think>"
columns = {{ problem = "problem", answer = "answer", trace = "trace" }}
[[teachers]]
name = "teacher"
path = "{models}/teacher"
[[students]]
name = "student"
path = "{models}/student"
[[selectors]]
name = "random"
"""


def write(folder: Path, num_traces: int) -> int:
    """The study and its file; bytes of that."""
    models = ROOT / "rdpt_core" / "pocket" / "models"
    (folder / "imported.toml").write_text(STUDY.format(models=models))
    dice = random.Random(0)
    words = [f"word{n}" for n in range(5000)]
    with (folder / "traces.jsonl").open("w") as file:
        for n in range(num_traces):
            number = n // SAMPLES
            thought = " ".join(dice.choices(words, k=LENGTH // 9))
            text = f"<think>{n}. {thought}</think>The answer is 7."
            row = {"problem": f"Problem {number}: how much is it?", "answer": "7", "trace": text}
            file.write(json.dumps(row) + "\n")
    return (folder / "traces.jsonl").stat().st_size


def read(folder: Path) -> None:
    """Of a process of its own: commits what the source gives."""
    from flows.workspace import freeze, open_file
    from settings.runtime import Runtime
    from tasks.stage import SourceTable

    opened = open_file(folder / "imported.toml", Runtime(workspace=folder / "workspace"))
    freeze(opened)
    for table in opened.study.tables():
        if isinstance(table, SourceTable):
            table.read(opened.store)


def spent(command: list[str], folder: Path) -> dict[str, float]:
    """CPU, wall seconds and peak memory of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RDPT_WORKSPACE": str(folder / "workspace")},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--traces", type=int, nargs="+", default=[40_000, 200_000])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
        return
    found = []
    for num_traces in asked.traces:
        found.append(measure(num_traces))
        print(json.dumps(found[-1]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(num_traces: int) -> dict[str, object]:
    plan = [sys.executable, "-m", "flows.cli", "plan", "imported.toml"]
    with TemporaryDirectory(prefix="rdpt-import-") as name:
        folder = Path(name)
        reading = [sys.executable, __file__, "--read", str(folder)]
        return {
            "traces": num_traces,
            "bytes": write(folder, num_traces),
            "first_plan": spent(plan, folder),
            "import": spent(reading, folder),
            "next_plan": spent(plan, folder),
        }


if __name__ == "__main__":
    main()
