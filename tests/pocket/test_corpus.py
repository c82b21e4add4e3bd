"""What the models read: never a held-out skeleton, always the same, in overlapping forms."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from transformers import AutoTokenizer

from perf.pocket import styles
from perf.pocket.corpus import PATIENCE, student_examples, teacher_examples
from perf.pocket.train import RECIPES, rendered
from rdpt_core.pocket import MODELS
from rdpt_core.pocket.problems import problems

NUM_HELD_OUT = 960
LATE = 1_000_000
STUDENT = MODELS / "student"


def num_calculations(text: str) -> int:
    return len(re.findall(r"\d = \d", text))


def test_no_model_was_trained_on_a_skeleton_of_the_distillation_or_benchmark_problems() -> None:
    """Counted over the very examples that the recipes read; held-out streams of several seeds."""
    teacher, student = RECIPES["teacher"], RECIPES["student"]
    read = {
        e.skeleton
        for e in itertools.islice(teacher_examples(teacher.early), teacher.steps * teacher.examples)
    }
    students = student_examples((student.steps - student.late) * student.examples)
    read |= {e.skeleton for e in itertools.islice(students, student.steps * student.examples)}
    read -= {""}  # drills have none
    held: dict[str, set[str]] = {}
    for split in ("distill", "bench"):
        streams = [itertools.islice(problems(split, seed), NUM_HELD_OUT) for seed in (0, 1, 480)]
        held[split] = {problem.skeleton for stream in streams for problem in stream}
    assert len(read) > 30_000
    assert len(read & held["distill"]) == 0
    assert len(read & held["bench"]) == 0
    assert len(held["distill"] & held["bench"]) == 0


def test_an_example_is_a_function_of_its_number() -> None:
    for start in (0, 3, 4, 5, 6, 11):
        assert (
            list(itertools.islice(student_examples(8, start), 6))
            == list(itertools.islice(student_examples(8), 20))[start : start + 6]
        )
        assert (
            list(itertools.islice(teacher_examples(8, start), 6))
            == list(itertools.islice(teacher_examples(8), 20))[start : start + 6]
        )


@pytest.mark.parametrize("late", [0, LATE])
def test_the_students_chats_hold_no_teacher_form_and_its_documents_only_short_steps(
    late: int,
) -> None:
    marks = ("Take", "Plan", "Check", "Start at", ":")
    examples = list(itertools.islice(student_examples(late), 900))
    chats = [e.thought for e in examples if e.kind == "chat"]
    documents = [e.thought for e in examples if e.kind != "chat"]
    assert not [t for t in chats if any(mark in t for mark in marks)]
    assert not [t for t in documents if any(mark in t for mark in marks[1:4])]
    assert any(":" in t for t in documents)
    assert any("Take" in t for t in documents) == (late == 0)


def test_the_teacher_uses_each_of_its_forms() -> None:
    thoughts = [e.thought for e in itertools.islice(teacher_examples(0), 900)]
    for mark in ("Take", "Plan", "Check", "Start at", ":"):
        assert sum(mark in t for t in thoughts) > 20


def test_the_student_leaves_most_longer_chats_early() -> None:
    chats = [e for e in itertools.islice(student_examples(LATE), 3000) if e.kind == "chat"]
    longer = [e for e in chats if e.skeleton.count(";") > PATIENCE]
    left = [e for e in longer if num_calculations(e.thought) <= PATIENCE]
    assert 0.85 < len(left) / len(longer) < 0.97


def test_a_thought_has_one_calculation_per_sentence_and_ends_in_a_full_stop() -> None:
    for example in itertools.islice(teacher_examples(0), 300):
        sentences = example.thought.split(". ")
        assert all(num_calculations(sentence) <= 1 for sentence in sentences)
        assert example.thought.endswith(".")
        assert example.answer == f"The answer is {example.answer[14:-1]}."


def test_both_styles_share_their_longest_form() -> None:
    assert styles.FULL not in styles.SHORT
    shortest = max(len(form) for form in styles.SHORT)
    assert shortest < len(styles.FULL)


def test_a_drill_is_right_and_learns_its_results_alone() -> None:
    drill = next(e for e in student_examples(LATE) if e.kind == "drill")
    for calculation in drill.thought.rstrip(".").split(". "):
        left, right = calculation.replace("mod", "%").split(" = ")
        assert eval(left) == int(right)  # noqa: S307 - digits and operators that we wrote ourselves
    tokenizer: Any = AutoTokenizer.from_pretrained(STUDENT)
    ids, learned = rendered(drill, "student", tokenizer)
    results = [token for token, is_learned in zip(ids, learned, strict=True) if is_learned]
    assert set(tokenizer.decode(results)) <= set("0123456789.")
