"""`rdpt init`: each file loads as it is, and plans once its placeholders name real things."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from flows import cli
from flows.workspace import open_file
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec
from settings.loading import parse_experiment
from settings.runtime import Runtime
from tests.core.models import tiny
from tests.core.models.serving.model_server import Brain, StandInServer
from tests.flows.recorded_requests import output_of, refused

Capture = pytest.CaptureFixture[str]
CASES = ("traces", "models", "distilled", "server")
OPTIONAL = re.compile(r"^# (?=\[|(?!distilled_adapter)[a-z_]+ = )", re.MULTILINE)
"""Before keys and tables to use; an adapter would take the place of a key that is there."""
TABLES = {
    "traces": {"selection"},
    "models": {"selection", "students", "traces"},
    "distilled": {"traces", "provenance"},
    "server": {"selection", "traces"},
}
"""What a case's plan has to build."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("teacher", "student", "distilled")):
        tiny.make_qwen(folder / name, seed=seed)
    return folder


@pytest.fixture
def place(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every placeholder of a template is a real thing."""
    shutil.copytree(models, tmp_path / "models")
    for name, start in (("problems", 0), ("benchmark", 100)):
        rows = [
            {"problem": f"How much is {n} and 1?", "answer": f"{n + 1}"}
            for n in range(start, start + 4)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    traces = [{"problem": "How much is 1 and 1?", "trace": "It is 2.", "answer": "2"}]
    (tmp_path / "traces.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in traces))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_template_loads_as_it_is_and_with_its_optional_keys(
    case: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert output_of(capsys, "init", case) == ""
    file = Path(f"my-{case}.toml")
    opened = open_file(file, Runtime(workspace=tmp_path / "workspace"))
    assert opened.experiment.name == f"my-{case}"
    text = OPTIONAL.sub("", file.read_text())
    assert text.count("\n# ") < file.read_text().count("\n# ")
    assert parse_experiment(text, file).name == f"my-{case}"


@pytest.mark.parametrize("case", CASES)
def test_a_filled_template_plans(
    case: str, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["init", case, "-o", "study.toml"]) == 0
    assert "rdpt plan study.toml" in capsys.readouterr().err
    text = Path("study.toml").read_text()
    Path("study.toml").write_text(re.sub(r"^# thinking", "thinking", text, flags=re.M))
    if case != "server":
        assert planned(capsys) >= TABLES[case]
        return
    brain = Brain(load(ModelSpec(path="models/teacher"), place, threads=1))
    with StandInServer(brain, limit=8192).running() as running:
        servers = {"lab": {"url": running.url}}
        monkeypatch.setenv("RDPT_SERVERS", json.dumps(servers))
        served = Path("study.toml").read_text().replace('# served = "name"', 'served = "small"')
        Path("study.toml").write_text(served)
        assert planned(capsys) >= TABLES[case]


def planned(capsys: Capture) -> set[str]:
    document = json.loads(output_of(capsys, "plan", "study.toml", "--json"))
    return {one["table"] for one in document["tables"] if one["state"] != "cached"}


def test_a_file_that_is_there_is_left_alone(capsys: Capture, place: Path) -> None:
    Path("my-traces.toml").write_text("mine")
    assert "is there already" in refused(capsys, "init")
    assert Path("my-traces.toml").read_text() == "mine"


@pytest.mark.usefixtures("place")
def test_a_mistake_is_named(capsys: Capture) -> None:
    assert "'traces', 'models', 'distilled' or 'server'" in refused(capsys, "init", "trace")
    assert "name: " in refused(capsys, "init", "-o", "my study.toml")
    assert "cannot be written" in refused(capsys, "init", "-o", "nowhere/study.toml")


def test_a_template_can_be_read_without_a_file(capsys: Capture, place: Path) -> None:
    before = sorted(place.iterdir())
    assert 'name = "models"' in output_of(capsys, "init", "models", "-o", "-")
    assert sorted(place.iterdir()) == before
