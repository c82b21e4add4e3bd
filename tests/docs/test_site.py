"""The site builds without a warning, its reference is complete, and no link leads nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mkdocs.utils.yaml import yaml_load
from pydantic import BaseModel

from docs.hooks import fields, reference
from flows.cli import VERBS
from settings.experiment import Experiment
from settings.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, *sorted(ROOT.glob("*.md")), ROOT / "mlflow/README.md", ROOT / "perf/README.md"]
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """Pages of the reference, as the hook writes them."""
    return reference.pages()


def test_the_site_is_built_strictly(tmp_path: Path, written: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {page.stem for page in (tmp_path / "reference").iterdir()} == set(written)
    fetched = re.findall(
        r"""<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)""",
        "".join(page.read_text() for page in tmp_path.rglob("*.html")),
    )
    assert fetched == [], "a page loads something from elsewhere"


def test_the_navigation_holds_every_page(written: dict[str, str]) -> None:
    with (ROOT / "mkdocs.yml").open() as file:
        named = list(_leaves(yaml_load(file)["nav"]))
    generated = {f"reference/{name}.md" for name in written}
    assert sorted(named) == sorted({*(str(page.relative_to(DOCS)) for page in PAGES), *generated})


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path, written: dict[str, str]) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if target.parent == DOCS / "reference":
            text = written[target.stem]
        else:
            assert target.exists(), f"{page.name} links to {link}"
            text = target.read_text() if heading else ""
        assert not heading or heading in set(_headings(text)), f"{page.name} links to {link}"


def test_every_verb_has_its_help(written: dict[str, str]) -> None:
    for name, verb in VERBS.items():
        assert f"## rdpt {name}\n" in written["verbs"]
        assert re.search(rf"^usage: rdpt {name}\b", written["verbs"], re.MULTILINE), verb.place


@pytest.mark.parametrize(
    ("page", "model"), [("experiment", Experiment), ("machine", Runtime)], ids=str
)
def test_every_key_has_a_row(page: str, model: type[BaseModel], written: dict[str, str]) -> None:
    for inner in _models(model, set()):
        (section,) = re.findall(
            rf"^## [^\n]* {{ #{fields.anchor(inner)} }}$(.*?)(?=^## |\Z)",
            written[page],
            re.DOTALL | re.MULTILINE,
        )
        keys = {
            key.removeprefix("RDPT_").lower() for key in re.findall(r"^\| `(\w+)`", section, re.M)
        }
        assert keys == set(inner.model_fields), inner


def test_a_key_has_its_type_bounds_default_and_note(written: dict[str, str]) -> None:
    rows = {
        "experiment": (
            "| `beta` | number, above 0, below 1 | `0.1` | Teacher: the teacher's probability",
            '| `grader` | `"math"`, `"choice"`, `"exact"`, `"none"` | `"math"` | `math`: the',
            "| `limit` | integer, at least 1 | required | The generator has no end",
            "| `path` | text | required | Relative to the experiment's folder. |",
        ),
        "machine": (
            "| `RDPT_THREADS` | integer, at least 1, at most 512 | `1` | Torch threads of a worker",
            "| `RDPT_WORKERS` | integer, at least 1, at most 64 | depends on the machine | Parts",
        ),
    }
    missing = [row for page in rows for row in rows[page] if row not in written[page]]
    assert missing == []


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(entry)


def _headings(text: str) -> Iterator[str]:
    """Anchors as GitHub and mkdocs derive them, and those that a heading names itself."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        title, _, own = heading.partition("{ #")
        slug = re.sub(r"[^\w\- ]", "", title.strip().lower())
        yield own.removesuffix(" }") if own else slug.replace(" ", "-")


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for inner in fields.models_in(field.annotation):
            yield from _models(inner, seen)
