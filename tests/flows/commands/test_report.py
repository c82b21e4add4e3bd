"""`rdpt report`: where the page goes, and what is printed."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from flows import cli
from flows.workspace import Opened
from tests.flows.recorded_requests import refused


def test_the_last_run_goes_into_the_workspace_and_its_address_is_printed(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report"]) == 0
    path = study.runtime.workspace / "reports" / "study.html"
    assert capsys.readouterr().out == f"{path.resolve().as_uri()}\n"
    assert path.read_text().startswith("<!doctype html>")


def test_output_goes_to_a_file_or_to_stdout(
    study: Opened, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "with space.html"
    assert cli.main(["report", "study", "-o", str(path)]) == 0
    assert capsysbinary.readouterr().out == f"{path.as_uri()}\n".encode()
    assert b"with%20space" in path.as_uri().encode()
    assert cli.main(["report", "study", "-o", "-"]) == 0
    assert capsysbinary.readouterr().out == path.read_bytes()


def test_a_folder_is_published(study: Opened, tmp_path: Path) -> None:
    assert cli.main(["report", "--publish", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site" / "index.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "site" / ".nojekyll").read_bytes() == b""


def test_it_opens_in_the_browser(
    study: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def refuse(url: str) -> bool:
        asked.append(url)
        return False

    monkeypatch.setattr(webbrowser, "open", refuse)
    assert cli.main(["report", "--open"]) == 0
    shown = capsys.readouterr()
    assert asked == [shown.out.strip()]
    assert "no browser could be opened" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "x.html", "--publish", "site"), "exclude each other"),
        (("-o", "-", "--open"), "--open needs a file"),
        (("nothing",), "nothing"),
    ],
)
def test_what_contradicts_itself_is_refused(
    study: Opened,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    assert words in refused(capsys, "report", *arguments)


def test_a_place_that_cannot_be_written_is_named(
    study: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    message = refused(capsys, "report", "-o", str(tmp_path / "file" / "report.html"))
    assert f"{tmp_path / 'file'}" in message
    assert "cannot be written" in message


def test_nothing_heavy_is_imported_for_a_page(study: Opened) -> None:
    script = (
        "import sys; from flows import cli; cli.main(['report', '-o', 'light.html']); "
        "print(*{'torch', 'prefect', 'mlflow'} & set(sys.modules), file=sys.stderr)"
    )
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )
    assert found.stderr.strip() == ""
