"""The MLflow run of a study: its configurations compared. Their runs are nested in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flows.configurations import Configuration
from flows.projection.description import description_of
from flows.projection.links import figures_of, report_of
from flows.projection.metrics import MAX_METRICS
from flows.projection.pairs import TOKENS, Pair, pairs_csv, pairs_of
from flows.projection.told import Told
from flows.results.rows import arm_means
from flows.workspace import Opened
from rdpt_core.tables import ids
from rdpt_core.tables.rows import Result
from tasks.projection import Parent, Point, Projection, State, metric_key

NAME = "comparison"


def study_of(configurations: Sequence[Configuration]) -> Parent:
    """The run of an experiment's study; a changed experiment has another one."""
    return Parent(NAME, ids.digest("study", sorted(one.digest for one in configurations)))


def project_study(
    opened: Opened,
    configurations: Sequence[Configuration],
    states: Mapping[str, State],
    files: Mapping[str, bytes],
) -> Projection:
    """`states` has the configurations that are not complete, by digest; `files` the report and
    figures."""
    plan, study = opened.plan, study_of(configurations)
    benchmarks = [benchmark.name for benchmark in opened.experiment.benchmarks]
    pairs = pairs_of(configurations, benchmarks, plan)
    times = _times(opened, configurations)
    points = list(_points(opened, configurations, pairs, max(times)))
    names = list(files)
    return Projection(
        name=study.name,
        digest=study.digest,
        begun=min(times),
        ended=max(times),
        tags={"rdpt.experiment": opened.experiment.name, "rdpt.kind": "study"},
        params={},
        note=_note(study.digest, names),
        points=tuple(points[:MAX_METRICS]),
        artifacts={
            "experiment.toml": opened.file.read_bytes(),
            "differences.csv": pairs_csv(pairs),
            **files,
        },
        state=_state(states),
        description=description_of(
            opened, configurations, states, pairs, study.digest, list(files)
        ),
    )


def _note(study: str, files: Sequence[str]) -> str:
    lines = [
        "Differences are paired: both answered the same questions. All of them, with their notes, "
        "are in `differences.csv`.",
        "",
        *report_of(study, files),
        "",
        *figures_of(study, files),
    ]
    return "\n".join(lines) + "\n"


def _times(opened: Opened, configurations: Sequence[Configuration]) -> list[int]:
    times = [t for one in configurations for t in Told(opened, one, opened.plan).times]
    return times or [opened.file.stat().st_mtime_ns // 1_000_000]


def _state(states: Mapping[str, State]) -> State:
    for state in (State.RUNNING, State.FAILED, State.KILLED):
        if state in states.values():
            return state
    return State.FINISHED


def _points(
    opened: Opened, configurations: Sequence[Configuration], pairs: Sequence[Pair], when: int
) -> Iterator[Point]:
    """Keys begin with the pair, so that MLflow shows what is known of one next to each other."""
    benchmarks = [benchmark.name for benchmark in opened.experiment.benchmarks]
    for benchmark in benchmarks:
        for name, row in arm_means(configurations, f"test:{benchmark}", opened.plan):
            yield from _with_interval(_key(benchmarks, benchmark, name, "accuracy"), row, when)
    for pair in pairs:
        key = _key(benchmarks, pair.benchmark, pair.name, pair.what)
        yield from _with_interval(key, pair.row, when, 0 if pair.what == TOKENS else 4)


def _key(benchmarks: Sequence[str], benchmark: str, *steps: str) -> str:
    slices = [benchmark] if benchmark in benchmarks[1:] else []
    return metric_key(*slices, *steps)


def _with_interval(key: str, row: Result, when: int, digits: int = 4) -> Iterator[Point]:
    for end, value in (("", row.value), ("_low", row.low), ("_high", row.high)):
        if value is not None:
            yield Point(f"{key}{end}", round(value, digits), 0, when)
