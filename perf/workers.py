"""How much faster two workers are than one, in threads of the run and as processes.

    .venv/bin/python perf/workers.py --json perf/results/workers.json

The pocket teacher answers pocket problems, and the pocket teacher and student score the answers: no
training, no Prefect. Each round builds the study with each runner in a workspace and processes of
its own, in an order that is reversed from round to round. The rate of a stage is what its largest
table holds over the time from the beginning of its first part to the end of its last; a model is
loaded within it.

On a machine that others use, times say little. So each round builds a smaller and a larger study:
the difference of their CPU times, of all processes, is what the parts cost without the start of
processes. Two workers on two free cores are as fast as 2 divided by how much more they take.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNNERS = [("local", 1), ("local", 2), ("processes", 1), ("processes", 2)]
STAGES = ("traces", "scores")
STUDY = """
name = "workers"
part_size = 24
[[teachers]]
name = "teacher"
path = "{models}/teacher"
[[students]]
name = "student"
source = "import"
path = "{models}/student"
distilled = "{models}/teacher"
[[benchmarks]]
name = "bench"
problems = {{ source = "pocket", split = "bench", limit = {problems} }}
[benchmarks.traces]
source = "generate"
samples = 2
sampling = {{ max_new_tokens = 320, batch_size = 24 }}
"""


def build(runner: str, workers: int, folder: Path, problems: int) -> dict[str, Any]:
    """Builds the study in this process, which has imported nothing of rdpt before."""
    sys.path.insert(0, str(ROOT))
    from flows.runners import runner_of
    from flows.titles import jobs_of
    from flows.workspace import freeze, open_file
    from rdpt_core.store.record import Part
    from settings.runtime import Runtime
    from tasks.progress import TableProgress

    file = folder / "workers.toml"
    models = ROOT / "rdpt_core" / "pocket" / "models"
    file.write_text(STUDY.format(models=models, problems=problems))
    runtime = Runtime.model_validate(
        {"workspace": folder / "workspace", "runner": runner, "workers": workers, "device": "cpu"}
    )
    opened = open_file(file, runtime)
    freeze(opened)
    begun = time.monotonic()
    with runner_of(opened) as builder:
        for job in jobs_of(opened.study):
            builder.build(job, TableProgress(job.title, job.unit, quiet=True))
    wall = time.monotonic() - begun
    spent = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]

    def seconds(parts: tuple[Part, ...]) -> float:
        ends = [opened.store.committed_at(part) for part in parts]
        return max(ends) - min(end - part.seconds for end, part in zip(ends, parts, strict=True))

    found: dict[str, Any] = {"wall_s": wall, "cpu_s": sum(u.ru_utime + u.ru_stime for u in spent)}
    states = [opened.plan.state(table) for table in opened.study.tables()]
    for stage in STAGES:
        largest = max(
            (state.parts for state in states if state.table.name == stage),
            key=lambda parts: sum(part.size for part in parts),
        )
        found[f"{stage}_s"] = seconds(largest)
        found[f"{stage}_rows"] = sum(part.num_rows for part in largest)
    found["contents"] = sorted(part.content for state in states for part in state.parts)
    return found


def measured(runner: str, workers: int, problems: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", __file__, "--one", runner, str(workers), folder]
        command += ["--problems", str(problems), str(problems)]
        load = os.getloadavg()[0]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    about = {"runner": runner, "workers": workers, "problems": problems, "load_before": load}
    return about | json.loads(done.stdout)


def summary(runs: list[dict[str, Any]], sizes: list[int]) -> dict[str, Any]:
    """Medians over the rounds, of 1 worker over 2 of the same runner, of the larger study."""
    found: dict[str, Any] = {}

    def of(runner: str, workers: int, what: str, problems: int) -> list[float]:
        wanted = (runner, workers, problems)
        return [r[what] for r in runs if (r["runner"], r["workers"], r["problems"]) == wanted]

    for runner in dict.fromkeys(run["runner"] for run in runs):
        for what in ("traces_s", "scores_s", "wall_s"):
            pairs = zip(*(of(runner, n, what, sizes[-1]) for n in (1, 2)), strict=True)
            name = f"{runner}_{what.removesuffix('_s')}_times_as_fast"
            found[name] = statistics.median(one / two for one, two in pairs)
        costs = [
            statistics.median(of(runner, n, "cpu_s", sizes[-1]))
            - statistics.median(of(runner, n, "cpu_s", sizes[0]))
            for n in (1, 2)
        ]
        found[f"{runner}_cpu_of_two_over_one"] = costs[1] / costs[0]
        found[f"{runner}_times_as_fast_by_cpu"] = 2 * costs[0] / costs[1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--problems", type=int, nargs=2, default=[96, 240], help="two sizes")
    parser.add_argument("--runners", nargs="+", default=["local", "processes"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        runner, workers, folder = asked.one
        print(json.dumps(build(runner, int(workers), Path(folder), asked.problems[0])))
        return
    runs: list[dict[str, Any]] = []
    cells = [(*one, size) for one in RUNNERS for size in asked.problems if one[0] in asked.runners]
    for number in range(asked.rounds):
        for runner, workers, problems in cells[:: 1 if number % 2 == 0 else -1]:
            runs.append(measured(runner, workers, problems))
            shown = {k: v for k, v in runs[-1].items() if k != "contents"}
            print(f"round {number + 1}  {shown}", file=sys.stderr)
    for size in asked.problems:
        contents = [run["contents"] for run in runs if run["problems"] == size]
        assert all(found == contents[0] for found in contents), "the parts differ"
    for run in runs:
        run["num_parts"] = len(run.pop("contents"))
    result = {"times": summary(runs, asked.problems), "runs": runs}
    print(json.dumps(result["times"], indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
