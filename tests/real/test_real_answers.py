"""Verdicts over published answer checks and the golds of benchmarks: no wrong answer passes, and
at most 1 in 100 right ones fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations

from rdpt_core.grading.answers import find_answer, read_gold
from rdpt_core.grading.expressions import are_equal, number
from rdpt_core.grading.verdicts import GradeRule, grade
from rdpt_core.tables.rows import FinishReason, Outcome, Problem, Trace
from rdpt_core.text.zones import parse_zones
from tests.real import data

pytestmark = data.needed

MOST_FALSE_NEGATIVES = 0.01

Case = tuple[str, str]
"""A gold answer and the text that is compared with it."""

DISPUTED: dict[Case, str] = {
    ("1,22", "1.22"): "a pair to rdpt, as 3,14 is",
    ("$9$", "Answer $ \n 9 \n $"): "right to rdpt: a formula over three lines is one",
    ("$9$", "Answer \\( \n 9 \n \\)"): "right to rdpt: a formula over three lines is one",
    ("$1 - \\frac{1}{\\mathrm{e}}$", "$1 + \\frac{1}{\\mathrm{e}}$"): "not equal",
}
"""Checks whose verdict is not ours, and why."""
OWN_OPTIONS = ("precision", "allow_set_relation_comp", "strict")
"""Settings of the library that rdpt leaves at their defaults."""
DEFAULTS = ({"precision": 6}, {"allow_set_relation_comp": False}, {"strict": True})

EXPRESSIONS = [
    r"15\sqrt{3}",
    "5+2i",
    "(3, 4)",
    r"\{1, 2, 3\}",
    r"\frac{7}{3}",
    "[2, 5)",
    r"4\pi^2-1",
    "x^2+2x+1",
    r"\frac{\sqrt{2}}{2}",
    "-7",
    "0.25",
    "2, 3",
    r"3 \pm 2\sqrt{2}",
    r"\binom{11}{4}",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    "x = 5",
    r"(-\infty, 3]",
    r"50\%",
    "1e-05",
    "2^{70}",
    r"\log_2 5",
    r"\frac{x+1}{y-2}",
    "e^{2x}",
    r"\sin^2 x",
    r"10\sqrt[3]{2}",
    "x < 3",
]
FORMS = [
    "{}",
    "So it is \\boxed{{{}}}.",
    "\\boxed{{{}.}}",
    "$\\boxed {{ {} }}$",
    "\\fbox{{{}}}",
    "The answer is {}.",
    "Hence we get ${}$.",
    "Therefore, \\({}\\) is the result.",
    "Therefore:\n\\[\n{}\n\\]\nas claimed.",
    "**Answer:** {}",
    "The answer is **{}**.",
    "**Final Answer**\n\n${}$",
    "Final Answer: The final answer is ${}$. I hope it is correct.",
    "We add them up.\n#### {}",
    "First we have 12 apples.\n\nThus the result is\n\n{}",
    "Adding 3 and 4 twice, so the total is {}.",
    "所以答案是 {}。",
    "答案：{}。",
    "答えは{}です。",
    "정답은 {}입니다.",
    "Ответ: {}.",
    "La respuesta es {}.",
    "La réponse finale est ${}$.",
    "Die Antwort lautet {}.",
]
NUMBER_FORMS = [
    "The answer is {:,}.",
    "\\boxed{{{:,}}}",
    "\\boxed{{{}.0}}",
    "She pays ${:,} in total.",
    "Thus the cost is \\${}.",
    "It costs €{} altogether.",
    "He walked {} miles in all.",
    "一共有{}个苹果。",
    "In total 3 + 4 = {} apples.",
    "So she has **{}** apples left.",
    "The answer is {}, because 2 + 3 = 5.",
    '{{"answer": {}}}',
]
NEIGHBOURS = [
    "{0}\\sqrt{{3}}",
    "{0}+2i",
    "{0}, {1}",
    "({0}, {1})",
    "{0}\\pi",
    "\\frac{{{0}}}{{7}}",
    "{0}.5",
    "{0}x",
    "{0}/7",
    "{0}0",
    "{1}",
]
FULL_WIDTH = str.maketrans("0123456789-,.", "０１２３４５６７８９－，．")


def outcomes(cases: Sequence[Case]) -> list[Outcome]:
    ids = [str(row) for row in range(len(cases))]
    problems = [Problem(i, "", "", "", "", gold) for i, (gold, _) in zip(ids, cases, strict=True)]
    traces = [trace(i, text) for i, (_, text) in zip(ids, cases, strict=True)]
    return [graded.outcome for graded in grade(problems, traces, GradeRule(timeout=60))]


def trace(trace_id: str, text: str) -> Trace:
    zones = parse_zones(text, "<think>", "</think>")
    return Trace(
        trace_id,
        trace_id,
        "a",
        0,
        text,
        zones,
        FinishReason.STOP,
        None,
        None,
        None,
        None,
        None,
        None,
    )


def judged(cases: Sequence[Case], *, right: bool) -> list[Case]:
    """The cases that are judged right, or those that are not."""
    found = zip(cases, outcomes(cases), strict=True)
    return [case for case, outcome in found if (outcome is Outcome.CORRECT) is right]


@cache
def golds() -> tuple[list[str], list[str]]:
    """Whole numbers of the benchmarks, every eighth, and expressions."""
    names = ("gsm8k_test", "gsm8k_train_500", "aime24")
    numbers = {str(r["gold_answer"]) for n in names for r in data.rows(f"benchmarks/{n}.jsonl")}
    published = {str(row["gold_answer"]) for row in data.rows("traces/r1distill_math.jsonl")}
    return sorted(numbers)[::8], [*sorted(published - numbers), *EXPRESSIONS]


def test_published_answer_checks() -> None:
    checks = [
        (row["gold"], row["pred"], row["equal"])
        for row in data.rows("answer_checks/math_verify_cases.jsonl")
        if not _has_other_options(row["options"]) and (row["gold"], row["pred"]) not in DISPUTED
    ]
    right = [(gold, text) for gold, text, equal in checks if equal]
    wrong = [(gold, text) for gold, text, equal in checks if not equal]
    assert judged(wrong, right=True) == []
    assert len(judged(right, right=False)) <= MOST_FALSE_NEGATIVES * len(right)


def _has_other_options(options: dict[str, object] | None) -> bool:
    return bool(options) and options not in DEFAULTS


def test_every_gold_is_right_in_every_form() -> None:
    numbers, expressions = golds()
    cases = [(gold, form.format(gold)) for gold in numbers + expressions for form in FORMS]
    cases += [(gold, form.format(int(gold))) for gold in numbers for form in NUMBER_FORMS]
    cases += [(gold, f"答案是 {gold.translate(FULL_WIDTH)}。") for gold in numbers]
    assert len(judged(cases, right=False)) <= MOST_FALSE_NEGATIVES * len(cases)


def test_neighbours_are_wrong() -> None:
    numbers, _ = golds()
    pairs = [(gold, number_) for gold in numbers if gold != "0" for number_ in _near(int(gold))]
    cases = [(gold, form.format(near)) for gold, near in pairs for form in FORMS[::4]]
    assert judged(cases, right=True) == []


def _near(value: int) -> Iterable[str]:
    yield str(-value)
    yield from (form.format(value, value + 1) for form in NEIGHBOURS)


def test_halves_of_golds_are_wrong() -> None:
    cases = [
        (gold, form.format(half))
        for gold in ("(3, 4)", "2, 3", r"\{1, 3\}", "3 + 4i", r"3\sqrt{4}", "x = 3, y = 4", "3/4")
        for half in re.findall(r"\d", gold)
        for form in FORMS
    ]
    cases += [
        (half, form.format(gold))
        for gold, half in [("(3, 4)", "4"), ("2, 3", "3")]
        for form in FORMS
    ]
    assert judged(cases, right=True) == []


def test_golds_of_other_problems_are_wrong() -> None:
    numbers, expressions = golds()
    wanted = [number(read_gold(gold)) for gold in numbers]
    given = [number(find_answer(f"\\boxed{{{gold}}}") or "") for gold in numbers]
    for a, b in permutations(range(len(numbers)), 2):
        p, q = wanted[a], given[b]
        assert p is not None
        assert q is not None
        assert not are_equal(p, q)
    pairs = list(permutations(expressions, 2))[::7]
    cases = [(a, FORMS[row % len(FORMS)].format(b)) for row, (a, b) in enumerate(pairs)]
    assert judged(cases, right=True) == []
