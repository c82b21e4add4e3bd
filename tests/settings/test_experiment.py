"""What an experiment may ask for together, and the pairings that it describes."""

from __future__ import annotations

import pytest

from settings.loading import BadSettings
from tests.settings.example import experiment

TWO_TEACHERS = '[{ name = "t", path = "t" }, { name = "u", path = "u" }]'
TWO_STUDENTS = '[{ name = "s", path = "s" }, { name = "r", path = "r", source = "select" }]'
IMPORTED = '[{ name = "s", path = "s", source = "import", distilled = "d" }]'
TWICE_MATCHED = """[{ name = "random" }, { name = "longest", match_tokens = "random" },
                 { name = "shortest", match_tokens = "longest_matched_random" }]"""
CONTROL = (
    '[{ name = "b", problems = { source = "pocket", limit = 3 }, '
    'traces = { source = "generate", author = "teacher" } }]'
)


def cells(**changes: str | None) -> list[tuple[str, str, str | None, int | None]]:
    return [
        (c.teacher.name, c.student.name, c.selector.label if c.selector else None, c.seed)
        for c in experiment(**changes).pairings()
    ]


def test_pairings_are_the_product_of_the_lists_in_the_order_of_the_file() -> None:
    assert cells(teachers=TWO_TEACHERS, matrix="{ seeds = [3, 1] }") == [
        ("t", "s", "random", 3),
        ("t", "s", "random", 1),
        ("u", "s", "random", 3),
        ("u", "s", "random", 1),
    ]


def test_the_matrix_leaves_out_what_it_does_not_name() -> None:
    assert cells(teachers=TWO_TEACHERS, matrix='{ teachers = ["u"] }') == [("u", "s", "random", 0)]


def test_a_student_that_only_selects_has_no_seed_of_training() -> None:
    assert ("t", "r", "random", None) in cells(students=TWO_STUDENTS, matrix="{ seeds = [0, 1] }")


def test_an_imported_student_has_one_pairing_without_a_selector() -> None:
    only_tested: dict[str, str | None] = dict.fromkeys(("problems", "traces", "selectors"))
    assert cells(students=IMPORTED, **only_tested) == [("t", "s", None, None)]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"traces": None}, "needs [traces] to learn from"),
        ({"problems": None}, "needs [problems]"),
        ({"selectors": None}, "needs [[selectors]]"),
        ({"teachers": '[{ name = "t", path = "t", backend = "logged" }]'}, "is logged, so it can"),
        ({"teachers": TWO_TEACHERS.replace('"u"', '"t"')}, "the name 't' is used twice"),
        ({"matrix": "{ seeds = [1, 1] }"}, "1 is given twice"),
        ({"benchmarks": CONTROL}, "'b' is a control and comes first"),
        ({"selectors": TWICE_MATCHED}, "matches an arm that is matched itself"),
    ],
)
def test_what_does_not_fit_together_is_named(changes: dict[str, str | None], fault: str) -> None:
    with pytest.raises(BadSettings) as refused:
        experiment(**changes)
    assert fault in str(refused.value)


def test_whitespace_can_be_moved_only_where_every_model_is_loaded_here() -> None:
    server = '[{ name = "t", path = "t", backend = "server", server = "lab" }]'
    moved = '{ leading_blank = "before" }'
    assert experiment(scoring=moved).scoring.leading_blank == "before"
    with pytest.raises(BadSettings, match="'t' is server: leave leading_blank out"):
        experiment(scoring=moved, teachers=server)
