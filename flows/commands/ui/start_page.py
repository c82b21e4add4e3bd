"""The page that `rdpt ui` opens: the report of the only experiment, or a list of all reports."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment

from flows.report.files import REPORTS
from rdpt_core.files.replacing import replacing

NAME = "start.html"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Experiments</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid #8888 }
</style>
<h1>Experiments</h1>
<table>
<tr><th>report<th>result<th>in MLflow
{%- for one in reports %}
<tr><td><a href="{{ one.file }}">{{ one.name }}</a><td>{{ one.result }}<td>
{%- if one.comparison %}<a href="{{ one.comparison }}">comparison</a>{% endif %}
{%- endfor %}
</table>
</html>
"""


def start_page(workspace: Path, results: Mapping[str, tuple[str, str]]) -> Path | None:
    """The page; None where there is no report. `results` maps an experiment to its result in words
    and the address of its comparison."""
    reports = sorted((workspace / REPORTS).glob("*.html"))
    if len(reports) < 2:
        return reports[0] if reports else None
    rows = [
        dict(
            zip(
                ("file", "name", "result", "comparison"),
                (f"{REPORTS}/{quote(path.name)}", path.stem, *results.get(path.stem, ("", ""))),
                strict=True,
            )
        )
        for path in reports
    ]
    path = workspace / NAME
    with replacing(path, durable=False) as new:
        new.write_text(Environment(autoescape=True).from_string(PAGE).render(reports=rows))
    return path


def open_page(path: Path) -> bool:
    """False where there is no screen, or no browser."""
    has_screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return has_screen and webbrowser.open(path.resolve().as_uri())
