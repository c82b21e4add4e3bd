"""The result of an experiment in words, which claim no more than the intervals allow.

Which arm is best, against which others it holds, how much of its text is the teacher's, what cannot
be told, and what would tell it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from flows.report.reader import TRAIN
from rdpt_core.report.bundle import Difference, Number, Shown

MIN_SEEDS = 3
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
    arms = _answered(shown, benchmark)
    best = max(arms, key=lambda one: _value(one, benchmark, "accuracy").value or 0.0)  # type: ignore[union-attr]
    accuracy = _value(best, benchmark, "accuracy")
    assert accuracy is not None
    highest = f" has the highest accuracy of {len(arms)}:" if len(arms) > 1 else " answers"
    yield (
        f"On {benchmark}, {best.name}{highest} {_share(accuracy)} "
        f"{'correct ' if len(arms) == 1 else ''}of {accuracy.n:,} questions."
    )
    yield from _teachers_part(shown, best, benchmark)
    own = [d for d in differences if d.benchmark == index and d.metric == "accuracy"]
    yield from _over_student(best, own, shown)
    others = [other for other in arms if other is not best]
    yield from _against_others(best, others, own)
    yield from _seeds(shown, best, benchmark, accuracy)


def _teachers_part(shown: Sequence[Shown], best: Shown, benchmark: str) -> Iterator[str]:
    share = _value(best, benchmark, "provenance/share/teacher")
    if share is not None:
        yield f"{_share(share)} of its sentences are the teacher's."
    elif best.kind == "mean":
        runs = [
            found
            for one in shown
            if one.kind == "arm" and _is_run(one, {(best.teacher, best.student, best.selector)})
            if (found := _value(one, benchmark, "provenance/share/teacher")) is not None
        ]
        values = [run.value for run in runs if run.value is not None]
        if values:
            yield (
                f"Between {min(values):.1%} and {max(values):.1%} of the sentences of its "
                f"{len(values)} runs are the teacher's."
            )


def _over_student(
    best: Shown, differences: Sequence[Difference], shown: Sequence[Shown]
) -> Iterator[str]:
    students = {one.name for one in shown if one.kind == "student"}
    for one in differences:
        if one.first == best.name and one.second in students:
            if _is_open(one.number):
                yield (
                    f"It cannot be told from the undistilled student: {_points(one.number)}"
                    f"{_what_would_tell(one)}."
                )
            else:
                word = "above" if (one.number.value or 0) > 0 else "below"
                yield f"It is {word} the undistilled student by {_points(one.number)}."


def _against_others(
    best: Shown, others: Sequence[Shown], differences: Sequence[Difference]
) -> Iterator[str]:
    """What is better for certain, and what is not told apart."""
    paired = {one.name: _between(best, one, differences) for one in others}
    better = [name for name, d in paired.items() if d is not None and not _is_open(d.number)]
    unclear = {name: d for name, d in paired.items() if d is not None and _is_open(d.number)}
    unpaired = [name for name, d in paired.items() if d is None]
    if better:
        several = ", each interval for itself" if len(better) > 1 else ""
        yield (
            f"It is better than {_listed(better)} ("
            + "; ".join(_points(_signed(best, paired[name])) for name in better)
            + f"{several})."
        )
    for name, found in unclear.items():
        yield (
            f"Whether it is better than {name} cannot be told: "
            f"{_points(_signed(best, found))}{_what_would_tell(found)}."
        )
    if unpaired:
        yield f"It is not compared with {_listed(unpaired)}, which other models made."


def _between(best: Shown, other: Shown, differences: Sequence[Difference]) -> Difference | None:
    for one in differences:
        if {one.first, one.second} == {best.name, other.name}:
            return one
    return None


def _signed(best: Shown, one: Difference | None) -> Number:
    """Of the best one minus the other."""
    assert one is not None
    number = one.number
    if one.first == best.name:
        return number
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
    least = f"{number.n:,} questions show differences of {100 * detectable:.1f} points or more"
    if abs(number.value) >= detectable:
        return f"; {least}"
    needed = math.inf if number.value == 0 else number.n * (detectable / number.value) ** 2
    if needed > MOST_QUESTIONS * number.n:
        return f"; {least}, and one so small is out of reach"
    return f"; {least}, and one of this size takes about {_rounded(needed):,}"


def _rounded(value: float) -> int:
    """Two digits, upwards: more would be pretence."""
    step = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return math.ceil(value / step) * step


def _seeds(shown: Sequence[Shown], best: Shown, benchmark: str, accuracy: Number) -> Iterator[str]:
    """What intervals do not cover."""
    if best.kind == "arm" and best.seed is not None:
        yield (
            "One fine-tuning seed: what another training would give is not known; "
            f"{MIN_SEEDS} seeds or more would tell."
        )
    elif best.kind == "mean" and "conditional on" in (accuracy.note or ""):
        yield (
            "Too few runs to say how far an arm moves with its seed; "
            f"{MIN_SEEDS} or more would tell."
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
        f"{_share(share)} of the sentences of {count}candidates, to {share.n:,} questions, are the "
        "teacher's."
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


def _share(number: Number) -> str:
    if number.low is None or number.high is None:
        return f"{number.value:.1%}"
    return f"{number.value:.1%} (95% interval {100 * number.low:.1f} to {100 * number.high:.1f})"


def _points(number: Number) -> str:
    if number.value is None:
        return "no number"
    value = f"{100 * number.value + 0.0:+.1f} points"
    if number.low is None or number.high is None:
        return value
    return f"{value} (95% interval {100 * number.low:+.1f} to {100 * number.high:+.1f})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
