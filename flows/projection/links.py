"""Links of MLflow's pages to each other, as templates of Markdown (see tasks/projection.py)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flows.projection.pictures import REPORT

RUN = "#/experiments/$experiment/runs/$run_{}?workflowType=machine_learning"
FILE = "#/experiments/$experiment/runs/$run_{}/artifacts/{}?workflowType=machine_learning"
IMAGE = "get-artifact?path={}&run_uuid=$run_{}"
CHARTS = (
    "#/experiments/$experiment/runs?workflowType=machine_learning"
    "&viewStateShareKey=comparison&compareRunsMode=CHART"
)


def report_of(study: str, files: Iterable[str]) -> list[str]:
    return [f"[report]({FILE.format(study, name)})" for name in files if name == REPORT]


def figures_of(run: str, files: Iterable[str]) -> list[str]:
    """MLflow shows an image of a page from a run's files."""
    return [f"![]({IMAGE.format(name, run)})" for name in files if name.endswith(".png")]


def plain(name: str) -> str:
    """A name as text: nothing in it is markup, or a place in the template."""
    return in_template(re.sub(r"([|<>\[\]`\\])", r"\\\1", name))


def in_template(text: str) -> str:
    return text.replace("$", "$$")
