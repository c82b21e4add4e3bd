"""Verdicts: is the answer of a trace the gold answer?

Only the answer zone is read. A trace that stopped thinking without answering is `unparsed` even if
the right number stands somewhere in its thought; a trace that was cut is `truncated` whatever it
says. Both are outcomes of their own and never mistaken for `wrong`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import Field

from rdpt_core.checking import check
from rdpt_core.models.seam import Progress, silent
from rdpt_core.recipe import Rule
from rdpt_core.rows import FinishReason, Grade, Outcome, Problem, Trace
from rdpt_core.zones import answer_text


class GradeRule(Rule):
    """How an answer is compared with the gold answer."""

    grader: Literal["math", "choice", "exact", "none"] = "math"
    """`math`: math-verify; `choice`: a letter A to J; `exact`: equal text, outer white space
    aside; `none`: every trace is ungraded."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds for one comparison; then its worker is killed and the outcome is `timeout`."""


def grade(
    problems: Sequence[Problem],
    traces: Sequence[Trace],
    rule: GradeRule,
    progress: Progress = silent,
    num_workers: int = 1,
) -> Iterator[Grade]:
    """One grade per trace, in order. `problems` holds those that the traces answer.

    A verdict depends on the trace, its problem and the rule alone.
    """
    gold = {problem.problem_id: problem.answer for problem in problems}
    with ThreadPoolExecutor(num_workers) as pool:
        # submit() alone would queue a whole part; map() does too, but gives results in order
        verdicts = pool.map(lambda trace: _grade(gold[trace.problem_id], trace, rule), traces)
        try:
            for verdict in verdicts:
                yield verdict
                progress(1)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _grade(gold: str | None, trace: Trace, rule: GradeRule) -> Grade:
    outcome, extracted = _verdict(gold, trace, rule)
    return Grade(trace.trace_id, outcome, extracted)


def _verdict(gold: str | None, trace: Trace, rule: GradeRule) -> tuple[Outcome, str | None]:
    if trace.finish_reason is FinishReason.LENGTH:
        return Outcome.TRUNCATED, None
    if gold is None or not gold.strip() or rule.grader == "none":
        return Outcome.UNGRADED, None
    answer = (answer_text(trace.text, trace.zones) or "").strip()
    if not answer:
        return Outcome.UNPARSED, None
    if rule.grader == "math":
        return _by_mathematics(gold, answer, rule.timeout)
    extracted = answer if rule.grader == "exact" else _letter(answer)
    wanted = gold.strip() if rule.grader == "exact" else _letter(gold)
    return _compared(wanted, extracted)


def _compared(wanted: str | None, extracted: str | None) -> tuple[Outcome, str | None]:
    if wanted is None:
        return Outcome.UNGRADED, extracted
    if extracted is None:
        return Outcome.UNPARSED, None
    return (Outcome.CORRECT if wanted == extracted else Outcome.WRONG), extracted


def _by_mathematics(gold: str, answer: str, timeout: float) -> tuple[Outcome, str | None]:
    checked = check(gold, answer, timeout)
    if checked is None:
        return Outcome.TIMEOUT, None
    if checked.extracted is None:
        return Outcome.UNPARSED, None
    if checked.equal is None:
        return Outcome.UNGRADED, checked.extracted
    return (Outcome.CORRECT if checked.equal else Outcome.WRONG), checked.extracted


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
