"""All models and sources of an experiment are found, by the name that a message needs."""

from __future__ import annotations

import pytest

from settings.inventory import imports_thoughts, models_of, sources_of
from tests.settings.example import experiment

IMPORTED = '{ source = "import", path = "traces.jsonl" }'
BENCHMARKS = """[{ name = "a", problems = { source = "pocket", limit = 3 } },
                 { name = "b", traces = { source = "import", path = "answers.jsonl" } }]"""


def test_a_teacher_and_a_student_of_one_name_are_two_models() -> None:
    students = '[{ name = "t", path = "s", source = "import", distilled = "d" }]'
    found = models_of(experiment(students=students))
    assert {name: spec.path for name, spec in found.items()} == {
        "t": "t",
        "t (student)": "s",
        "t (distilled)": "d",
    }


def test_sources_are_named_by_their_table_and_sampled_traces_are_none() -> None:
    found = sources_of(experiment(benchmarks=BENCHMARKS))
    assert list(found) == ["problems", "benchmark a, problems", "benchmark b, traces"]
    imported = sources_of(experiment(problems=None, traces=IMPORTED))
    assert list(imported) == ["traces"]


@pytest.mark.parametrize(("delimiters", "thoughts"), [("<think>", True), ("none", False)])
def test_thoughts_are_imported_if_delimiters_set_them_apart(
    delimiters: str, thoughts: bool
) -> None:
    traces = IMPORTED.replace(" }", f', delimiters = "{delimiters}" }}')
    assert imports_thoughts(experiment(problems=None, traces=traces)) == thoughts
    assert not imports_thoughts(experiment())
