"""A stage is checked where it is declared, and a table where it is written."""

import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.provenance.labels import LabelRule
from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import Grade, Pick, Problem, Sentence, Trace
from tasks import stage as s
from tasks.arguments import Kind
from tasks.plan import Plan
from tasks.stage import Parts, StageTable, Work, stage
from tests.stages import toy_stages

Grades = Parts[Grade]
"""Annotations of this module are not postponed: they are types, not texts."""


@stage("selection", version=1, row=Pick)
def rank(grades: s.Parts[Grade], more: Grades, best: int) -> Iterator[Pick]:
    names = sorted(grade.trace_id for rows in grades for grade in rows)
    assert names == sorted(grade.trace_id for rows in more for grade in rows)
    return iter([Pick(name, n, 1.0, 1) for n, name in enumerate(names[:best])])


@stage("selection", version=1, row=Pick)
def count(grades: tuple[Parts[Grade], ...], rule: LabelRule | None, work: Work) -> Iterator[Pick]:
    numbers = [len([grade for rows in table for grade in rows]) for table in grades]
    return iter([Pick(str(n), n, 1.0, number) for n, number in enumerate(numbers)])


def tables(samples: int = 2) -> tuple[Any, StageTable, StageTable, StageTable]:
    problems, traces, grades, sentences, _ = toy_stages.chain_of(
        toy_stages.given(range(8)), samples=samples
    )
    return problems, traces, grades, sentences


def declared(annotation: Any, **how: Any) -> Callable[[], s.Stage]:
    """Declares a stage with one argument `table` of that type."""

    def rows(table: Any) -> Iterator[Pick]:
        return iter(())

    rows.__annotations__["table"] = annotation
    return lambda: stage("selection", version=1, row=Pick, **how)(rows)


def test_the_kind_of_an_argument_follows_from_its_type() -> None:
    assert [argument.kind for argument in rank.arguments.values()] == [
        Kind.PARTS,
        Kind.PARTS,
        Kind.VALUE,
    ]
    kinds = [argument.kind for argument in count.arguments.values()]
    assert kinds == [Kind.TABLES, Kind.VALUE, Kind.WORK]


@pytest.mark.parametrize("annotation", ["s.Parts[Grade]", "Grades", Parts[Grade]])
def test_an_annotation_means_what_it_resolves_to(annotation: Any) -> None:
    argument = declared(annotation)().arguments["table"]
    assert (argument.kind, argument.type) == (Kind.PARTS, Grade)


def test_annotations_that_are_not_postponed_hand_over_all_parts(tmp_path: Path) -> None:
    problems, traces, grades, _ = tables()
    table = rank(grades=grades, more=grades, best=99)
    assert len(grades.axes) == 2
    toy_stages.build(tmp_path, [problems, traces, grades, table])
    (part,) = Plan(Store(tmp_path)).state(table).parts
    assert part.num_rows == 16


def test_several_tables_are_one_argument_and_each_is_in_the_key(tmp_path: Path) -> None:
    problems, traces, grades, _ = tables()
    first, second = tables(samples=1)[1:3]
    table = count(grades=(grades, second), rule=None)
    toy_stages.build(tmp_path, [problems, traces, grades, first, second, table])
    (part,) = Plan(Store(tmp_path)).state(table).parts
    record = Store(tmp_path).record("selection", part.key)
    assert record is not None
    assert list(record.recipe["inputs"]) == ["grades_0", "grades_1"]
    rows = Store(tmp_path).rows(Pick, part)
    assert [row.num_tokens for row in rows] == [16, 8]


@pytest.mark.parametrize(
    ("annotation", "how", "message"),
    [
        (list[Grade], {}, "takes the rows of one part, and without `over` a table is read whole"),
        (Any, {}, "argument 'table' is Any: it can be list"),
        (object, {}, "argument 'table' is object"),
        (list[int | Path], {}, "argument 'table' is list"),
        (Parts[int], {}, "argument 'table' is"),
        (typing.Optional[Parts[Grade]], {}, "argument 'table' is"),  # noqa: UP045
        ("Nowhere", {}, "name 'Nowhere' is not defined"),
        (int, {"over": "table"}, "over='table' names no argument that is list"),
        (list[Grade], {"over": "tabel"}, "over='tabel' names no argument"),
        (list[Grade], {"over": "table", "by_id": ("traces",)}, "by_id='traces' names no argument"),
        (Parts[Grade], {"each": "table"}, "each='table' names no argument"),
        (int, {"each": "table"}, "each='table' needs a table that drives"),
    ],
)
def test_a_signature_that_no_table_can_be_made_by_is_refused_where_it_stands(
    annotation: Any, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=r"stage selection \(rows\): ") as error:
        declared(annotation, **how)()
    assert message in str(error.value)


def test_arguments_without_a_name_or_with_a_default_are_refused() -> None:
    def several(**tables: Parts[Grade]) -> Iterator[Pick]:
        return iter(())

    def optional(grades: Parts[Grade], best: int = 3) -> Iterator[Pick]:
        return iter(())

    for function, message in ((several, "write every argument out"), (optional, "a default")):
        with pytest.raises(TypeError, match=message):
            stage("selection", version=1, row=Pick)(function)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grade": 1}, r"got an unexpected keyword argument 'grade'"),
        ({"grades": None}, "argument 'grades' takes a table of Grade, not None"),
        ({"grades": "grades"}, "argument 'grades' takes a table of Grade, not a str"),
        ({"grades": tables()[3]}, "argument 'grades' takes a table of Grade, not sentences"),
        ({"best": "3"}, "argument 'best' takes int, not a str"),
        ({"best": None}, "argument 'best' takes int, not None"),
    ],
)
def test_a_wrong_argument_raises_where_the_table_is_written(
    changes: dict[str, Any], message: str
) -> None:
    grades = tables()[2]
    right = {"grades": grades, "more": grades, "best": 3}
    with pytest.raises(TypeError, match=r"stage selection \(rank\): ") as error:
        rank(**(right | changes))
    assert message in str(error.value)


def test_a_missing_table_raises_where_the_table_is_written() -> None:
    with pytest.raises(TypeError, match=r"\(rank\): missing a required argument: 'more'"):
        rank(grades=tables()[2], best=3)
    with pytest.raises(TypeError, match=r"\(count\): argument 'grades' takes a table of Grade"):
        count(grades=(tables()[2], None), rule=None)


def test_tables_of_other_samples_do_not_meet() -> None:
    """Equal coordinates would, though they count other texts."""
    _, _, grades, _ = tables(samples=3)
    sentences = tables(samples=2)[3]
    with pytest.raises(TypeError, match=r"stage pool \(keep\): the parts of 'grades' are not"):
        toy_stages.keep(sentences=sentences, grades=grades)


def test_a_finer_table_does_not_drive_itself_into_a_coarser_one() -> None:
    problems, traces, *_ = tables()

    @stage("grades", version=1, row=Grade, over="problems")
    def by_problem(problems: Parts[Problem], traces: Parts[Trace]) -> Any:
        return iter(())

    with pytest.raises(TypeError, match="the parts of 'traces' are not those of 'problems'"):
        by_problem(problems=problems, traces=traces)


def test_the_rows_of_a_table_are_those_that_an_argument_declares() -> None:
    assert toy_stages.keep.arguments["sentences"].type is Sentence
