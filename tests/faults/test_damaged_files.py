"""Every file of a finished workspace is damaged in turn: each command heals it or names it.

Notes and the files beside them are damaged under the real command line; parts, of which there are
many, under the store that all commands look them up in.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from flows import cli
from flows.catalogue import keep_noise, publish_catalogue
from flows.commands import run
from flows.commands.verify import SHAPES, damaged_notes
from flows.journal import Journal as RunJournal
from flows.prefect_home import set_aside_if_damaged
from flows.workspace import Opened, freeze, open_file
from rdpt_core.finetune import training
from rdpt_core.store import integrity, notes
from rdpt_core.store.contents import NoiseRow
from rdpt_core.store.notes import Notes
from rdpt_core.store.parts import Damaged, Store
from tasks import models
from tasks.plan import Plan
from tasks.running import Activity, announced
from tasks.worker import Worker
from tests.core.models import tiny
from tests.flows.example_experiments import STUDENT, Studio, copying_train
from tests.stages.toy_stages import Journal

Capture = pytest.CaptureFixture[str]

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbled": lambda content: bytes(byte ^ 0x93 for byte in content[:100]) + content[100:],
    "one digit": lambda content: _one_digit(content),
    "an object": lambda content: b'{"a": [1, {"b": null}], "format": 1, "part": {}}',
    "a list": lambda content: b'[1, "b", [["problems"]], null]',
    "a number": lambda content: b"17",
    "deep": lambda content: b"[" * 100_000 + b"]" * 100_000,
    "deep object": lambda content: b'{"part": ' * 100_000,
}
COMMANDS = (
    ["status"],
    ["runs"],
    ["plan", "study.toml"],
    ["why", "study", "grades"],
    ["sql", "SELECT count(*) FROM traces"],
    ["compare", "study"],
    ["gc", "--dry-run"],
    ["verify"],
    ["resume", "study"],
    ["sync"],
    ["run", "study.toml"],
)
SOUND = (["runs"], ["resume", "study"], ["verify"], ["plan", "study.toml"])
"""Commands that find nothing wrong once a run was there."""


def _one_digit(content: bytes) -> bytes:
    """The last digit is another one."""
    at = max(content.rfind(digit) for digit in (b"%d" % number for number in range(10)))
    other = b"0" if content[at : at + 1] != b"0" else b"1"
    return content[:at] + other + content[at + 1 :] if at >= 0 else content + b"9"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Two experiments, complete and in the catalogue; of one of them, noise that was measured."""
    studio = Studio(tmp_path_factory.mktemp("finished"))
    for seed, name in enumerate(("teacher", "student", "other")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(6))
    studio.write_problems("bench", range(100, 104))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        build(studio.open())
        noise = NoiseRow("a" * 32, "a" * 32, 0.1, 0.1, 0.1, None, 3)
        keep_noise(studio.open(), [noise])
        build(second(studio))
        build(studio.open())
        yield studio


def second(studio: Studio) -> Opened:
    """Another experiment, of another student."""
    text = studio.open(students=STUDENT.format(name="other"), limit=4).file.read_text()
    file = studio.folder / "second.toml"
    file.write_text(text.replace('name = "study"', 'name = "second"'))
    return open_file(file, studio.open().runtime)


def build(opened: Opened) -> int:
    """What a run does, without Prefect and its seconds."""
    with announced(opened.runtime.workspace, opened.experiment.name):
        log = opened.runtime.workspace / "logs" / f"{opened.experiment.name}.jsonl"
        RunJournal(log).note("started")
        freeze(opened)
        for table in opened.study.tables():
            if not Plan(opened.store).state(table).complete:
                Worker(Plan(opened.store), opened.runtime, Journal()).build(table)
        publish_catalogue(opened)
    return 0


@pytest.fixture
def here(finished: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A copy of it, which is the current workspace."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("RDPT_THREADS", "1")
    monkeypatch.setenv("RDPT_TRACKING", "off")
    monkeypatch.setattr(run, "_build", build)
    studio = Studio(tmp_path / "copy")
    for opened in (second(studio), studio.open()):  # the copy's own places
        freeze(opened)
        publish_catalogue(opened)
    dead = json.dumps(asdict(Activity("study", "grades", pid=1)))
    (tmp_path / "copy" / "workspace" / "running" / "1-dead.json").write_text(dead)
    return studio


def asked(capsys: Capture, *arguments: str) -> tuple[int, str]:
    """Exit code and all that was said."""
    capsys.readouterr()
    models._identify.cache_clear()  # kept in a process, and each command has one of its own
    notes._SAID.clear()
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


FILES = (
    "models.json",
    "noise.json",
    "rdpt.duckdb",
    "running/lock",
    "running/*.json",
    "store/sources/*.json",
    "store/grades/.locks/*",
    "runs/study/catalogue.json",
    "runs/study/origin.json",
    "runs/study/experiment.toml",
    "logs/study.jsonl",
)


@pytest.mark.fault("F10")
@pytest.mark.parametrize("pattern", FILES)
def test_a_damaged_file_beside_the_parts_stops_no_command(
    here: Studio, pattern: str, capsys: Capture
) -> None:
    workspace = here.folder / "workspace"
    victim = next(workspace.glob(pattern))
    content = victim.read_bytes()
    for name in ("empty", "cut", "one digit", "an object", "deep"):
        for command in COMMANDS:
            victim.write_bytes(DAMAGES[name](content))
            code, said = asked(capsys, *command)
            place = f"{victim.relative_to(workspace)}, {name}, rdpt {' '.join(command)}:\n{said}"
            assert code in (0, 2, 6), place
            assert "Traceback" not in said, place
            assert code == 0 or victim.name in said, place
        asked(capsys, "verify", "--repair")  # where the last run did not need the file
        assert list(damaged_notes(here.open().runtime)) == [], place
        assert asked(capsys, "run", "study.toml")[0] == 0, place


def test_a_run_leaves_a_workspace_in_which_every_command_is_well(
    here: Studio, capsys: Capture
) -> None:
    """All notes are damaged at once."""
    workspace = here.folder / "workspace"
    found = [path for pattern in SHAPES for path in workspace.glob(pattern)]
    assert len(found) > len(SHAPES)
    for path in found:
        path.write_bytes(b"[" * 100_000)
    code, said = asked(capsys, "status")
    assert code == 0
    for name in ("study", "second"):
        assert f"{name}: cannot be opened: " in said
        assert asked(capsys, "run", f"{name}.toml")[0] == 0
    for command in SOUND:
        code, said = asked(capsys, *command)
        assert code == 0
        assert "warning" not in said


@pytest.mark.fault("F38")
def test_a_workspace_of_an_earlier_release_goes_on(here: Studio, capsys: Capture) -> None:
    """Whose notes are bare values, and whose records have no digest."""
    workspace = here.folder / "workspace"
    for path in [path for pattern in SHAPES for path in workspace.glob(pattern)]:
        bare = json.loads(path.read_bytes())["note"]
        if path.name == "origin.json":
            bare = {"base": bare["base"]}
        path.write_text(json.dumps(bare))
    records = [path for path in workspace.glob("store/*/*.json") if path.parent.name != "sources"]
    for path in records:
        value = json.loads(path.read_bytes())
        del value["digest"], value["coordinate"]
        value["format"] = 1
        value["part"]["chain"] = [value["part"]["content"]]
        path.write_text(json.dumps(value))
    for command in (["status"], ["runs"], ["resume", "study"], ["run", "second.toml"]):
        code, said = asked(capsys, *command)
        assert code == 0
        assert "warning" not in said
    assert "up to date" in said
    code, said = asked(capsys, "verify")
    assert code == 0
    assert f"{len(records)} records of an earlier release hold a digest" in said
    assert all("digest" in json.loads(path.read_bytes()) for path in records)


@pytest.mark.fault("F10")
def test_every_file_of_every_part_is_checked(here: Studio) -> None:
    """Found by looking, set aside and named when it is used."""
    root = here.folder / "workspace" / "store"
    files = [path for path in root.rglob("*") if path.is_file() and _part_of(path, root)]
    assert len(files) > 50
    tables = {_part_of(path, root)[0] for path in files}
    assert {"traces", "scores", "students", "results"} <= tables
    for path in files:
        table, key = _part_of(path, root)
        content, status = path.read_bytes(), path.stat()
        for name, damage in DAMAGES.items():
            place = f"{path.relative_to(root)}, {name}"
            path.write_bytes(damage(content))
            found = integrity.check(Store(root, read_only=True), table, key)
            assert found is not None, place
            said: list[str] = []
            notes._SAID.clear()
            store = Store(root, warn=said.append, read_only=True)
            _use(store, table, key)
            assert any(f"{table}/{key[:12]}" in line for line in said), place
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert integrity.check(Store(root, read_only=True), table, key) is None


def _part_of(path: Path, root: Path) -> tuple[str, str]:
    """Table and key; empty for what belongs to no part."""
    table, *rest = path.relative_to(root).parts
    if table in ("sources", "quarantine", "catalogue") or rest[0].startswith("."):
        return ()  # type: ignore[return-value]
    return table, rest[0].partition(".")[0]


def _use(store: Store, table: str, key: str) -> None:
    part = store.find(table, key)
    if part is not None:  # a payload is hashed when it is used
        with pytest.raises(Damaged):
            store.payload(part)


def test_one_experiment_whose_model_is_gone_stops_nothing_about_the_others(
    here: Studio, capsys: Capture
) -> None:
    shutil.move(here.folder / "other", here.folder / "elsewhere")
    for command in (["status"], ["runs"]):
        code, said = asked(capsys, *command)
        assert code == 0
        assert "second" in said
        assert "cannot be opened" in said
        assert "study" in said
        assert str(here.folder / "other") in said
    code, said = asked(capsys, "sync")
    assert code == 2
    assert "second is not up to date in MLflow: " in said
    assert "study: 3 complete configurations are up to date" in said
    (here.folder / "workspace" / "rdpt.duckdb").unlink()
    for experiment in ("study", "second"):
        query = f"SELECT count(*) > 0 FROM configurations WHERE experiment = '{experiment}'"
        code, said = asked(capsys, "sql", query)
        assert code == 0
        assert "true" in said.splitlines()
    assert asked(capsys, "verify")[0] == 0
    assert asked(capsys, "run", "study.toml")[0] == 0


@pytest.mark.fault("F12")
@pytest.mark.parametrize("damage", ["garbled", "cut"])
def test_a_damaged_database_of_prefect_is_set_aside(tmp_path: Path, damage: str) -> None:
    """Its server would not start, and a run would wait for it for five minutes."""
    database = tmp_path / "prefect.db"
    said: list[str] = []
    notes = Notes(tmp_path / "quarantine", said.append)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE runs AS SELECT hex(randomblob(20000)) AS name")
    set_aside_if_damaged(database, notes)
    assert database.exists()
    database.write_bytes(DAMAGES[damage](database.read_bytes()))
    set_aside_if_damaged(database, notes)
    assert not list(tmp_path.glob("prefect.db*"))
    assert said[0].startswith(f"warning: {database} is damaged (")
    set_aside_if_damaged(database, notes)
    assert len(said) == 1


def test_gc_takes_nothing_of_an_experiment_that_lost_its_file(
    here: Studio, capsys: Capture
) -> None:
    workspace = here.folder / "workspace"
    for name in ("experiment.toml", "origin.json"):
        (workspace / "runs" / "second" / name).write_bytes(b"")
    assert asked(capsys, "verify", "--repair")[0] == 0
    assert not (workspace / "runs" / "second" / "origin.json").exists()
    before = sorted(workspace.glob("store/*/*.json"))
    code, said = asked(capsys, "gc")
    assert code == 2
    assert "runs/second" in said
    assert sorted(workspace.glob("store/*/*.json")) == before


def test_a_changed_digit_of_a_frozen_experiment_is_mended(here: Studio, capsys: Capture) -> None:
    """It would be another experiment under the same name."""
    frozen = here.folder / "workspace" / "runs" / "study" / "experiment.toml"
    text = frozen.read_text()
    frozen.write_text(text.replace("beta = 0.1", "beta = 0.2"))
    assert frozen.read_text() != text
    code, said = asked(capsys, "status")
    assert code == 0
    assert "is not the text that was run: it is ignored" in said
    code, said = asked(capsys, "resume", "study")
    assert code == 0
    assert "is not the text that was run: it is set aside" in said
    assert "up to date" in said
    assert frozen.read_text() == text
