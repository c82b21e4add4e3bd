"""What the doctor finds, and that each finding comes with what to do."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from flows import cli
from tests.core.models import tiny
from tests.flows.example_experiments import PLAIN, STUDY

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def study(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RDPT_THREADS", "1")
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(elsewhere / name, seed=seed)
    (elsewhere / "study.toml").write_text(STUDY.format(**PLAIN))
    return elsewhere


def lines(capsys: Capture, *arguments: str, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert cli.main(["doctor", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def test_a_sound_machine_and_study_pass_and_nothing_is_written(
    study: Path, capsys: Capture
) -> None:
    before = sorted(study.rglob("*"))
    said = lines(capsys, "study.toml")
    assert not [line for line in said if line.startswith("fail")]
    for what in (
        "packages",
        "disk",
        "writing",
        "file locks",
        "port 5000",
        "device",
        "threads",
        "model teacher",
        "model student",
        "  context",
        "  dtype",
    ):
        assert any(line[6:].startswith(what) for line in said), what
    assert sorted(study.rglob("*")) == before


def test_a_model_that_is_not_there_fails_with_its_name(study: Path, capsys: Capture) -> None:
    (study / "teacher").rename(study / "moved")
    said = lines(capsys, "study.toml", code=2)
    (failed,) = [line for line in said if line.startswith("fail")]
    assert "model teacher" in failed
    assert said[said.index(failed) + 1].strip().startswith("->")


def test_delimiters_that_nobody_declared_fail_where_a_thought_is_to_be_laid(
    study: Path, capsys: Capture
) -> None:
    shutil.rmtree(study / "student")
    tiny.make_llama(study / "student", template=None)
    text = (study / "study.toml").read_text()
    text = text.replace('thinking = "none"', 'thinking = {open = "<think>", close = "</think>"}', 1)
    text = text.replace('thinking = "none"\n', "")
    (study / "study.toml").write_text(text)
    said = lines(capsys, "study.toml", code=2)
    (failed,) = [line for line in said if line.startswith("fail")]
    assert "no delimiters" in failed
    assert 'thinking = "none"' in said[said.index(failed) + 1]


def test_variables_of_a_template_that_nobody_set_are_named(study: Path, capsys: Capture) -> None:
    source = "{% if thinking is defined and thinking %}{% endif %}{{ effort | default('') }}"
    for name in ("teacher", "student"):
        (study / name / "chat_template.jinja").write_text(tiny.CHATML + source)

    def variables(teacher: str = "") -> list[str]:
        text = STUDY.format(**PLAIN)
        (study / "study.toml").write_text(
            text.replace('path = "teacher"', f'path = "teacher"{teacher}')
        )
        said = lines(capsys, "study.toml")
        return [line for line in said if line[6:].startswith("  variables")]

    assert [line.split("not set: ")[1] for line in variables()] == ["effort, thinking"] * 2
    first, _ = variables('\ntemplate = { thinking = true, effort = "high" }')
    assert 'thinking = true, effort = "high"' in first
    assert "not set" not in first
    first, _ = variables("\nthink = false")
    assert "does not read enable_thinking" in first


def test_a_context_that_traces_may_exceed_is_warned_of(study: Path, capsys: Capture) -> None:
    config = json.loads((study / "student" / "config.json").read_text())
    config["max_position_embeddings"] = 5
    (study / "student" / "config.json").write_text(json.dumps(config))
    warned = [line for line in lines(capsys, "study.toml") if line.startswith("warn")]
    assert any("5 tokens; traces may have 6" in line for line in warned)
    del config["max_position_embeddings"]
    (study / "student" / "config.json").write_text(json.dumps(config))
    said = lines(capsys, "study.toml", code=2)
    assert any("states no max_position_embeddings" in line for line in said)


def test_a_port_in_use_is_warned_of_with_the_flag_that_helps(
    elsewhere: Path, capsys: Capture
) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 5000))
            taken.listen()
        except OSError:
            pass  # somebody else has it: the finding is the same
        said = lines(capsys)
    (warned,) = [line for line in said if "port 5000" in line]
    assert warned.startswith("warn")
    assert "--mlflow-port 5001" in said[said.index(warned) + 1]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_fails(elsewhere: Path, capsys: Capture) -> None:
    (elsewhere / "workspace").mkdir(mode=0o500)
    said = lines(capsys, code=2)
    assert any(line.startswith("fail") and "writing" in line for line in said)
