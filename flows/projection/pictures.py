"""The report and the figure of all configurations, as files of MLflow's runs.

Both are made of the report's bundle, which reads the whole experiment: once, when a run has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.report.bundle import gather
from flows.report.files import update
from flows.workspace import Opened
from rdpt_core.report.bundle import Bundle
from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.every import file_name
from rdpt_core.report.figures.overview import overview
from rdpt_core.report.figures.style import SCREEN, save

REPORT = "report.html"
MAX_COPIED = 1_000_000
"""Bytes of a report that every run gets; a larger one is a file of the study's run alone."""
WIDTH = 598
"""Pixels: MLflow's pages show an image in its own size, and cut what is wider than the page."""


@dataclass(frozen=True)
class Pictures:
    """What is to be looked at, of one experiment."""

    report: bytes | None
    bundle: Bundle

    def of_study(self) -> dict[str, bytes]:
        """The report; a figure for each benchmark."""
        return {**({REPORT: self.report} if self.report else {}), **self._figures(None)}

    def of_configuration(self, name: str) -> dict[str, bytes]:
        """The same, with the curves and differences of one configuration."""
        small = self.report is not None and len(self.report) <= MAX_COPIED
        report = {REPORT: self.report} if small and self.report else {}
        return {**report, **self._figures(name)}

    def _figures(self, name: str | None) -> dict[str, bytes]:
        return {
            f"{file_name('overview', benchmark)}.png": save(
                overview(compared(self.bundle, benchmark), name), "png", round(WIDTH / SCREEN)
            )
            for benchmark in self.bundle.benchmarks
        }


def pictures_of(opened: Opened) -> Pictures:
    """Writes the workspace's report, too, where it is not current. Raises Damaged where a part does
    not hold."""
    bundle = gather(opened)
    path = update(opened, bundle)
    return Pictures(path.read_bytes() if path is not None else None, bundle)
