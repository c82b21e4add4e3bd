"""Questions about a workspace, through the command line: why, status, sql, verify, gc."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows import cli
from flows.catalogue import publish_catalogue, published
from flows.commands.gc import gc
from flows.workspace import CONTENTS, freeze, open_file
from rdpt_core.finetune import training
from rdpt_core.store import catalog, notes, sweep
from rdpt_core.store.parts import Part, Store
from rdpt_core.store.sweep import Stray
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome
from tasks.plan import Plan
from tasks.running import Activity, announced, beating
from tasks.worker import Worker
from tests.core.models import tiny
from tests.flows.example_experiments import PLAIN, STUDY, Studio, copying_train
from tests.stages.toy_stages import Journal

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A small study, built, frozen and in the catalogue."""
    studio = Studio(tmp_path_factory.mktemp("a study"))
    for seed, name in enumerate(("teacher", "student", "other")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(8))
    studio.write_problems("bench", range(100, 104))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        studio.build()
        freeze(studio.open())
        publish_catalogue(studio.open())
        yield studio


@pytest.fixture
def here(built: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A copy of it, which is the current workspace."""
    shutil.copytree(built.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("RDPT_THREADS", "1")
    studio = Studio(tmp_path / "copy")
    freeze(studio.open())
    publish_catalogue(studio.open())
    return studio


def write(studio: Studio, **changes: object) -> str:
    (studio.folder / "changed.toml").write_text(STUDY.format(**(PLAIN | changes)))
    return "changed.toml"


def asked(capsys: Capture, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(list(arguments)) == code
    return capsys.readouterr().out


# ---------------------------------------------------------------------------- why


def test_why_names_a_table_that_is_complete(here: Studio, capsys: Capture) -> None:
    said = asked(capsys, "why", "study", "provenance")
    assert said.count("complete (2 parts), up to date") == 1
    assert "to be built\n" not in said


def test_why_names_the_parameter_with_its_old_and_new_value(here: Studio, capsys: Capture) -> None:
    said = asked(capsys, "why", write(here, beta=0.2), "provenance")
    assert "provenance train [teacher_count]: 2 of 2 parts to be built" in said
    assert "rule.beta: 0.1 -> 0.2" in said
    assert said.count("->") == said.count("rule.beta: ")


def test_why_follows_an_input_to_the_table_that_differs(here: Studio, capsys: Capture) -> None:
    text = (here.folder / "study.toml").read_text()
    file = here.folder / "shorter.toml"
    file.write_text(text.replace("max_new_tokens = 6, batch", "max_new_tokens = 3, batch"))
    opened = open_file(file, here.open().runtime)
    traces = opened.study.configurations()[-1].find("traces", "train")
    assert traces is not None
    Worker(Plan(opened.store), opened.runtime, Journal()).build(traces)
    said = [line.strip() for line in asked(capsys, "why", str(file), "sentences").splitlines()]
    start = next(n for n, line in enumerate(said) if line.startswith("traces differ: "))
    assert said[start + 1] == "sampling.max_new_tokens: 6 -> 3"


def test_why_follows_a_blocked_table_to_what_is_to_be_built(here: Studio, capsys: Capture) -> None:
    said = asked(capsys, "why", write(here, segmenter="lines"), "selection")
    assert "selection train [teacher_count]: 1 part to wait for " in said
    assert "sentences train [teacher_count]: 2 of 2 parts to be built" in said
    assert 'rule.name: "maths" -> "lines"' in said


def test_why_says_that_a_part_was_lost(here: Studio, capsys: Capture) -> None:
    next((here.folder / "workspace" / "store" / "grades").glob("*.parquet")).unlink()
    assert "its file is missing or has changed" in asked(capsys, "why", "study", "grades")


def test_why_changes_nothing(here: Studio, capsys: Capture) -> None:
    next((here.folder / "workspace" / "store" / "grades").glob("*.parquet")).unlink()
    before = sorted((here.folder / "workspace").rglob("*"))
    asked(capsys, "why", write(here, beta=0.3), "results")
    assert sorted((here.folder / "workspace").rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "sentence"), "the experiment has no table 'sentence': did you mean sentences?"),
        (("study", "grades", "--configuration", "teacher_cuont"), "did you mean teacher_count?"),
        (("studdy", "grades"), "no file 'studdy'"),
    ],
)
def test_a_misspelt_question_exits_2_with_the_right_spelling(
    here: Studio, capsys: Capture, arguments: tuple[str, ...], message: str
) -> None:
    capsys.readouterr()
    assert cli.main(["why", *arguments]) == 2
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------------------- status


def test_status_says_how_far_an_experiment_is_that_nobody_runs(
    here: Studio, capsys: Capture
) -> None:
    said = asked(capsys, "status")
    tables = len(here.open().study.tables())
    assert said.startswith(f"study: not running; {tables} of {tables} tables")
    assert "at least" in asked(capsys, "status", write(here, segmenter="lines"))


def test_status_shows_the_table_in_the_making_with_rate_and_time_left(
    here: Studio, capsys: Capture
) -> None:
    workspace, table = here.folder / "workspace", here.open().study.tables()[1]
    activity = Activity("study", "traces train [all]", table.digest, "tokens")
    with announced(workspace, "study"), beating(Journal(), workspace, activity) as watcher:
        watcher.started(table, 40)
        activity.items_done = 10
        activity.seconds = 20.0  # as if it had been begun then
        activity.units = 300
        (file,) = [p for p in (workspace / "running").glob("*.json") if "traces" in p.read_text()]
        told = json.loads(file.read_text()) | {"items_done": 10, "seconds": 20.0, "units": 300}
        file.write_text(json.dumps(told))
        said = asked(capsys, "status")
    assert "study: running, 1 worker (process " in said
    assert "10 of 40  15 tokens/s  1 min " in said


# ---------------------------------------------------------------------------- sql


def test_sql_gives_csv_to_a_pipe_and_what_is_asked_for(here: Studio, capsys: Capture) -> None:
    query = "SELECT name, selector FROM configurations WHERE selector IS NOT NULL"
    assert asked(capsys, "sql", query) == "name,selector\nteacher_count,teacher_count\n"
    assert json.loads(asked(capsys, "sql", query, "--format", "json")) == [
        {"name": "teacher_count", "selector": "teacher_count"}
    ]
    shown = asked(capsys, "sql", query, "--format", "table").splitlines()
    assert [line.split() for line in shown] == [["name", "selector"], ["teacher_count"] * 2]


def test_sql_reads_the_parts_and_keeps_what_is_missing(here: Studio, capsys: Capture) -> None:
    rows = list(csv.DictReader(io.StringIO(asked(capsys, "sql", "SELECT trace_id FROM traces"))))
    assert len(rows) == 16 + 4 * 3
    query = "SELECT NULL AS a, 'nan'::DOUBLE AS b, [1, NULL] AS c, ''AS d"
    assert asked(capsys, "sql", query) == 'a,b,c,d\n,nan,"[1, null]",\n'
    assert json.loads(asked(capsys, "sql", query, "--format", "json")) == [
        {"a": None, "b": None, "c": [1, None], "d": ""}
    ]


def test_sql_gives_csv_whose_cells_may_hold_either_line_end(here: Studio, capsys: Capture) -> None:
    query = "SELECT 'a' || chr(13) || 'b' AS x, 'c' || chr(10) || 'd' AS y"
    assert asked(capsys, "sql", query) == 'x,y\n"a\rb","c\nd"\n'


def test_sql_gives_no_json_that_loses_a_column(here: Studio, capsys: Capture) -> None:
    query = "SELECT 1 AS a, 2 AS b, 3 AS a"
    assert asked(capsys, "sql", query) == "a,b,a\n1,2,3\n"
    capsys.readouterr()
    assert cli.main(["sql", query, "--format", "json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "column a appears twice" in shown.err
    assert "rename columns with AS" in shown.err


@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT * FROM read_text('study.toml')",
        "CREATE TABLE x AS SELECT 1",
        "DELETE FROM configurations",
        "COPY (SELECT 1) TO 'out.csv'",
        "COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "SELECT 1; DROP TABLE configurations",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
    ],
)
def test_sql_reads_and_does_nothing_else(here: Studio, capsys: Capture, query: str) -> None:
    before = sorted(here.folder.rglob("*"))
    capsys.readouterr()
    assert cli.main(["sql", query]) == 2
    assert capsys.readouterr().err.startswith("rdpt: sql:\n  ")
    assert sorted(here.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT 'analyze'",
        "EXPLAIN ANALYZE SELECT 1",
        "explain (analyze, format json) SELECT 1",
        "-- why\nEXPLAIN SELECT 1",
        "DESCRIBE configurations",
        "SUMMARIZE configurations",
        "WITH x AS (SELECT 1) SELECT * FROM x",
    ],
)
def test_sql_explains_whatever_reads(here: Studio, query: str) -> None:
    assert cli.main(["sql", query]) == 0


def test_what_a_model_wrote_cannot_act_on_a_terminal(here: Studio, capsys: Capture) -> None:
    query = "SELECT chr(27) || '[2J' || chr(8238) AS text"
    assert "\\x1b[2J\\u202e" in asked(capsys, "sql", query, "--format", "table")


def test_a_lost_catalogue_is_written_again_and_said(here: Studio, capsys: Capture) -> None:
    (here.folder / "workspace" / "rdpt.duckdb").write_text("garbage")
    capsys.readouterr()
    assert cli.main(["sql", "SELECT count(*) AS n FROM configurations"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "n\n3\n"
    assert "rebuilt from the store" in shown.err


# ---------------------------------------------------------------------------- verify


def test_verify_names_what_is_damaged_and_repair_lets_a_run_build_it_alone(
    here: Studio, capsys: Capture
) -> None:
    assert asked(capsys, "verify") == ""
    store = here.folder / "workspace" / "store"
    victim = next((store / "sentences").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-3])
    assert asked(capsys, "verify", code=6).startswith(f"sentences/{victim.stem}: its file has ")
    assert asked(capsys, "verify", "--repair").startswith(f"sentences/{victim.stem}: ")
    assert asked(capsys, "verify") == ""
    assert asked(capsys, "sql", "SELECT count(*) > 0 AS some FROM sentences") == "some\ntrue\n"
    assert here.build() == {"sentences": 1}


# ---------------------------------------------------------------------------- gc


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


def contents(here: Studio) -> catalog.Contents:
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
    assert asked(capsys, "gc", "--dry-run").count("would go") == number
    assert num_parts(here) == before + number
    gone = asked(capsys, "gc")
    assert gone.count("\tgone\n") == number
    assert not list((here.folder / "workspace" / "store").rglob("weights"))
    assert num_parts(here) == before
    assert here.build() == {}
    assert asked(capsys, "verify") == ""
    assert asked(capsys, "gc") == ""


def test_gc_keeps_what_is_young(here: Studio, capsys: Capture) -> None:
    number = leave_behind(here)
    assert asked(capsys, "gc").count("kept: younger than 7 days") == number


def test_gc_keeps_all_parts_while_a_run_goes_on(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, before = leave_behind(here), num_parts(here)
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    with announced(here.folder / "workspace", "study"):
        assert asked(capsys, "gc").count("kept: a run is active (process ") == number
    assert num_parts(here) == before


def test_gc_keeps_what_follows_from_a_part_that_was_lost(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It will be built again with the same rows, and then all that follows is there."""
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    lose(here, "sentences")
    asked(capsys, "gc")
    assert here.build() == {"sentences": 1}


@pytest.mark.parametrize("table", ["sentences", "scores", "traces"])
def test_gc_keeps_it_also_after_the_catalogue_was_written_again(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    whole, rows = contents(here), asked(capsys, "sql", EVERY_USE)
    lose(here, table)
    asked(capsys, "verify", "--repair")
    lost = rows.count("\n") - asked(capsys, "sql", EVERY_USE).count("\n")
    assert lost == sum(
        use.part not in keys(here, table) for use in whole.uses if use.table == table
    )
    for _ in range(2):
        asked(capsys, "gc")
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
    notes.write(here.open().folder / CONTENTS, catalog.plain(changed))
    lose(here, "sentences")
    publish_catalogue(here.open())
    assert contents(here).configurations == whole.configurations
    assert replaced not in contents(here).uses
    assert elsewhere in contents(here).uses
    assert "was" not in asked(capsys, "sql", EVERY_USE)
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
    asked(capsys, "verify", "--repair")
    begun = [store.workdir("students", student.key), store.workdir("problems", "nobody's")]
    for folder in begun:
        folder.mkdir(parents=True)
    asked(capsys, "gc")
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
    asked(capsys, "sql", "SELECT count(outcome) FROM grades")


def test_problems_that_were_collected_are_read_again(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    here.write_problems("bench", range(200, 204))
    here.build()
    freeze(here.open())
    assert "problems/" in asked(capsys, "gc")
    here.write_problems("bench", range(100, 104))
    assert here.build()["traces"] == 3


def test_gc_refuses_where_everything_would_go_or_nothing_can_be_told(
    here: Studio, capsys: Capture
) -> None:
    shutil.move(here.folder / "teacher", here.folder / "elsewhere")
    asked(capsys, "gc", code=2)
    shutil.rmtree(here.folder / "workspace" / "runs")
    asked(capsys, "gc", code=2)
    assert num_parts(here) > 0


def test_gc_removes_nothing_outside_the_workspace(here: Studio, capsys: Capture) -> None:
    shutil.move(here.folder / "workspace" / "store", here.folder / "store")
    (here.folder / "workspace" / "store").symlink_to(here.folder / "store")
    capsys.readouterr()
    assert cli.main(["gc"]) == 2
    assert "outside the workspace" in capsys.readouterr().err
