"""Some traces of an experiment for the doctor to have its models read.

Those of the store where there are any, from every side that labels sentences; else those of an
import; else a few that are sampled for it. Nothing of it is committed to the workspace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.catalogue import model_of
from flows.workspace import Opened
from rdpt_core.machine.progress import silent
from rdpt_core.provenance.noise import ENOUGH_TRACES
from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import Problem, Sentence, Trace
from rdpt_core.text import segmentation
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.progress import say
from tasks.stage import Parts, SourceTable, StageTable, Table, Work

MOST_TOKENS = 512
"""Tokens of a trace that is sampled only for this: noise shows in any sentence, early or late."""


@dataclass(frozen=True)
class LabelledSide:
    """Traces that an experiment labels, and the problems that they answer."""

    problems: Table
    traces: Table


@dataclass(frozen=True)
class Material:
    problems: tuple[Problem, ...]
    traces: tuple[Trace, ...]
    sentences: tuple[Sentence, ...]
    origin: str
    """For people: where they are from."""


def material(opened: Opened) -> Material:
    """At most ENOUGH_TRACES traces. Raises BadSettings where there are none."""
    sources = list(_sources(opened))
    found, origin = _stored(Plan(opened.store), sources), "of the store"
    if not found:
        with TemporaryDirectory(prefix="rdpt-doctor-") as folder:
            found, origin = _made(opened, sources, Store(Path(folder)))
    if not found:
        raise BadSettings(
            str(opened.file),
            [
                "no traces available: they come from a student that is not trained yet; "
                f"first: rdpt run {opened.file}"
            ],
        )
    problems = {problem.problem_id: problem for problem, _ in found}
    traces = {trace.trace_id: trace for _, trace in found}
    cut = [segmentation.segment(trace, opened.experiment.segmentation) for trace in traces.values()]
    return Material(tuple(problems.values()), tuple(traces.values()), tuple(chain(*cut)), origin)


def _sources(opened: Opened) -> Iterator[LabelledSide]:
    """The sources of every side that labels sentences, each once."""
    known = set()
    for configuration in opened.study.configurations():
        for side in configuration.sides:
            problems, traces = (configuration.find(t, side) for t in ("problems", "traces"))
            if problems is None or traces is None or not configuration.find("provenance", side):
                continue
            if traces.digest not in known:
                known.add(traces.digest)
                yield LabelledSide(problems, traces)


def _stored(plan: Plan, sources: Sequence[LabelledSide]) -> list[tuple[Problem, Trace]]:
    """From each source by turns; rows lie in the order of their ids, which is none."""
    by_turns = chain(*zip_longest(*(list(_pairs(plan, source)) for source in sources)))
    return list(islice((pair for pair in by_turns if pair is not None), ENOUGH_TRACES))


def _pairs(plan: Plan, source: LabelledSide) -> Iterator[tuple[Problem, Trace]]:
    parts = Parts(plan.store, Trace, plan.state(source.traces).parts)
    traces = list(islice((trace for rows in parts for trace in rows), ENOUGH_TRACES))
    wanted = {trace.problem_id for trace in traces}
    of_problems = Parts(plan.store, Problem, plan.state(source.problems).parts if traces else ())
    problems = {p.problem_id: p for rows in of_problems for p in rows if p.problem_id in wanted}
    yield from ((problems[t.problem_id], t) for t in traces if t.problem_id in problems)


def _made(
    opened: Opened, sources: Sequence[LabelledSide], store: Store
) -> tuple[list[tuple[Problem, Trace]], str]:
    """Reads imports, or else samples traces, outside the workspace."""
    for source in sources:
        if isinstance(source.traces, SourceTable):
            source.traces.read(store)
    if found := _stored(Plan(store), sources):
        return found, "imported"
    for source in sources:
        if pairs := _sampled(opened, source, store):
            return pairs, "sampled for this"
    return [], ""


def _sampled(opened: Opened, source: LabelledSide, store: Store) -> list[tuple[Problem, Trace]]:
    """Nothing where the model that would write is not trained yet."""
    model = model_of(source.traces, Plan(opened.store))
    if (
        model is None
        or not isinstance(source.traces, StageTable)
        or isinstance(source.problems, StageTable)
    ):
        return []
    source.problems.read(store)
    parts = Parts(store, Problem, Plan(store).state(source.problems).parts)
    problems = list(islice((row for rows in parts for row in rows), ENOUGH_TRACES))
    how = source.traces.parameters["sampling"]
    how = how.model_copy(update={"max_new_tokens": min(how.max_new_tokens, MOST_TOKENS)})
    say(f"no traces yet: sampling {len(problems)}, each of at most {how.max_new_tokens} tokens")
    work = work_of(opened, store.root)
    traces = model.generator(how, opened.experiment.seed, work).generate(problems, 0)
    return list(zip(problems, traces, strict=True))


def work_of(opened: Opened, folder: Path) -> Work:
    """What a model is loaded with; it writes nothing there."""
    runtime = opened.runtime
    return Work(folder, runtime.threads, runtime.device, runtime, silent)
