"""The stages that say where sentences come from: scores, labels, the pool, the selection.

"Three-model scoring" is one stage called three times. Roles (teacher, student, distilled) are
bound only by what reads scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from rdpt_core.models.protocols import TextScorer
from rdpt_core.models.spec import Logged
from rdpt_core.provenance import labels
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.scoring.logged import LoggedScorer
from rdpt_core.selection import candidates, picks
from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import PoolRule, Selector
from rdpt_core.tables.rows import (
    Candidate,
    Grade,
    Pick,
    Problem,
    Provenance,
    Sentence,
    SentenceScore,
    TokenScores,
    Trace,
    ZoneKind,
)
from tasks.batches import NOTED, Batches, Failed
from tasks.models import Model, note
from tasks.progress import say
from tasks.stage import Parts, Work, stage


@stage("scores", version=4, row=TokenScores, over="traces")
def score(
    problems: list[Problem],
    traces: list[Trace],
    model: Model,
    topk_stats: int | None,
    work: Work,
) -> Iterator[TokenScores]:
    """One teacher-forced forward per trace, under the model's own render contract."""
    work.notes |= note(model) | _resampled(model, traces) | _quoted(model, traces)
    work.notes |= _merging(model, problems, traces)
    if model.is_remote:
        yield from _asked(problems, traces, model, work)
        return
    finished = Batches(TokenScores, work.folder)
    scorer = model.text_scorer(work, topk_stats, finished)
    yield from scorer.score(problems, traces, work.progress)
    work.notes |= _compiled(model) | _unscored(scorer, model, traces)
    work.notes |= {"batches_kept_from_before": finished.num_found}


def _compiled(model: Model) -> dict[str, int]:
    """How many graphs the compiled path has needed so far: one for each size of pack."""
    if not model.is_compiled:
        return {}
    from rdpt_core.models.loading.compiling import num_graphs

    return {"compiled_graphs": num_graphs()}


def _unscored(scorer: TextScorer, model: Model, traces: list[Trace]) -> dict[str, Any]:
    """Traces whose rows are errors, with the reasons. Raises ValueError where the ids of most
    logged traces are not their texts: then the tokenizer is another one."""
    reasons = list(getattr(scorer, "reasons", {}).values())
    if isinstance(scorer, LoggedScorer) and 1 < len(traces) < 2 * len(reasons):
        raise ValueError(
            f"{len(reasons)} of {len(traces)} logged traces cannot be believed, such as "
            f"{reasons[0]}: give the tokenizer of the model that wrote them, or leave them out"
        )
    return _warned(reasons, model, traces)


def _warned(reasons: list[str], model: Model, traces: list[Trace]) -> dict[str, Any]:
    """What a part's record says of traces that have no scores; the user is told as well."""
    if not reasons:
        return {}
    count = f"{len(reasons)} of {len(traces)} traces have no scores"
    say(f"warning: {count} under {model.spec.place}, such as {reasons[0]}")
    return {"errors": len(reasons), "reasons": reasons[:NOTED]}


def _resampled(model: Model, traces: list[Trace]) -> dict[str, int]:
    """How many of the model's own texts it wrote with other ids than its tokenizer would."""
    own = [model.renderer.resampled(trace) for trace in traces if _is_own(model, trace)]
    known = [differs for differs in own if differs is not None]
    return {"sampled_ids_known": len(known), "sampled_ids_differ": sum(known)} if own else {}


def _is_own(model: Model, trace: Trace) -> bool:
    if model.spec.backend != "logged":
        return trace.author == model.author
    return (model.spec.logged or Logged()).is_of(trace.author)


def _quoted(model: Model, traces: list[Trace]) -> dict[str, int]:
    """How many thoughts and answers hold a control token, which is text there (T16)."""
    vocabulary, count = model.renderer.vocabulary, 0
    for trace in traces:
        raw = trace.text.encode()
        for zone in trace.zones:
            if zone.kind is not ZoneKind.TAG:
                count += vocabulary.holds_control(raw[zone.start : zone.stop].decode())
    return {"quoting_control_tokens": count}


def _merging(model: Model, problems: list[Problem], traces: list[Trace]) -> dict[str, int]:
    """How many texts would share a token with their prompt if the two were encoded as one (T12)."""
    renderer, by_id = model.renderer, {problem.problem_id: problem for problem in problems}
    count = 0
    for trace in traces:
        with suppress(ValueError, KeyError):  # what cannot be laid becomes an error row
            count += renderer.merges(by_id[trace.problem_id], trace)
    return {"merging_with_prompt": count}


def _asked(
    problems: list[Problem], traces: list[Trace], model: Model, work: Work
) -> Iterator[TokenScores]:
    """Scores in the order of the server's responses, each of them durable by itself.

    A failed one is requested again when the part is resumed. Raises ValueError if too many fail.
    """
    batches: Batches[TokenScores] = Batches(TokenScores, work.folder)
    scorer = cache(model.server_scorer)
    failed, unread = Failed(), {}

    def make(index: int) -> list[TokenScores]:
        mine = scorer()
        rows = list(mine.score(problems, traces[index : index + 1], work.progress))
        unread.update(mine.unread)
        if reason := mine.reasons.get(rows[0].trace_id):
            failed.add(reason)
        else:
            batches.keep(index, rows)
        return rows

    for rows in batches.resumed(len(traces), make, model.width, work.progress):
        yield from rows
    failed.settle(len(traces), f"traces could not be scored by server {model.spec.server!r}")
    work.notes |= _warned(list(unread.values()), model, traces)
    work.notes |= failed.noted() | {"batches_kept_from_before": batches.num_found}


@stage("sentence_scores", version=1, row=SentenceScore, over="traces")
def sentence_scores(
    traces: list[Trace], sentences: list[Sentence], scores: list[TokenScores]
) -> Iterator[SentenceScore]:
    return labels.sentence_scores(traces, sentences, scores)


@stage("provenance", version=1, row=Provenance, over="teacher")
def three_way(
    teacher: list[SentenceScore],
    student: list[SentenceScore],
    teacher_scores: Parts[TokenScores],
    student_scores: Parts[TokenScores],
    rule: LabelRule,
) -> Iterator[Provenance]:
    """Before training: Teacher, Student or Common."""
    return _label([teacher, student], [teacher_scores, student_scores], rule)


@stage("provenance", version=1, row=Provenance, over="teacher")
def four_way(
    teacher: list[SentenceScore],
    student: list[SentenceScore],
    distilled: list[SentenceScore],
    teacher_scores: Parts[TokenScores],
    student_scores: Parts[TokenScores],
    distilled_scores: Parts[TokenScores],
    rule: LabelRule,
) -> Iterator[Provenance]:
    """After training: Shared, Teacher, Student or Boosted."""
    scores = [teacher_scores, student_scores, distilled_scores]
    return _label([teacher, student, distilled], scores, rule)


def _label(
    models: list[list[SentenceScore]], scores: list[Parts[TokenScores]], rule: LabelRule
) -> Iterator[Provenance]:
    """Token tables are opened only where some sentence lacks its score, to say why."""
    missing = any(row.logprob is None for rows in models for row in rows)
    status = labels.statuses(row for parts in scores if missing for rows in parts for row in rows)
    distilled = models[2] if len(models) > 2 else None
    return labels.provenance(models[0], models[1], distilled, rule, status)


@stage("pool", version=1, row=Candidate, over="traces")
def pool(
    traces: list[Trace],
    grades: list[Grade],
    teacher: list[TokenScores],
    student: list[TokenScores],
    rule: PoolRule,
) -> Iterator[Candidate]:
    yield from picks.pool(traces, grades, teacher, student, rule)


@stage("selection", version=1, row=Pick)
def select(
    traces: Parts[Trace],
    pool: Parts[Candidate],
    teacher: Parts[SentenceScore],
    student: Parts[SentenceScore],
    student_scores: Parts[TokenScores],
    rule: LabelRule,
    selector: Selector,
    reference: Selector | None,
    seed: int,
) -> Iterator[Pick]:
    """One trace per question; with `reference`, as many tokens as that arm in all."""
    records = list(records_of(traces, pool, teacher, student, student_scores, rule))
    target = target_of(records, reference, seed)
    yield from picks.select(records, selector, seed, target_tokens=target)


def target_of(records: list[CandidateRecord], reference: Selector | None, seed: int) -> int | None:
    """Tokens of the arm that a matched one equals."""
    if reference is None:
        return None
    return picks.total_tokens(picks.select(records, reference, seed))


def records_of(
    traces: Parts[Trace],
    pool: Parts[Candidate],
    teacher: Parts[SentenceScore],
    student: Parts[SentenceScore],
    student_scores: Parts[TokenScores],
    rule: LabelRule,
) -> Iterator[CandidateRecord]:
    """All candidates in numbers, read part by part: no two parts are in memory at once."""
    for t, p, of_teacher, of_student, s in zip(
        traces, pool, teacher, student, student_scores, strict=True
    ):
        lengths = {row.trace_id: picks.num_student_tokens(row) for row in s}
        yield from candidates.candidates(t, p, of_teacher, of_student, lengths, rule)
