"""Reports of other shapes of study: several seeds, several students, imported models and texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.report import write
from flows.report.bundle import gather
from rdpt_core.finetune import training
from rdpt_core.report.bundle import Bundle
from tests.core.models import tiny
from tests.flows.example_experiments import BENCHMARK, STUDENT, Studio, copying_train, head
from tests.flows.report.pages import Page

SEEDS = "[matrix]\nseeds = [0, 1, 2]\n"
ANSWERS = """
[[benchmarks]]
name = "answers"
traces = { source = "import", path = "answers.jsonl", delimiters = "none" }
"""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setattr(training, "train", copying_train)
    made = Studio(tmp_path)
    for seed, name in enumerate(("teacher", "student", "other")):
        tiny.make_qwen(tmp_path / name, seed=seed)
    made.write_problems("problems", range(8))
    made.write_problems("bench", range(100, 106))
    return made


def gathered(studio: Studio, **changes: str) -> Bundle:
    studio.build(**changes)
    opened = studio.open(**changes)
    page = Page(write(opened).decode())
    bundle = gather(opened)
    assert page.data["trace_id"] == bundle.traces.trace_id
    return bundle


def test_runs_of_an_arm_have_a_mean_which_is_what_is_compared(studio: Studio) -> None:
    changes = {
        "students": STUDENT.format(name="student") + '[[selectors]]\nname = "random"\n',
        "benchmarks": BENCHMARK.format(name="bench") + SEEDS,
    }
    bundle = gathered(studio, **changes)
    means = [one for one in bundle.configurations if one.kind == "mean"]
    assert [one.name for one in means] == ["random (all runs)", "teacher_count (all runs)"]
    for mean in means:
        runs = [
            one.results["bench"]["accuracy"].value
            for one in bundle.configurations
            if one.kind == "arm" and one.selector == mean.selector
        ]
        assert len(runs) == 3
        number = mean.results["bench"]["accuracy"]
        assert number.value == pytest.approx(sum(x for x in runs if x is not None) / 3)
    pairs = {(one.first, one.second) for one in bundle.differences if one.metric == "teacher"}
    assert pairs == {("random (all runs)", "teacher_count (all runs)")}
    changed = [one for one in bundle.differences if one.first == "random (all runs)"]
    assert {(one.gained, one.lost) for one in changed} == {(None, None)}
    assert "of 2:" in bundle.sentence
    assert "one fine-tuning seed" not in bundle.sentence
    assert len(bundle.near) == len(bundle.is_measured) == len(bundle.configurations)
    # The picks of three seeds are those of one selection.
    assert [one.arm for one in bundle.selection] == ["random", "teacher_count"]


def test_a_teacher_and_a_student_of_one_name_are_told_apart(studio: Studio) -> None:
    (studio.folder / "student").rename(studio.folder / "base")
    student = STUDENT.format(name="teacher").replace('path = "teacher"', 'path = "base"')
    bundle = gathered(studio, students=student)
    names = [one.name for one in bundle.configurations]
    assert len(set(names)) == len(names)
    assert names[:2] == ["teacher (teacher)", "teacher (student)"]
    assert bundle.baseline == "teacher (student)"
    assert {one.second for one in bundle.differences} == {"teacher (student)"}


def test_two_students_have_each_their_arms_and_candidates(studio: Studio) -> None:
    both = STUDENT.format(name="student") + STUDENT.format(name="other")
    bundle = gathered(studio, students=both)
    names = [one.name for one in bundle.configurations if one.kind == "arm"]
    assert names == ["teacher_count-student", "teacher_count-other"]
    assert [one.arm for one in bundle.selection] == names
    lifts = {one.first: one.second for one in bundle.differences}
    assert lifts == {"teacher_count-student": "student", "teacher_count-other": "other"}


def test_an_imported_distilled_model_with_imported_answers(studio: Studio) -> None:
    rows = [
        {
            "problem": f"How much is {n} and 1?",
            "answer": str(n + 1),
            "trace": f"{n} and 1. So {n + 1}.",
        }
        for n in range(6)
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (studio.folder / "answers.jsonl").write_text(lines + "\n")
    studio.text = head("study", student='source = "import"\ndistilled = "other"') + ANSWERS
    bundle = gathered(studio)
    assert [one.kind for one in bundle.configurations] == ["distilled"]
    assert bundle.baseline is None
    assert bundle.benchmarks == ["answers"]
    assert sorted(question.gold or "" for question in bundle.questions) == list("123456")
    assert bundle.text.decode().count("So ") == 6
    assert {bundle.labels[code] for code in bundle.sentences.label.tolist() if code != 255}
    assert bundle.selection == []
    assert bundle.sentence.startswith("On answers, student-distilled answers ")
    assert "its sentences are the teacher's." in bundle.sentence
