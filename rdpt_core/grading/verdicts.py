"""Verdicts: is the answer of a trace the gold answer?

Only the answer zone is read. A trace that stopped thinking without answering is `unparsed` even if
the right number stands somewhere in its thought; a trace that was cut is `truncated` whatever it
says. Both are outcomes of their own and never mistaken for `wrong`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from pydantic import Field

from rdpt_core.defaults import GRADER, AnswerGrader
from rdpt_core.grading.answers import find_answer, read_gold
from rdpt_core.grading.checking import Check, Checked, check
from rdpt_core.grading.expressions import are_equal, latex_number, number
from rdpt_core.grading.quantities import are_same, is_quantity
from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import FinishReason, Grade, Outcome, Problem, Trace
from rdpt_core.text.zones import answer_text


class GradeRule(Rule):
    """How an answer is compared with the gold answer."""

    grader: Literal[AnswerGrader, "none"] = GRADER
    """`math`: the answer's expression, compared by math-verify; `choice`: a letter A to J; `exact`:
    equal text, outer whitespace aside; `none`: every trace is ungraded."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds for one comparison; then its worker is killed and the outcome is `timeout`."""


_GROUP = 64
"""Traces handed to a worker at a time."""


def grade(
    problems: Sequence[Problem],
    traces: Sequence[Trace],
    rule: GradeRule,
    progress: ProgressCallback = silent,
    num_workers: int = 1,
) -> Iterator[Grade]:
    """One grade per trace, in order. `problems` holds those that the traces answer.

    A verdict depends on the trace, its problem and the rule alone.
    """
    gold = {problem.problem_id: problem.answer for problem in problems}
    pairs = [(gold[trace.problem_id], trace) for trace in traces]
    groups = [pairs[start : start + _GROUP] for start in range(0, len(pairs), _GROUP)]
    with ThreadPoolExecutor(num_workers) as pool:
        try:
            for graded in pool.map(lambda group: _graded(group, rule), groups):
                yield from graded
                progress(len(graded), len(graded))
        finally:  # also when nobody asks for the rest
            pool.shutdown(cancel_futures=True)


class _Verdict(NamedTuple):
    outcome: Outcome
    extracted: str | None = None


def _graded(group: Sequence[tuple[str | None, Trace]], rule: GradeRule) -> list[Grade]:
    found = [_at_once(gold, trace, rule) for gold, trace in group]
    open_questions = [item for item in found if isinstance(item, Check)]
    checked = iter(check(open_questions, rule.timeout) if open_questions else [])
    verdicts = [_checked(next(checked)) if isinstance(v, Check) else v for v in found]
    return [
        Grade(trace.trace_id, verdict.outcome, verdict.extracted)
        for (_, trace), verdict in zip(group, verdicts, strict=True)
    ]


def _at_once(gold: str | None, trace: Trace, rule: GradeRule) -> _Verdict | Check:
    """The verdict where it needs no mathematics, else the question to be asked."""
    if gold is None or not gold.strip() or rule.grader == "none":
        return _Verdict(Outcome.UNGRADED)
    if trace.finish_reason is FinishReason.LENGTH:
        return _Verdict(Outcome.TRUNCATED)
    if trace.finish_reason.is_unfinished:
        return _Verdict(Outcome.UNPARSED)
    answer = (answer_text(trace.text, trace.zones) or "").strip()
    if not answer:
        return _Verdict(Outcome.UNPARSED)
    if rule.grader == "math":
        return _mathematical(gold, answer)
    if rule.grader == "exact":
        return _compared(gold.strip(), answer)
    return _compared(_letter(gold), _letter(answer))


def _mathematical(gold: str, answer: str) -> _Verdict | Check:
    """Plain numbers are compared here, and quantities of several ones; whatever else there is needs
    math-verify."""
    extracted = find_answer(answer)
    if extracted is None:
        return _Verdict(Outcome.UNPARSED)
    wanted = read_gold(gold)
    a, b = number(wanted), number(extracted)
    if a is not None and b is not None:
        equal = are_equal(a, b)
    elif is_quantity(wanted) or is_quantity(extracted):
        equal = are_same(wanted, extracted)
    else:
        return Check(latex_number(wanted), latex_number(extracted))
    return _Verdict(Outcome.CORRECT if equal else Outcome.WRONG, extracted)


def _checked(checked: Checked | None) -> _Verdict:
    if checked is None:
        return _Verdict(Outcome.TIMEOUT)
    if checked.extracted is None:
        return _Verdict(Outcome.UNPARSED)
    if checked.equal is None:
        return _Verdict(Outcome.UNGRADED, checked.extracted)
    return _Verdict(Outcome.CORRECT if checked.equal else Outcome.WRONG, checked.extracted)


def _compared(wanted: str | None, extracted: str | None) -> _Verdict:
    if wanted is None:
        return _Verdict(Outcome.UNGRADED, extracted)
    if extracted is None:
        return _Verdict(Outcome.UNPARSED)
    return _Verdict(Outcome.CORRECT if wanted == extracted else Outcome.WRONG, extracted)


# From the clearest form to the vaguest; the last match of the clearest form counts. The last form
# takes a letter at the end of the answer only, so that the article "A" is not an answer.
_LETTERS = (
    re.compile(r"\\boxed\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?\s*\(?([A-J])\)?[}.: ]"),
    re.compile(r"(?i:answer|choice|option)\W{0,6}(?i:is|:)?[\s:*(\[$]{0,6}([A-J])(?![A-Za-z'])"),
    re.compile(r"\(([A-J])\)"),
    re.compile(r"(?:^|[\s*])([A-J])[\s.*)]*$"),
)


def _letter(text: str) -> str | None:
    for form in _LETTERS:
        found = form.findall(text)
        if found:
            return str(found[-1])
    return None
