"""How the plan, a worker's bookkeeping and the catalogue grow with the parts of a table.

    .venv/bin/python perf/scale.py --parts 3200 --json scale.json
    .venv/bin/python perf/scale.py --parts 10000 --grow --json perf/results/scale.json \\
        --plot perf/results/scale.png                   # also at 100, 320, ...; an hour

The study is that of `settings/experiments/pocket.toml` (a teacher, a student, three arms; 69
tables), with as many problems as give each of its 43 tables over traces that many parts: 3,200 are
100,000 problems in blocks of 125, sampled four times. The plan, the worker, the store and the
catalogue are those of `rdpt run`. Only the stages' functions are stood in for: each gives one row a
part at once, so that what is measured is what rdpt adds to a stage. Beside other work, read the
seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows.catalogue import publish_catalogue
from flows.workspace import Opened, freeze, open_file
from rdpt_core.tables import ids
from rdpt_core.tables.columns import columns
from settings.runtime import Runtime
from tasks import attribution, results, students, traces
from tasks.models import CHECKPOINT
from tasks.progress import TableProgress
from tasks.running import Activity, beating
from tasks.stage import Stage
from tasks.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
POCKET = ROOT / "settings" / "experiments" / "pocket.toml"
MODELS = ROOT / "rdpt_core" / "pocket" / "models"
SAMPLES = 4
SIZES = (100, 320, 1000, 3200, 10_000)
"""Parts of a table that `--grow` stops at."""
STAGES = (
    traces.sample,
    traces.grade,
    traces.segment,
    attribution.score,
    attribution.sentence_scores,
    attribution.three_way,
    attribution.four_way,
    attribution.pool,
    attribution.select,
    students.train,
    results.baseline,
    results.attributed,
    results.distilled,
    results.arm,
    results.compared,
    results.compared_tokens,
    results.selected,
    results.training,
)


# ---------------------------------------------------------------------------- the study


def study(folder: Path, parts: int) -> Opened:
    """The pocket experiment with so many parts in every table over traces; a part has one row."""
    text = POCKET.read_text()
    for old, new in (
        ("part_size = 120", "part_size = 1"),
        ("limit = 240", f"limit = {parts // SAMPLES}"),
        ("samples = 1,", f"samples = {SAMPLES},"),
        ("../../rdpt_core/pocket/models", str(MODELS)),
    ):
        assert old in text, old
        text = text.replace(old, new)
    file = folder / "pocket.toml"
    file.write_text(text)
    return open_file(file, Runtime(workspace=folder / "workspace", threads=1, workers=1))


class Clock:
    """Seconds inside the stages' functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def stand_in(self, stage: Stage) -> Callable[..., Iterator[Any]]:
        """One row of the stage's table, that follows from the driving row alone."""

        def rows(**arguments: Any) -> Iterator[Any]:
            begun = time.perf_counter()
            if stage is students.train:
                _keep_model(arguments["work"].payload / CHECKPOINT, arguments["selection"])
            row = _row(stage.row, _name(stage, arguments))
            self.seconds += time.perf_counter() - begun
            yield row

        return rows


def _name(stage: Stage, arguments: dict[str, Any]) -> str:
    """Another one for each part that real rows would tell apart."""
    told = [arguments.get("sample_index"), getattr(arguments.get("model"), "scorer", None)]
    driving = arguments[stage.over][0] if stage.over else None
    key = [getattr(driving, name) for name in type(driving).KEY] if driving else []
    return ids.digest(stage.name, *key, *told, str(arguments.get("selector")))


def _row(kind: type, name: str) -> Any:
    values = {column.name: _value(column.python, column.optional, name) for column in columns(kind)}
    return kind(**values)


def _value(kind: Any, optional: bool, name: str) -> Any:
    if kind is str:
        return name
    if optional:
        return None
    if kind is np.ndarray:
        return np.zeros(1)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return next(iter(kind))
    return () if hasattr(kind, "__dataclass_fields__") else kind(0)


def _keep_model(folder: Path, selection: Any) -> None:
    """The student itself, marked so that each arm has another."""
    shutil.copytree(MODELS / "student", folder, dirs_exist_ok=True)
    settings = json.loads((folder / "config.json").read_text())
    picks = [pick.trace_id for rows in selection for pick in rows]
    (folder / "config.json").write_text(json.dumps({**settings, "picks": picks}))


# ---------------------------------------------------------------------------- measuring


def build(opened: Opened) -> dict[str, float]:
    """Builds what is missing, table by table; seconds outside the stages, for each part built."""
    clock, num_parts, begun, used = Clock(), 0, time.perf_counter(), time.process_time()
    for stage in STAGES:
        object.__setattr__(stage, "function", clock.stand_in(stage))
    for table in opened.study.tables():
        if opened.plan.state(table).complete:
            continue
        activity = Activity(opened.experiment.name, table.name, table.digest)
        with beating(
            TableProgress(table.name, "rows"), opened.runtime.workspace, activity
        ) as watcher:
            num_parts += max(1, len(opened.plan.state(table).missing))
            Worker(opened.plan, opened.runtime, watcher).build(table)
    seconds = time.perf_counter() - begun - clock.seconds
    return {
        "seconds_per_part": seconds / max(1, num_parts),
        "cpu_seconds_per_part": (time.process_time() - used) / max(1, num_parts),
    }


def look(opened: Opened) -> dict[str, float]:
    """Seconds of a plan of what is complete and of the catalogue, in a fresh process; its peak."""
    configurations = opened.study.configurations()
    times = [(time.perf_counter(), time.process_time())]
    tables = [opened.plan.state(use.table) for c in configurations for use in c.uses]
    times.append((time.perf_counter(), time.process_time()))
    assert all(table.complete for table in tables)
    publish_catalogue(opened)
    times.append((time.perf_counter(), time.process_time()))
    (plan, plan_cpu), (catalogue, catalogue_cpu) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(times)
    )
    return {
        "plan_seconds": plan,
        "plan_cpu_seconds": plan_cpu,
        "catalogue_seconds": catalogue,
        "catalogue_cpu_seconds": catalogue_cpu,
        "peak_mb": _peak_mb(),
        "num_parts": len({(p.table, p.key) for table in tables for p in table.parts}),
    }


def _peak_mb() -> float:
    """Peak memory of this process alone; `getrusage` starts from the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def measure(folder: Path, parts: int) -> dict[str, float]:
    """At a size; what smaller sizes have built stays."""
    opened = study(folder, parts)
    freeze(opened)
    built = build(opened)
    command = [sys.executable, __file__, "--parts", str(parts), "--look", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"parts": parts, **found, **built}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--parts", type=int, default=3200, help="parts of a table (default 3200)")
    parser.add_argument("--grow", action="store_true", help="also measure at smaller sizes")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--plot", type=Path, help="file for the plot of --grow")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.look:
        print(json.dumps(look(study(asked.look, asked.parts))))
        return
    smaller = [size for size in SIZES if size < asked.parts] if asked.grow else []
    sizes: list[dict[str, float]] = []
    with TemporaryDirectory(prefix="rdpt-scale-") as folder:
        for parts in [*smaller, asked.parts]:
            sizes.append(measure(Path(folder), parts))
            print(json.dumps(sizes[-1]), flush=True)
            if asked.json:
                asked.json.write_text(json.dumps({**sizes[-1], "sizes": sizes}, indent=1) + "\n")
    if asked.plot:
        draw(sizes, asked.plot)


def draw(sizes: list[dict[str, float]], path: Path) -> None:
    """Each measure over the parts of a table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    measures = (
        ("plan, s", 10, ("plan_seconds", "plan_cpu_seconds")),
        ("bookkeeping of a part, s", 0.005, ("seconds_per_part", "cpu_seconds_per_part")),
        ("catalogue, s", 5, ("catalogue_seconds", "catalogue_cpu_seconds")),
        ("peak memory, MB", 1000, ("peak_mb",)),
    )
    x = [size["parts"] for size in sizes]
    for panel, (label, limit, names) in zip(figure.subplots(1, 4), measures, strict=True):
        for name, line in zip(names, ("o-", "o:"), strict=False):
            panel.loglog(x, [size[name] for size in sizes], line, color="C0", ms=4)
        panel.plot(3200, limit, "_", color="C3", ms=14)
        panel.set_title(label, fontsize=9)
    figure.supxlabel(
        "parts of a table (dotted: seconds of CPU; red: the most that 3,200 may take)", fontsize=9
    )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
