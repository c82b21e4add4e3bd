"""`rdpt gc`: only what no experiment uses is removed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from flows import cli
from flows.catalogue import publish_catalogue, published
from flows.commands.gc import gc
from flows.workspace import CONTENTS, freeze
from rdpt_core.store import notes, sweep
from rdpt_core.store.contents import Contents, plain
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.store.sweep import Stray
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome
from tasks.plan import Plan
from tasks.running import announced
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of

Capture = pytest.CaptureFixture[str]


def leave_behind(here: Studio) -> int:
    """Parts that no experiment reaches, one of them with a payload; how many there are."""
    store = here.open().store
    for number in range(2):
        payload = here.folder / "payload" if number else None
        if payload:
            payload.mkdir()
            (payload / "weights").write_bytes(b"x" * 1000)
        rows = [Grade(f"{number}", Outcome.CORRECT, None)]
        store.commit(Grade, Recipe("grades", 1, {"n": number}, {}), rows, payload=payload)
    return 2


def lose(here: Studio, table: str) -> Part:
    """The first part of the first such table loses its file."""
    store = here.open().store
    wanted = next(c for c in here.open().study.tables() if c.name == table)
    part = Plan(store).state(wanted).parts[0]
    store.file(part).unlink()
    return part


def contents(here: Studio) -> Contents:
    """What the experiment uses, as it was last published."""
    found = published(here.open())
    assert found is not None
    return found


def keys(here: Studio, table: str) -> set[str]:
    return {record.part.key for record in here.open().store.records(table)}


EVERY_USE = 'SELECT configuration, "table", part FROM parts'


def num_parts(here: Studio) -> int:
    return len(list((here.folder / "workspace" / "store").glob("*/*.json")))


def test_gc_removes_what_no_experiment_reaches_and_a_run_then_finds_all_of_it(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = num_parts(here)
    number = leave_behind(here)
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    assert output_of(capsys, "gc", "--dry-run").count("would go") == number
    assert num_parts(here) == before + number
    gone = output_of(capsys, "gc")
    assert gone.count("\tgone\n") == number
    assert not list((here.folder / "workspace" / "store").rglob("weights"))
    assert num_parts(here) == before
    assert here.build() == {}
    assert output_of(capsys, "verify") == ""
    assert output_of(capsys, "gc") == ""


def test_gc_keeps_what_is_young(here: Studio, capsys: Capture) -> None:
    number = leave_behind(here)
    assert output_of(capsys, "gc").count("kept: younger than 7 days") == number


def test_gc_keeps_all_parts_while_a_run_goes_on(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, before = leave_behind(here), num_parts(here)
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    with announced(here.folder / "workspace", "study"):
        assert output_of(capsys, "gc").count("kept: a run is active (process ") == number
    assert num_parts(here) == before


def test_gc_keeps_what_follows_from_a_part_that_was_lost(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It will be built again with the same rows, and then all that follows is there."""
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    lose(here, "sentences")
    output_of(capsys, "gc")
    assert here.build() == {"sentences": 1}


@pytest.mark.parametrize("table", ["sentences", "scores", "traces"])
def test_gc_keeps_it_also_after_the_catalogue_was_written_again(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    whole, rows = contents(here), output_of(capsys, "sql", EVERY_USE)
    lose(here, table)
    output_of(capsys, "verify", "--repair")
    lost = rows.count("\n") - output_of(capsys, "sql", EVERY_USE).count("\n")
    assert lost == sum(
        use.part not in keys(here, table) for use in whole.uses if use.table == table
    )
    for _ in range(2):
        output_of(capsys, "gc")
    assert here.build() == {table: 1}
    publish_catalogue(here.open())
    assert contents(here) == whole


def test_what_was_used_before_gives_way_to_what_is_used_now(here: Studio, capsys: Capture) -> None:
    """In tables that are complete, and in all once the experiment is; what a configuration used
    that is no more is kept until then, and never shown."""
    whole = contents(here)
    replaced = replace(next(u for u in whole.uses if u.table == "traces"), part="replaced")
    elsewhere = replace(next(u for u in whole.uses if u.table == "students"), configuration="was")
    changed = replace(whole, uses=(*whole.uses, replaced, elsewhere))
    notes.write(here.open().folder / CONTENTS, plain(changed))
    lose(here, "sentences")
    publish_catalogue(here.open())
    assert contents(here).configurations == whole.configurations
    assert replaced not in contents(here).uses
    assert elsewhere in contents(here).uses
    assert "was" not in output_of(capsys, "sql", EVERY_USE)
    here.build()
    publish_catalogue(here.open())
    assert contents(here) == whole


def test_gc_keeps_a_half_trained_student_while_its_inputs_are_lacking(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    store = here.open().store
    student = lose(here, "students")
    lose(here, "sentences")
    output_of(capsys, "verify", "--repair")
    begun = [store.workdir("students", student.key), store.workdir("problems", "nobody's")]
    for folder in begun:
        folder.mkdir(parents=True)
    output_of(capsys, "gc")
    assert [folder.exists() for folder in begun] == [True, False]


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
def test_a_gc_that_ends_halfway_leaves_a_catalogue_of_what_is_there(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    leave_behind(here)
    publish_catalogue(here.open())
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    remove = sweep.remove

    def once(store: Store, stray: Stray) -> bool:
        monkeypatch.setattr(sweep, "remove", refuse)
        return remove(store, stray)

    def refuse(store: Store, stray: Stray) -> bool:
        raise error

    monkeypatch.setattr(sweep, "remove", once)
    before = num_parts(here)
    with pytest.raises(error):
        gc(dry_run=False)
    assert num_parts(here) == before - 1
    output_of(capsys, "sql", "SELECT count(outcome) FROM grades")


def test_problems_that_were_collected_are_read_again(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    here.write_problems("bench", range(200, 204))
    here.build()
    freeze(here.open())
    assert "problems/" in output_of(capsys, "gc")
    here.write_problems("bench", range(100, 104))
    assert here.build()["traces"] == 3


def test_gc_refuses_where_everything_would_go_or_nothing_can_be_told(
    here: Studio, capsys: Capture
) -> None:
    shutil.move(here.folder / "teacher", here.folder / "elsewhere")
    output_of(capsys, "gc", code=2)
    shutil.rmtree(here.folder / "workspace" / "runs")
    output_of(capsys, "gc", code=2)
    assert num_parts(here) > 0


@pytest.mark.fault("X5")
def test_gc_removes_nothing_outside_the_workspace(here: Studio, capsys: Capture) -> None:
    shutil.move(here.folder / "workspace" / "store", here.folder / "store")
    (here.folder / "workspace" / "store").symlink_to(here.folder / "store")
    capsys.readouterr()
    assert cli.main(["gc"]) == 2
    assert "outside the workspace" in capsys.readouterr().err
