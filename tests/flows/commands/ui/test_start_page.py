"""The page that `rdpt ui` opens."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest

from flows.commands.ui.start_page import open_page, start_page


def reports(workspace: Path, *names: str) -> Path:
    (workspace / "reports").mkdir()
    for name in names:
        (workspace / "reports" / f"{name}.html").write_text("a report")
    return workspace


def test_the_only_report_is_the_page_and_without_one_there_is_none(tmp_path: Path) -> None:
    assert start_page(tmp_path, {}) is None
    assert start_page(reports(tmp_path, "pocket"), {}) == tmp_path / "reports" / "pocket.html"


def test_several_reports_are_a_list_with_their_results(tmp_path: Path) -> None:
    found = {"pocket": ("random 0.7", "http://127.0.0.1:5000/#/experiments/1?a=b&c=d")}
    page = start_page(reports(tmp_path, "pocket", "a b&c"), found)
    assert page is not None
    text = page.read_text()
    assert '<a href="reports/pocket.html">pocket</a><td>random 0.7' in text
    assert 'href="http://127.0.0.1:5000/#/experiments/1?a=b&amp;c=d">comparison' in text
    assert '<a href="reports/a%20b%26c.html">a b&amp;c</a>' in text


def test_without_a_screen_nothing_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not open_page(tmp_path / "x.html")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_page(tmp_path / "x.html")
    assert opened == [(tmp_path / "x.html").as_uri()]
