"""Verdicts come from the answer alone, and no answer can take the run down with it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdpt_core.grading.checking import Check, Checked, Checker
from rdpt_core.grading.verdicts import GradeRule, grade
from rdpt_core.tables.rows import FinishReason, Grade, Outcome, Problem, Trace
from rdpt_core.text.zones import parse_zones

TOWER = "$9^{9^{9^9}}$"
NESTED = "$" + "{" * 500_000 + "}" * 500_000 + "$"


def problem(answer: str | None, problem_id: str = "p") -> Problem:
    return Problem(problem_id, "source", "test", "", "How many?", answer)


def trace(
    text: str,
    trace_id: str = "t",
    problem_id: str = "p",
    finish: FinishReason = FinishReason.STOP,
) -> Trace:
    zones = parse_zones(text, "<think>", "</think>")
    return Trace(
        trace_id, problem_id, "a", 0, text, zones, finish, None, None, None, None, None, None
    )


def verdict(text: str, gold: str | None, rule: GradeRule | None = None) -> Grade:
    (graded,) = grade([problem(gold)], [trace(text)], rule or GradeRule(timeout=60))
    return graded


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "So she makes $18 every day.\n#### 18"),
        ("1234", "The answer is 1,234."),
        ("-5", "It is \\boxed{-5}."),
        ("\\frac{14}{3}", "It is $\\frac{14}{3}$, as claimed."),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{(3, \\pi/2)}"),
        ("2\\sqrt{3}", "\\[\\boxed{2 \\sqrt{3}}\\]"),
        ("0.5", "It is $\\frac{1}{2}$."),
        ("$x=5$", "so $x = 5$"),
        ("\\text{Evelyn}", "\\boxed{\\text{Evelyn}}"),
        ("4\\pi^2-1", "4\\pi^2-1"),
        ("15\\sqrt{3}", "The answer is 15\\sqrt{3}."),
        ("42", "Thus \\boxed {42.}"),
        ("42", "\\fbox{42}"),
        ("42", "答案是 ４２。"),
        ("1e-05", "\\boxed{10^{-5}}"),
        ("2^70", "1180591620717411303424"),
        ("]0, 1[", "\\boxed{(0,1)}"),
        ("3 hours 20 minutes", "It takes 3 hours and 20 minutes."),
        ("10 to 20", "About 10–20"),
        ("-5", "It is minus 5."),
        ("56", "So there are 180 – 124 = 56 of them."),
    ],
)
def test_equal_answers_are_correct(gold: str, answer: str) -> None:
    assert verdict(f"<think>I wonder.</think>{answer}", gold).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("15", "15\\sqrt{3}"),
        ("15", "The answer is 15\\sqrt{3}."),
        ("5", "It is 5+2i."),
        ("3", "It is (3, 4)."),
        ("4", "It is 3 or 4."),
        ("-1", "So it is 4\\pi^2-1."),
        ("0.0000001", "0.0000002"),
        ("3 hours 20 minutes", "20"),
        ("20", "It takes 3 hours 20 minutes."),
        ("3", "\\boxed{3 \\text{ hours and } 20 \\text{ minutes}}"),
        ("4", "x is 3, y is 4"),
        ("2020", "3 May 2020"),
        ("2012", "2020-05-03"),
        ("20", "10 to 20"),
        ("30", "At 3:30."),
        ("30", "one half of 30"),
    ],
)
def test_a_part_of_an_expression_is_not_the_answer(gold: str, answer: str) -> None:
    assert verdict(answer, gold).outcome is Outcome.WRONG


def test_another_answer_is_wrong_and_says_what_was_read() -> None:
    graded = verdict("So it is \\boxed{17}.", "18")
    assert (graded.outcome, graded.extracted) == (Outcome.WRONG, "17")


def test_the_right_number_in_an_unfinished_thought_is_no_answer() -> None:
    assert verdict("<think>It is \\boxed{18}.", "18").outcome is Outcome.UNPARSED
    assert verdict("<think>It is 18.</think>Well.", "18").outcome is Outcome.UNPARSED
    assert verdict("<think>It is 18.</think>\n", "18").outcome is Outcome.UNPARSED
    assert verdict("", "18").outcome is Outcome.UNPARSED


def test_the_thought_is_not_read_for_the_answer() -> None:
    assert verdict("<think>It is 18.</think>It is 17.", "18").outcome is Outcome.WRONG


@pytest.mark.parametrize("grader", ["math", "choice", "exact"])
def test_a_cut_trace_is_truncated_whatever_it_says(grader: str) -> None:
    cut = trace("18", finish=FinishReason.LENGTH)
    rule = GradeRule.model_validate({"grader": grader})
    assert [g.outcome for g in grade([problem("18")], [cut], rule)] == [Outcome.TRUNCATED]


def test_an_unknown_ending_is_graded_as_any() -> None:
    found = grade([problem("18")], [trace("18", finish=FinishReason.UNKNOWN)], GradeRule())
    assert [g.outcome for g in found] == [Outcome.CORRECT]


@pytest.mark.parametrize("gold", [None, "", " "])
def test_without_a_gold_answer_nothing_is_graded(gold: str | None) -> None:
    assert verdict("18", gold).outcome is Outcome.UNGRADED
    assert verdict("18", "18", GradeRule(grader="none")).outcome is Outcome.UNGRADED


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The answer is (B).", "B"),
        ("Answer: C", "C"),
        ("\\boxed{D}", "D"),
        ("\\boxed{\\text{(D)}}", "D"),
        ("I first thought (A), but it is (B)", "B"),
        ("Hence\n**J**", "J"),
        ("A train leaves. Nothing follows", None),
    ],
)
def test_choice_reads_one_letter(answer: str, letter: str | None) -> None:
    graded = verdict(answer, letter or "A", GradeRule(grader="choice"))
    assert graded.extracted == letter
    assert graded.outcome is (Outcome.CORRECT if letter else Outcome.UNPARSED)


def test_exact_compares_text_without_its_outer_white_space() -> None:
    exact = GradeRule(grader="exact")
    assert verdict("<think>x</think>\n Paris \n", "Paris", exact).outcome is Outcome.CORRECT
    assert verdict("paris", "Paris", exact).outcome is Outcome.WRONG


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """One worker for these tests, started before any of them looks at the clock."""
    checker = Checker()
    checker.check([Check("1", "1")], 60)
    yield checker
    checker.close()


@pytest.mark.fault("F41")
def test_a_bomb_is_stopped_within_a_second_of_the_limit(checker: Checker) -> None:
    start = time.monotonic()
    assert checker.check([Check("1", TOWER)], 2.0) == [None]
    assert time.monotonic() - start < 3.0


@pytest.mark.fault("F41")
def test_answers_beside_a_bomb_are_graded(checker: Checker) -> None:
    answers = ["18", NESTED, "17"]
    before, exploded, after = checker.check([Check("18", a) for a in answers], 3.0)
    assert (before, exploded, after) == (Checked("18", True), None, Checked("17", False))


@pytest.mark.fault("X11")
@pytest.mark.parametrize(
    "code",
    [
        "open('{canary}', 'w')",
        "__import__('os').system('touch {canary}')",
        "().__class__.__base__.__subclasses__()",
        "\\text{{__import__('os').system('touch {canary}')}}",
        "\\write18{{touch {canary}}}",
        "\\input{{|touch {canary}}}",
        "eval(\"open('{canary}', 'w')\")",
        "```python\nopen('{canary}', 'w')\n```",
        "lambda: open('{canary}', 'w')",
    ],
)
def test_x11_code_in_an_answer_or_a_gold_is_text(
    checker: Checker, tmp_path: Path, code: str
) -> None:
    canary = tmp_path / "canary"
    text = code.format(canary=canary)
    for gold, answer in ((text, text), ("18", text), (text, "18")):
        checker.check([Check(gold, answer)], 60)
        verdict(f"It is \\boxed{{{answer}}}.", gold)
    assert not canary.exists()


@pytest.mark.fault("F06", "F26")
def test_a_worker_killed_from_outside_costs_no_verdict(checker: Checker) -> None:
    assert checker._process is not None
    checker._process.kill()
    assert checker.check([Check("18", "18")], 60) == [Checked("18", True)]


@pytest.mark.fault("F07")
def test_a_worker_ends_with_the_one_who_asks(checker: Checker) -> None:
    process = checker._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def test_grades_do_not_depend_on_order_or_company() -> None:
    problems = [problem(str(n), f"p{n}") for n in range(12)]
    answers = ["{n}", "\\boxed{{{n}}}", "it is $\\frac{{{n}}}{{1}}$", "none", "{n}5"]
    traces = [
        trace(answers[n % 5].format(n=n), f"t{n}-{k}", f"p{n}") for n in range(12) for k in (0, 1)
    ]
    alone = [next(iter(grade(problems, [t], GradeRule()))) for t in traces]
    random.Random(3).shuffle(traces)
    together = sorted(grade(problems, traces, GradeRule(), num_workers=2), key=lambda g: g.trace_id)
    assert together == sorted(alone, key=lambda g: g.trace_id)


def test_progress_counts_every_trace() -> None:
    seen: list[int] = []

    def progress(num_done: int, num_items: int = 0) -> None:
        assert num_items == num_done
        seen.append(num_done)

    traces = [trace("18", f"t{n}") for n in range(70)]
    assert len(list(grade([problem("18")], traces, GradeRule(grader="exact"), progress))) == 70
    assert seen == [64, 6]
