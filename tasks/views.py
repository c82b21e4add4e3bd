"""The named views of MLflow's runs page: from `mlflow/views/*.toml` to the tags that hold them.

MLflow's runs table shows no metric until the user picks columns. A view appears in the page's menu
"Views" if the experiment has a tag `mlflow.sharedViewState.<key>`. MLflow's client has
no call for it, so the tag is packed here as the page packs it.
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
    """Tag to value, one tag per view. The page shows `created`, in milliseconds, as its date."""
    tags = {}
    for path in view_files():
        view = tomllib.loads(path.read_text(encoding="utf-8"))
        value = {
            "name": view["title"],
            "createdAt": created,
            "updatedAt": created,
            "state": packed(state_of(view)),
        }
        tags[TAG + path.stem] = json.dumps(value)
    return tags


def view_files() -> list[Path]:
    """View files of a checkout, otherwise those of an installed wheel."""
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
    """The page's own state format, with the view's columns, order and charts."""
    state = {
        "searchFilter": view.get("filter", ""),
        "orderByKey": quoted(view["order_by"]),
        "orderByAsc": bool(view.get("ascending", False)),
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [quoted(column) for column in view["columns"]],
        "columnOrder": [quoted(column) for column in view["columns"]],
        "columnWidths": {quoted(c): width for c, width in view.get("widths", {}).items()},
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
        "runListHidden": True,  # next to charts, which then have the page's width
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }
    return state | charts_of(view)


def charts_of(view: dict[str, Any]) -> dict[str, Any]:
    """Sections of the page's charts. MLflow adds all other metrics, in sections named by the
    metric's key up to its last `/`; those in `folded` are closed. A chart of several metrics draws
    the second with dashes."""
    sections = view.get("sections", [])
    if not sections:
        return {}
    folded = [_section(name, name, False) for name in view.get("folded", [])]
    return {
        "compareRunSections": [
            *(_section(s["title"], s["title"], True, s.get("columns", 2)) for s in sections),
            *folded,
        ],
        "compareRunCharts": [
            _chart([metrics] if isinstance(metrics, str) else metrics, kind, section["title"])
            for section in sections
            for kind in ("line", "bar")
            for metrics in section.get(f"{kind}s", [])
        ],
        "isAccordionReordered": True,  # otherwise sections are sorted by name
    }


def _section(uuid: str, name: str, shown: bool, columns: int = 3) -> dict[str, Any]:
    return {
        "columns": columns,
        "uuid": uuid,
        "name": name,
        "display": shown,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
    }


def _chart(metrics: list[str], kind: str, section: str) -> dict[str, Any]:
    """One chart of all configurations, with the metrics' keys as title; a line's x is the step."""
    chart = {
        "uuid": metrics[0],
        "type": kind.upper(),
        "metricSectionId": section,
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
    }
    line = {
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
    return chart | line if kind == "line" else chart


def quoted(column: str) -> str:
    """`metrics.accuracy` as the page writes it: metrics.`accuracy`."""
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`" if name else column


def packed(state: dict[str, Any]) -> str:
    text = json.dumps(state, separators=(",", ":")).encode()
    return "deflate;" + base64.b64encode(zlib.compress(text)).decode()
