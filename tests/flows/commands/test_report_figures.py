"""`rdpt report --figures`: the figures of an experiment as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import cli
from rdpt_core.report.figures import every
from tests.flows.example_experiments import Studio


def test_figures_are_written_to_a_folder(
    here: Studio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(every, "FORMATS", ("svg",))
    assert cli.main(["report", "study", "--figures", "out"]) == 0
    files = {file.name for file in Path("out").iterdir()}
    assert {"overview-bench.svg", "accuracy-bench.svg", "shares-bench-wide.svg"} <= files
    assert f"out: {len(files)} files" in capsys.readouterr().out


@pytest.mark.parametrize("more", [("-o", "a.html"), ("--publish", "site"), ("--open",)])
def test_figures_and_a_page_exclude_each_other(
    here: Studio, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    assert cli.main(["report", "study", "--figures", "out", *more]) == 2
    assert "--figures writes no page" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(
    here: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").write_text("")
    assert cli.main(["report", "study", "--figures", "out"]) != 0
    assert "out: cannot be written" in capsys.readouterr().err
