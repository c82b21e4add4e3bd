"""What README and guides promise: commands that exist, files that load, sums that are right."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mkdocs.utils.yaml import yaml_load

from flows.cli import VERBS
from rdpt_core import __version__
from settings.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
VERB = re.compile(r"(?:^|[|;&(]) *(?:\./)?rdpt ([a-z]+)\b", re.MULTILINE)
TARGET = re.compile(r"^make (\w+)", re.MULTILINE)
EXPERIMENTS = re.compile(
    r"^(?:```toml|cat > \S+ <<'?EOF'?)\n(name = \"\w+\"\n.*?)^(?:```|EOF)$",
    re.DOTALL | re.MULTILINE,
)
INPUTS = ("markdown", "textarea", "input", "dropdown", "checkboxes")


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_verb_and_target_exists(text: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = _typed(text.read_text())
    assert set(VERB.findall(typed)) <= set(VERBS)
    assert set(TARGET.findall(typed)) <= targets


def _typed(text: str) -> str:
    """What a reader may type: blocks of commands, indented lines and inline code."""
    blocks = [block for language, block in FENCE.findall(text) if language in ("", "bash")]
    rest = FENCE.sub("", text)
    return "\n".join(
        [*blocks, *re.findall(r"^ {4}(.+)$", rest, re.MULTILINE), *INLINE.findall(rest)]
    )


@pytest.mark.parametrize("text", [README, ROOT / "docs" / "models.md"], ids=lambda path: path.stem)
def test_every_experiment_shown_is_valid(text: Path) -> None:
    shown = EXPERIMENTS.findall(text.read_text())
    assert shown
    for experiment in shown:
        Experiment.model_validate(tomllib.loads(experiment))


@pytest.mark.parametrize("page", ["cost.md", "scale.md"])
def test_the_tables_of_costs_are_what_their_script_prints(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(run.stdout.splitlines()) <= set(text.splitlines())
    assert len(run.stdout.splitlines()) > 10


def test_the_citation_is_of_this_version() -> None:
    with (ROOT / "CITATION.cff").open() as file:
        citation = yaml_load(file)
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    paper = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert [citation["references"][0]["url"]] == list(paper.values())


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_well_formed(form: Path) -> None:
    with form.open() as file:
        fields: dict[str, Any] = yaml_load(file)
    assert {"name", "description", "body"} <= set(fields)
    ids = [block["id"] for block in fields["body"]]
    assert len(ids) == len(set(ids))
    for block in fields["body"]:
        assert block["type"] in INPUTS
        assert block["attributes"]["label"]
    verbs = re.findall(r"`rdpt (\w+)", form.read_text())
    assert set(verbs) <= set(VERBS)
