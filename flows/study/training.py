"""The training side of an arm: candidates, their attribution, the picks, the student."""

from __future__ import annotations

from typing import Any

from flows.configurations import Draft
from flows.study.texts import TextTables
from rdpt_core.selection.picks import Selector
from settings.experiment import Experiment, Pairing
from tasks import attribution, results, students
from tasks.models import Distilled, Model


def train_side(
    texts: TextTables, cell: Pairing, teacher: Model, student: Model, draft: Draft
) -> Distilled | None:
    """Adds the tables to `draft`. The student that learns the picks; None where the experiment
    only selects."""
    e = texts.experiment
    scored, grades = texts.candidates(teacher)
    of = {"teacher": scored.scores(teacher), "student": scored.scores(student)}
    (t_tokens, t_joined), (s_tokens, s_joined) = of.values()
    labels = attribution.three_way(
        teacher=t_joined,
        student=s_joined,
        teacher_scores=t_tokens,
        student_scores=s_tokens,
        rule=e.labels,
    )
    pool = attribution.pool(
        traces=scored.traces, grades=grades, teacher=t_tokens, student=s_tokens, rule=e.pool
    )
    chooses: dict[str, Any] = {
        "traces": scored.traces,
        "pool": pool,
        "teacher": t_joined,
        "student": s_joined,
        "student_scores": s_tokens,
        "rule": e.labels,
        "selector": cell.selector,
        "reference": _reference(e, cell.selector),
        "seed": e.seed,
    }
    picks = attribution.select(**chooses)
    made = (scored.problems, scored.traces, grades, scored.sentences, labels, pool, picks)
    draft.add("train", None, *made, *texts.aside(e.traces, e.problems))
    for role, tables in of.items():
        draft.add("train", role, *tables)
    summed = {**chooses, "selection": picks, "source": "problems"}
    if cell.student.source == "select":
        draft.sum_up("train", results.selected, **summed)
        return None
    steps = students.train(
        selection=picks,
        problems=scored.problems,
        traces=scored.traces,
        model=student,
        recipe=e.training,
        seed=cell.seed,
    )
    draft.add("train", None, steps)
    draft.sum_up("train", results.training, **summed, steps=steps)
    return Distilled(steps, cell.student.spec)


def _reference(experiment: Experiment, selector: Selector | None) -> Selector | None:
    """The arm whose tokens a matched one equals."""
    named = {s.label: s for s in experiment.selectors}
    return named[selector.match_tokens] if selector and selector.match_tokens else None
