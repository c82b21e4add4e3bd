"""The result of an experiment in words, which claim no more than the intervals allow.

Which arm is best, against which others it holds, how much of its text is the teacher's, what cannot
be told, and what would tell it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flows.report.reader import TRAIN
from rdpt_core.report.bundle import Difference, Number, Shown
from rdpt_core.results.arms import MIN_RUNS

TEACHER_SHARE = "provenance/share/teacher"
MOST_QUESTIONS = 100
"""Times those of the benchmark; more of them are out of reach."""


def in_words(
    shown: Sequence[Shown],
    benchmarks: Sequence[str],
    differences: Sequence[Difference],
    num_missing: int,
    num_tables: int,
) -> str:
    found = [*_unfinished(num_missing, num_tables)]
    main = next((name for name in benchmarks if _answered(shown, name)), None)
    if main is not None:
        found += _on_benchmark(shown, main, benchmarks.index(main), differences)
    else:
        found += _on_candidates(shown)
    return " ".join(found) or "Nothing has been measured yet."


def _unfinished(num_missing: int, num_tables: int) -> Iterator[str]:
    if num_missing:
        yield f"This run is not finished: {num_missing} of {num_tables} tables do not exist yet."


def _answered(shown: Sequence[Shown], benchmark: str) -> list[Shown]:
    """Arms and distilled students with an accuracy, an arm of several runs as their mean."""
    arms = [s for s in shown if s.kind in ("arm", "mean", "distilled")]
    means = {(s.teacher, s.student, s.selector) for s in arms if s.kind == "mean"}
    return [
        one
        for one in arms
        if _value(one, benchmark, "accuracy") is not None
        and not (one.kind == "arm" and _is_run(one, means))
    ]


def _is_run(one: Shown, means: set[tuple[str | None, str | None, str | None]]) -> bool:
    """True for a run of an arm that is shown as a mean; draws add their number to its name."""
    return any(
        (one.teacher, one.student) == (teacher, student)
        and arm is not None
        and one.selector is not None
        and (one.selector == arm or one.selector.startswith(f"{arm}_draw"))
        for teacher, student, arm in means
    )


def _value(one: Shown, benchmark: str, metric: str) -> Number | None:
    number = one.results.get(benchmark, {}).get(metric)
    return number if number is not None and number.value is not None else None


# ---------------------------------------------------------------------------- a benchmark


def _on_benchmark(
    shown: Sequence[Shown], benchmark: str, index: int, differences: Sequence[Difference]
) -> Iterator[str]:
    arms = sorted(_answered(shown, benchmark), key=lambda one: -_accuracy(one, benchmark))
    best, others = arms[0], arms[1:]
    accuracy = best.results[benchmark]["accuracy"]
    own = [d for d in differences if d.benchmark == index and d.metric == "accuracy"]
    paired = {one.name: _of_best(best, one.name, own) for one in others}
    yield (
        f"On {benchmark}, {best.name} {_standing(paired)} {_share(accuracy, named=True)} of "
        f"{accuracy.n:,} questions."
    )
    yield from _teachers_part(shown, best, benchmark)
    yield from _over_student(best, own, shown)
    yield from _against_others(best, paired)
    yield from _seeds(best, accuracy)


def _accuracy(one: Shown, benchmark: str) -> float:
    return one.results[benchmark]["accuracy"].value or 0.0


def _standing(paired: Mapping[str, Difference | None]) -> str:
    """Best of all only where that holds against each other one."""
    if not paired:
        return "answers"
    is_best = all(one is not None and not _is_open(one.number) for one in paired.values())
    return f"{'is the best' if is_best else 'has the highest accuracy'} of {len(paired) + 1}:"


def _teachers_part(shown: Sequence[Shown], best: Shown, benchmark: str) -> Iterator[str]:
    share = _value(best, benchmark, TEACHER_SHARE)
    if share is not None:
        yield f"{_share(share)} of its sentences are the teacher's."
    elif best.kind == "mean":
        means = {(best.teacher, best.student, best.selector)}
        runs = [one for one in shown if one.kind == "arm" and _is_run(one, means)]
        found = [number for one in runs if (number := _value(one, benchmark, TEACHER_SHARE))]
        values = [number.value for number in found if number.value is not None]
        if values:
            yield (
                f"In its {len(values)} runs, {min(values):.1%} to {max(values):.1%} of the "
                "sentences are the teacher's."
            )


def _over_student(
    best: Shown, differences: Sequence[Difference], shown: Sequence[Shown]
) -> Iterator[str]:
    students = {one.name for one in shown if one.kind == "student"}
    for one in differences:
        if one.first == best.name and one.second in students:
            if _is_open(one.number):
                yield (
                    "It cannot be told whether that is more than the undistilled student: "
                    f"{_points(one.number)}{_what_would_tell(one)}."
                )
            elif (one.number.value or 0.0) > 0:
                yield f"The undistilled student is worse by {_by(one.number)}."
            else:
                yield f"The undistilled student is better by {_by(_turned(one.number))}."


def _against_others(best: Shown, paired: Mapping[str, Difference | None]) -> Iterator[str]:
    """What is worse for certain, and what is not told apart: of that the nearest in full."""
    known = {name: one for name, one in paired.items() if one is not None}
    worse = {name: one for name, one in known.items() if not _is_open(one.number)}
    unclear = [(name, one) for name, one in known.items() if name not in worse]
    if worse:
        pairs = [f"{name} by {_by(one.number)}" for name, one in worse.items()]
        several = "; no interval is widened for comparing several" if len(pairs) > 1 else ""
        yield f"{best.name} is better than {_listed(pairs)}{several}."
    if unclear:
        names, (first, nearest) = [name for name, _ in unclear], unclear[0]
        against = f"against {first} " if len(names) > 1 else ""
        yield (
            f"It cannot be told whether {best.name} is better than {_listed(names)}: {against}"
            f"{_points(nearest.number)}{_what_would_tell(nearest)}."
        )
    if unpaired := [name for name, one in paired.items() if one is None]:
        named = _listed(unpaired)
        yield f"{best.name} is not compared with {named}, of another teacher or student."


def _of_best(best: Shown, other: str, differences: Sequence[Difference]) -> Difference | None:
    """The best one minus the other, whichever way it is kept."""
    for one in differences:
        if (one.first, one.second) == (best.name, other):
            return one
        if (one.first, one.second) == (other, best.name):
            turned = replace(one, first=best.name, second=other, number=_turned(one.number))
            return replace(turned, gained=one.lost, lost=one.gained)
    return None


def _turned(number: Number) -> Number:
    value, low, high = (None if x is None else -x for x in (number.value, number.high, number.low))
    return Number(value, low, high, number.n, number.note)


def _is_open(number: Number) -> bool:
    """True where the interval holds 0, or there is none."""
    return number.low is None or number.high is None or number.low <= 0 <= number.high


def _what_would_tell(one: Difference) -> str:
    """How many questions show a difference as large as this one, in four of five studies: what is
    detectable shrinks with the root of their number."""
    number, detectable = one.number, one.detectable
    if not detectable or number.value is None:
        return ""
    least = f"; {number.n:,} questions show differences of {100 * detectable:.1f} points or more"
    if abs(number.value) >= detectable:
        return least
    needed = math.inf if number.value == 0 else number.n * (detectable / number.value) ** 2
    if needed > MOST_QUESTIONS * number.n:
        return f"{least}, and one so small is out of reach"
    return f"{least}, and one of this size takes about {_rounded(needed):,}"


def _rounded(value: float) -> int:
    """Two digits, upwards: more would be pretence."""
    step: int = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return math.ceil(value / step) * step


def _seeds(best: Shown, accuracy: Number) -> Iterator[str]:
    """What intervals do not cover."""
    if best.kind == "arm" and best.seed is not None:
        yield (
            "All this is of one fine-tuning seed: how far another would move it is not known; "
            f"{MIN_RUNS} seeds or more would tell."
        )
    elif best.kind == "mean" and "conditional on" in (accuracy.note or ""):
        yield (
            "The runs are too few to say how far an arm moves with them; "
            f"{MIN_RUNS} or more would tell."
        )


# ---------------------------------------------------------------------------- candidates alone


def _on_candidates(shown: Sequence[Shown]) -> Iterator[str]:
    """A training side without a benchmark."""
    with_pool = [one for one in shown if _value(one, TRAIN, "pool/teacher_share") is not None]
    if not with_pool:
        return
    first = with_pool[0]
    share = _value(first, TRAIN, "pool/teacher_share")
    num = _value(first, TRAIN, "pool/num_candidates")
    assert share is not None
    count = f"{round(num.value):,} " if num is not None and num.value is not None else ""
    yield (
        f"{_share(share, named=True)} of the sentences of {count}candidates, to {share.n:,} "
        "questions, are the teacher's."
    )
    picked = {
        one.selector: found
        for one in with_pool
        if one.selector and (found := _value(one, TRAIN, "selection/teacher_share")) is not None
    }
    if picked:
        shares = ", ".join(f"{name} {_share(number)}" for name, number in picked.items())
        yield f"Of the picks: {shares}."
    yield (
        "Which selection teaches best cannot be told without a benchmark: add [[benchmarks]] to "
        "the experiment."
    )


# ---------------------------------------------------------------------------- cells


def _share(number: Number, named: bool = False) -> str:
    """The first interval of a text says that it is one."""
    if number.low is None or number.high is None:
        return f"{number.value:.1%}"
    interval = f"{100 * number.low:.1f} to {100 * number.high:.1f}"
    return f"{number.value:.1%} ({'95% interval ' if named else ''}{interval})"


def _points(number: Number) -> str:
    if number.value is None:
        return "no number"
    value = f"{100 * number.value + 0.0:+.1f} points"
    if number.low is None or number.high is None:
        return value
    return f"{value} ({100 * number.low:+.1f} to {100 * number.high:+.1f})"


def _by(number: Number) -> str:
    """How much better; the interval excludes 0."""
    ends = [100 * x for x in (number.value, number.low, number.high) if x is not None]
    return "{:.1f} points ({:.1f} to {:.1f})".format(*ends)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
