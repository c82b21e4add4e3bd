"""The public names of `rdpt_core`: each has an example that holds, and none costs an import."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import rdpt_core
from rdpt_core import api
from rdpt_core.store.parts import Store
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Label, Outcome
from tests.core.report.exports import write_export


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `workspace` with one part of `grades`, and an export, in the current folder."""
    row = Grade("t", Outcome.CORRECT, "7")
    Store(tmp_path / "workspace" / "store").commit(Grade, Recipe("grades", 1, {}, {}), [row])
    write_export(tmp_path / "pocket.duckdb", {"t": (Outcome.CORRECT, [Label.TEACHER])})
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", rdpt_core.__all__)
def test_a_public_name_does_what_its_example_says(name: str, workspace: None) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(rdpt_core, name), name)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_the_list_of_names_in_the_module_is_complete() -> None:
    lines = [line for line in str(api.__doc__).splitlines() if "from rdpt_core import" in line]
    names = [line.split(" import ")[1].split(", ") for line in lines]
    assert all(sorted(of_line) == of_line for of_line in names)
    assert {name for of_line in names for name in of_line} == set(rdpt_core.__all__)


def test_importing_the_package_imports_nothing_that_computes() -> None:
    script = (
        "import sys, rdpt_core; assert 'numpy' not in sys.modules; "
        "rdpt_core.segment; print(*sys.modules)"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "torch" not in found.stdout.split()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segments'"):
        rdpt_core.segments  # noqa: B018


def test_an_unknown_table_is_named(workspace: None) -> None:
    with pytest.raises(ValueError, match="no table is named 'grade'"):
        api.read("workspace", "grade")
