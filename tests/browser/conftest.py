"""A report in a real Chromium, which this machine has to have: playwright brings none here.

Everything that a page must not do is recorded: requests, dialogs, errors, violations of its policy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from rdpt_core.report.bundle import Bundle
from rdpt_core.report.page import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
READY = 60_000
"""Milliseconds, on a machine that does other work."""
Scheme = Literal["light", "dark"]


@dataclass
class Opened:
    page: Page
    path: Path
    problems: list[str] = field(default_factory=list)

    def shown(self) -> str | None:
        """Id of the trace whose text is on the page."""
        return self.page.get_attribute("#pane-a", "data-shown")

    def chosen(self) -> str | None:
        """Id of the element of the sentence that is chosen: `a-` and its position."""
        return self.page.get_attribute("#a-text .chosen", "id")

    def wait_for(self, condition: str) -> None:
        """The page's policy forbids playwright's own way, which evaluates a string in it."""
        for _ in range(READY // 50):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {condition}")

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)


class Opening(Protocol):
    def __call__(
        self,
        bundle: Bundle,
        scheme: Scheme = "light",
        width: int = 1440,
        height: int = 900,
        fragment: str = "",
    ) -> Opened: ...


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine: none of {', '.join(NAMES)} is on PATH")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Opening]:
    opened: list[Opened] = []

    def opening(
        bundle: Bundle,
        scheme: Scheme = "light",
        width: int = 1440,
        height: int = 900,
        fragment: str = "",
    ) -> Opened:
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(write_page(bundle), encoding="utf-8")
        size: Any = {"width": width, "height": height}
        report = Opened(browser.new_page(viewport=size, color_scheme=scheme), path)
        opened.append(report)
        _record(report)
        report.page.goto(path.as_uri() + fragment)
        report.page.wait_for_selector("html[data-ready=all]", timeout=READY, state="attached")
        if bundle.traces.trace_id:
            report.page.wait_for_selector("#pane-a[data-shown]", timeout=READY, state="attached")
        return report

    yield opening
    for one in opened:
        one.page.close()
    assert [problem for one in opened for problem in one.problems] == []


def _record(report: Opened) -> None:
    page, problems = report.page, report.problems
    own = (report.path.as_uri(), "data:,")

    def asked(request: Request) -> None:
        if request.url.split("#")[0] not in own:
            problems.append(f"request: {request.url[:200]}")

    def opened(dialog: Dialog) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", asked)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda line: problems.append(f"console: {line.type}: {line.text}"))
    page.on("dialog", opened)
    page.on("popup", lambda _: problems.append("popup"))
    page.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))"
    )
