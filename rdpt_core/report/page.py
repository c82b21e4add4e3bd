"""The report: one HTML file that opens from disk, asks for nothing else and runs no other script.

`page/` holds its template, style and JavaScript. A content-security policy admits this script and
this style by their hashes and nothing else, so a text of a model cannot run whatever it says; and
the script shows texts only as text.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rdpt_core.report.bundle import Bundle
from rdpt_core.report.encoding import encoded

SCRIPTS = (
    "dom.js",
    "data.js",
    "rule.js",
    "state.js",
    "overview.js",
    "curves.js",
    "strip.js",
    "text.js",
    "detail.js",
    "pane.js",
    "trace.js",
    "training.js",
    "whatif.js",
    "filters.js",
    "table.js",
    "telling.js",
    "differences.js",
    "selection.js",
    "numbers.js",
    "keys.js",
    "main.js",
)
"""One scope, in this order: what runs at once uses only what stands above it."""


def write_page(bundle: Bundle) -> str:
    script = '(() => {\n"use strict";\n' + "".join(_file(name) for name in SCRIPTS) + "})();\n"
    style = _file("report.css")
    data = encoded(bundle)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(_file("report.html.j2")).render(
        experiment=_without_surrogates(bundle.experiment),
        policy=policy(script, style),
        # Escaped by `encoding`, or files of ours without a closing tag in them.
        style=Markup(style),
        script=Markup(script),
        small=Markup(data.small),
        columns=Markup(data.columns),
        blocks=[Markup(block) for block in data.blocks],
        training=Markup(data.training),
    )


def policy(script: str, style: str) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",  # the empty icon, without which a browser asks the host for one
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _file(name: str) -> str:
    return files("rdpt_core.report").joinpath("page", name).read_text(encoding="utf-8")


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
