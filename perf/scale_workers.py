"""How workers that claim the parts of one table grow: overhead, contention, catalogue, memory.

    .venv/bin/python perf/scale_workers.py --json perf/results/scale_workers.json \\
        --plot perf/results/scale_workers.png

Each worker is a process with a plan, a store and a worker as `rdpt run` has them; together they
build the `sentences` of a table of problems, one problem a part. Only the stage's function is stood
in for. First 1, 2, 8 and 32 workers build 1,000 parts of one row, by flock and by leases; then two
workers build 1,000 to 10,000 parts of a thousand rows, ten million sentences in all. Beside other
work, read the seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from perf.scale import _peak_mb
from rdpt_core.store import catalog
from rdpt_core.store.contents import ConfigurationRow, Contents, PartUse
from rdpt_core.store.opening import Locks, open_store
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Coordinate, Part
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Problem, Sentence, ZoneKind
from tasks.plan import Plan
from tasks.stage import SourceTable, StageTable, stage
from tasks.worker import Watcher, Worker

WORKERS = (1, 2, 8, 32)
CONTENDED = 1000
SIZES = (1000, 3200, 10_000)
ROWS_OF_A_PART = 1000
FORK = multiprocessing.get_context("fork")
_spent = [0.0]
"""Seconds of CPU in the stage's function, in this process."""


@stage("sentences", version=1, row=Sentence, over="problems")
def stand_in(problems: list[Problem], rows: int) -> Iterator[Sentence]:
    begun = time.process_time()
    made = [
        Sentence(problem.problem_id, n, n, n + 1, ZoneKind.ANSWER)
        for problem in problems
        for n in range(rows)
    ]
    _spent[0] += time.process_time() - begun
    yield from made


@dataclass
class Options:
    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    wait: bool = True


class Counted(Watcher):
    num_parts = 0

    def committed(self, part: Part, num_items: int) -> None:
        self.num_parts += 1


def given(num_parts: int) -> SourceTable:
    """A problem in each of so many parts."""

    def recipe(n: int) -> Recipe:
        return Recipe("problems", 1, {"number": n}, {})

    def parts(store: Store) -> dict[Coordinate, Part] | None:
        found = {(n,): store.find("problems", recipe(n).key) for n in range(num_parts)}
        return {at: part for at, part in found.items() if part} if all(found.values()) else None

    def read(store: Store) -> None:
        for n in range(num_parts):
            if not store.find("problems", recipe(n).key):
                row = Problem(ids.digest(n), "scale", "train", "", f"problem {n}", None)
                store.commit(Problem, recipe(n), [row])

    name = ids.digest("scale", num_parts)
    return SourceTable("problems", Problem, name, ("scale",), parts, read, dict)


def table_of(num_parts: int, rows: int) -> StageTable:
    table: StageTable = stand_in(problems=given(num_parts), rows=rows)
    return table


# ---------------------------------------------------------------------------- claiming


def claim(root: Path, num_parts: int, rows: int, locks: Locks, start: Any, told: Any) -> None:
    """One worker process."""
    store = open_store(root, locks=locks)
    table, watcher = table_of(num_parts, rows), Counted()
    start.wait()
    begun, used = time.perf_counter(), time.process_time()
    Worker(Plan(store), Options(), watcher).build(table)
    told.put(
        {
            "seconds": time.perf_counter() - begun,
            "cpu_seconds": time.process_time() - used - _spent[0],
            "num_parts": watcher.num_parts,
            "peak_mb": _peak_mb(),
        }
    )


def contend(
    root: Path, workers: int, num_parts: int, rows: int, locks: Locks, before: int = 0
) -> dict[str, Any]:
    """So many workers build what is missing of the table, of which `before` parts exist.
    `overhead_ms` is CPU outside the stage for each part that was built."""
    given(num_parts).read(Store(root))
    start, told = FORK.Barrier(workers), FORK.Queue()
    arguments = (root, num_parts, rows, locks, start, told)
    processes = [FORK.Process(target=claim, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    found = [told.get() for _ in processes]
    for process in processes:
        process.join()
    built = [one["num_parts"] for one in found]
    assert sum(built) == num_parts - before, built  # nothing twice, nothing left
    return {
        "workers": workers,
        "parts": num_parts,
        "rows": num_parts * rows,
        "locks": locks,
        "seconds": max(one["seconds"] for one in found),
        "overhead_ms": 1000 * sum(one["cpu_seconds"] for one in found) / sum(built),
        "least_and_most_parts": [min(built), max(built)],
        "peak_mb": max(one["peak_mb"] for one in found),
    }


def look(root: Path, num_parts: int, rows: int, told: Any) -> None:
    """A fresh process plans what is complete, and publishes the catalogue."""
    store, table, times = open_store(root), table_of(num_parts, rows), [time.process_time()]
    state = Plan(store).state(table)
    assert state.complete
    times.append(time.process_time())
    row = ConfigurationRow("c", "one", "scale", None, None, None, None, None)
    uses = [PartUse("c", "train", None, p.table, p.key, None) for p in state.parts]
    path = root.parent / "rdpt.duckdb"
    catalog.publish(path, store, Contents((row,), (), tuple(uses)))
    times.append(time.process_time())
    plan, catalogue = (after - before for before, after in pairwise(times))
    told.put(
        {"plan_cpu_seconds": plan, "catalogue_cpu_seconds": catalogue, "look_peak_mb": _peak_mb()}
    )


def looked(root: Path, num_parts: int, rows: int) -> dict[str, float]:
    told = FORK.Queue()
    process = FORK.Process(target=look, args=(root, num_parts, rows, told))
    process.start()
    found: dict[str, float] = told.get()
    process.join()
    return found


# ---------------------------------------------------------------------------- the whole


def measure(workers: list[int], sizes: list[int]) -> Iterator[dict[str, Any]]:
    locks: Locks
    for locks in ("flock", "lease"):
        for number in workers:
            with TemporaryDirectory(prefix="rdpt-scale-") as folder:
                found = contend(Path(folder) / "store", number, CONTENDED, 1, locks)
                yield {"kind": "claiming", **found}
    with TemporaryDirectory(prefix="rdpt-scale-") as folder:
        root = Path(folder) / "store"
        before = 0
        for size in sizes:
            found = contend(root, 2, size, ROWS_OF_A_PART, "flock", before)
            before = size
            yield {"kind": "growing", **found, **looked(root, size, ROWS_OF_A_PART)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workers", type=int, nargs="*", default=[*WORKERS])
    parser.add_argument("--sizes", type=int, nargs="*", default=[*SIZES])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--plot", type=Path, help="file for the plot")
    asked = parser.parse_args()
    found: list[dict[str, Any]] = []
    for one in measure(asked.workers, asked.sizes):
        found.append(one)
        print(json.dumps(one), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1) + "\n")
    if asked.plot:
        draw(found, asked.plot)


def draw(found: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    claims, grown, memory = figure.subplots(1, 3)
    for locks, line in (("flock", "o-"), ("lease", "s--")):
        of_kind = [f for f in found if f["kind"] == "claiming" and f["locks"] == locks]
        x = [f["workers"] for f in of_kind]
        claims.semilogx(x, [f["overhead_ms"] for f in of_kind], line, base=2, ms=4, label=locks)
    claims.set_title("overhead of a part, ms of CPU", fontsize=9)
    claims.set_xlabel("claiming workers", fontsize=9)
    claims.legend(fontsize=8)
    sizes = [f for f in found if f["kind"] == "growing"]
    x = [f["parts"] for f in sizes]
    for name, label in (("plan_cpu_seconds", "plan"), ("catalogue_cpu_seconds", "catalogue")):
        grown.loglog(x, [f[name] for f in sizes], "o-", ms=4, label=label)
    grown.set_title("seconds of CPU", fontsize=9)
    grown.set_xlabel("parts of 1,000 sentences", fontsize=9)
    grown.legend(fontsize=8)
    for name, label in (("peak_mb", "a worker"), ("look_peak_mb", "plan and catalogue")):
        memory.semilogx(x, [f[name] for f in sizes], "o-", ms=4, label=label)
    memory.set_ylim(bottom=0)
    memory.set_title("peak memory, MB", fontsize=9)
    memory.set_xlabel("parts of 1,000 sentences", fontsize=9)
    memory.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
