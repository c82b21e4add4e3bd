"""The disk is looked at before a run: what is certain to be built must fit, else exit 7 and no
work; what may be built is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import checks, errors
from flows.checks import FLOOR, MARGIN, check_room
from flows.commands import run as run_command
from flows.disk import BYTES, DiskEstimate, Room, estimated_room, knows_imports
from flows.workspace import open_file
from rdpt_core.finetune.disk import training_room
from rdpt_core.machine.resources import NoRoom
from settings.experiment import Experiment
from settings.runtime import Runtime
from tasks.plan import Plan
from tests.flows.example_experiments import STUDENT, Studio, studio

__all__ = ["studio"]

LONGEST = 6  # max_new_tokens of the study
IMPORT = """
name = "imported"
traces = { source = "import", path = "traces.jsonl" }
teachers = [{ name = "t", path = "teacher" }]
students = [{ name = "s", path = "student", source = "select" }]
selectors = [{ name = "teacher_count" }]
"""
OTHER = """
[[students]]
name = "other"
path = "other"
thinking = "none"
"""


def test_what_is_left_to_build_is_counted_table_by_table(studio: Studio) -> None:
    opened = studio.open(benchmarks="")
    estimate = DiskEstimate(Plan(opened.store))
    found = {each.name: estimate.size(each) for each in opened.study.tables()}
    tokens = 64 * 2 * LONGEST
    expected = {table: round(tokens * size) for table, size in BYTES.items()}
    assert {table: found[table] for table in BYTES} == expected
    model = training_room(studio.folder / "student", Experiment.model_fields["training"].default)
    scored = 2  # by the teacher and by the student
    stays = sum(expected.values()) + expected["scores"] + expected["sentence_scores"] + model.model
    assert scored == sum(each.name == "scores" for each in opened.study.tables())
    assert estimated_room(opened) == Room(model.most, stays + (model.most - model.model))


def test_trainings_share_the_room_for_their_checkpoints(studio: Studio) -> None:
    two = studio.open(benchmarks="", students=STUDENT.format(name="student") + OTHER)
    tables, plan = two.study.tables(), Plan(two.store)
    one_at_a_time, both = (DiskEstimate(plan).total(tables, workers) for workers in (1, 2))
    model = training_room(studio.folder / "student", Experiment.model_fields["training"].default)
    assert both.certain - one_at_a_time.certain == model.most - model.model
    assert both.most - one_at_a_time.most == model.most - model.model


def test_what_is_built_is_not_counted_and_measures_what_is_left(studio: Studio) -> None:
    before = estimated_room(studio.open(limit=32, benchmarks=""))
    studio.build(limit=32, benchmarks="")
    assert estimated_room(studio.open(limit=32, benchmarks="")) == (0, 0)
    more = studio.open(limit=64, benchmarks="")
    estimate = DiskEstimate(Plan(more.store, peek=True))
    (traces,) = (table for table in more.study.tables() if table.name == "traces")
    parts = Plan(more.store, peek=True).state(traces).parts
    assert estimate.size(traces) == pytest.approx(sum(part.size for part in parts), rel=0.01)
    measured = estimated_room(more)
    assert measured.certain == measured.most > 0, "the length of traces is known by now"
    assert before.most > before.certain > 0


def test_imported_traces_count_once_they_were_read(studio: Studio) -> None:
    file = studio.folder / "imported.toml"
    file.write_text(IMPORT)
    (studio.folder / "traces.jsonl").write_text("not read")
    opened = open_file(file, Runtime(workspace=studio.folder / "workspace"))
    estimate = DiskEstimate(Plan(opened.store))
    assert not knows_imports(opened)
    assert {estimate.size(table) for table in opened.study.tables()} == {0}


@pytest.mark.fault("F08")
def test_a_disk_that_is_smaller_than_the_estimate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "free_space", lambda path: FLOOR + 1200)
    check_room(tmp_path, Room(1000, 1000))
    with pytest.raises(NoRoom) as refused:
        check_room(tmp_path, Room(1001, 1001))
    assert (refused.value.needed, refused.value.free) == (FLOOR + 1201, FLOOR + 1200)
    assert MARGIN == 1.2


def test_traces_that_might_become_too_long_are_warned_of_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "free_space", lambda path: FLOOR + 1200)
    check_room(tmp_path, Room(0, 1000))
    assert capsys.readouterr().err == ""
    check_room(tmp_path, Room(0, 10**12))
    said = capsys.readouterr().err
    assert said.startswith(f"warning: 64 MB free in {tmp_path}, and 1.2 TB needed if every")


@pytest.mark.fault("F08")
def test_a_run_that_would_not_fit_exits_7_before_any_work(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = studio.open()
    certain = estimated_room(opened).certain
    monkeypatch.setattr(checks, "free_space", lambda path: FLOOR + certain)
    monkeypatch.setattr(
        run_command, "prepare_prefect", lambda runtime: pytest.fail("work was begun")
    )
    with pytest.raises(NoRoom) as refused:
        run_command.run(opened)
    assert errors.code_of(refused.value) == 7
    assert not list(opened.store.root.rglob("*.parquet"))
    assert certain > 0
