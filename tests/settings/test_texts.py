"""Where the answers of a benchmark come from."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from settings.texts import Benchmark

POCKET = {"source": "pocket", "limit": 3}


def benchmark(**fields: object) -> Benchmark:
    return Benchmark.model_validate({"name": "b", **fields})


def test_by_default_each_distilled_student_writes_one_answer_to_each_problem() -> None:
    found = benchmark(problems=POCKET)
    assert (found.own_answers, found.is_control) == (True, False)
    assert getattr(found.traces, "samples", None) == 1


@pytest.mark.parametrize("author", ["teacher", "student"])
def test_answers_of_the_teacher_or_the_base_are_a_control(author: str) -> None:
    found = benchmark(problems=POCKET, traces={"source": "generate", "author": author})
    assert (found.own_answers, found.is_control) == (False, True)


def test_imported_answers_bring_their_problems() -> None:
    imported = {"source": "import", "path": "answers.jsonl"}
    found = benchmark(traces=imported)
    assert (found.own_answers, found.is_control) == (False, False)
    for fields in ({"traces": imported, "problems": POCKET}, {}):
        with pytest.raises(ValidationError, match="either `problems`, or imported `traces`"):
            benchmark(**fields)
