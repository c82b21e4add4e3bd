"""The named views of MLflow's runs page: from `mlflow/views/*.toml` to the tags that hold them.

MLflow's runs table shows no metric until somebody picks columns. A view stands in the page's menu
"Views" when the experiment has a tag `mlflow.sharedViewState.<key>`.
"""

from __future__ import annotations

import base64
import json
import sys
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TAG = "mlflow.sharedViewState."
SHIPPED = Path("mlflow") / "views"
INSTALLED = Path("share") / "rdpt" / "mlflow" / "views"


def view_tags(created: int) -> dict[str, str]:
    """Tag to value, one for each view. `created` in milliseconds is shown as the view's date."""
    tags = {}
    for path in view_files():
        view = tomllib.loads(path.read_text(encoding="utf-8"))
        value = {"name": view["title"], "createdAt": created, "updatedAt": created,
                 "state": packed(state_of(view))}  # fmt: skip
        tags[TAG + path.stem] = json.dumps(value)
    return tags


def view_files() -> list[Path]:
    """Those of a checkout, else those of an installed wheel."""
    for folder in _folders():
        if folder.is_dir():
            return sorted(folder.glob("*.toml"))
    return []


def _folders() -> Iterator[Path]:
    beside = Path(__file__).resolve().parents[1]
    yield beside / SHIPPED
    yield beside / INSTALLED  # of `pip install --target`
    yield Path(sys.prefix) / INSTALLED


def state_of(view: dict[str, Any]) -> dict[str, Any]:
    """What the page keeps of itself, with the view's columns and order."""
    return {
        "searchFilter": view.get("filter", ""),
        "orderByKey": quoted(view["order_by"]),
        "orderByAsc": bool(view.get("ascending", False)),
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [quoted(column) for column in view["columns"]],
        "columnOrder": [quoted(column) for column in view["columns"]],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsHiddenMode": "FIRST_10_RUNS",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "isAccordionReordered": False,
        "autoRefreshEnabled": True,
        "viewMaximized": False,
        "globalLineChartConfig": {
            "xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": "",
        },
    }  # fmt: skip


def quoted(column: str) -> str:
    """`metrics.accuracy` as the page writes it: metrics.`accuracy`."""
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`" if name else column


def packed(state: dict[str, Any]) -> str:
    text = json.dumps(state, separators=(",", ":")).encode()
    return "deflate;" + base64.b64encode(zlib.compress(text)).decode()
