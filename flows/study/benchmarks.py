"""The test side: what models answer on benchmarks, and where the sentences come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.configurations import Draft
from flows.study.texts import TextTables
from rdpt_core.selection.picks import Selector
from settings.texts import Answers, Benchmark
from tasks import attribution, results
from tasks.models import Distilled, Model


def accuracy(texts: TextTables, model: Model) -> Draft:
    """A baseline: one model on the benchmarks that a distilled student answers itself."""
    draft = Draft()
    for benchmark in texts.experiment.benchmarks:
        if not benchmark.own_answers:
            continue
        side = f"test:{benchmark.name}"
        problems, written, grades = texts.answers(benchmark, model)
        draft.add(side, None, problems, written, grades)
        draft.sum_up(
            side,
            results.baseline,
            problems=problems,
            traces=written,
            grades=grades,
            benchmark=benchmark.name,
        )
    return draft


def test_side(
    texts: TextTables,
    benchmark: Benchmark,
    models: Mapping[str, Model | Distilled],
    selector: Selector | None,
    draft: Draft,
) -> None:
    """Attributes the answers of a benchmark to `models`, by role; one of them wrote the answers,
    or they are imported."""
    e, side, how = texts.experiment, f"test:{benchmark.name}", benchmark.traces
    author = how.author if isinstance(how, Answers) else "distilled"
    problems, written, grades = texts.answers(benchmark, models[author])
    answered: dict[str, Any] = {
        "problems": problems,
        "traces": written,
        "grades": grades,
        "benchmark": benchmark.name,
    }
    if models["teacher"].spec.backend == "logged":  # it cannot score what another model wrote
        draft.add(side, None, problems, written, grades)
        draft.sum_up(side, results.baseline, **answered)
        return
    scored = texts.scored(problems, written)
    of = {role: scored.scores(model) for role, model in models.items()}
    labels = attribution.four_way(
        **{role: joined for role, (_, joined) in of.items()},
        **{f"{role}_scores": tokens for role, (tokens, _) in of.items()},
        rule=e.labels,
    )
    draft.add(side, None, problems, written, grades, scored.sentences, labels)
    draft.add(side, None, *texts.aside(how, benchmark.problems))
    for role, tables in of.items():
        draft.add(side, role, *tables)
    answered |= {"labels": labels, "rule": e.labels}
    if not benchmark.own_answers:
        draft.sum_up(side, results.attributed, **answered)
        return
    _, base_traces, base_grades = texts.answers(benchmark, models["student"])
    draft.sum_up(
        side,
        results.distilled,
        **answered,
        base_traces=base_traces,
        base_grades=base_grades,
        draws=(selector.label,) if selector is not None and selector.draws else (),
    )
