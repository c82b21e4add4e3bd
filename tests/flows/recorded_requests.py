"""Commands that must fail, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import cli


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error message of a command that must fail."""
    before = files()
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert files() == before
    assert "Traceback" not in captured.err
    return captured.err


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a verb writes to stdout."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == code
    return capsys.readouterr().out


def files() -> list[Path]:
    return sorted(path for path in Path().rglob("*") if path.is_file())
