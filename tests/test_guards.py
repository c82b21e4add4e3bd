"""What no source file may do: read pickles, load a model's code, or be excused from these rules."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

PACKAGES = ("flows", "tasks", "rdpt_core", "settings")
TREES = {
    file: ast.parse(file.read_text())
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
}
UNPICKLING = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
LOADS = re.compile(r"(torch|np|numpy|pd|pandas)\.(load|read_pickle)")
RULES = {"S102", "S113", "S301", "S302", "S307", "S501", "S506", "S602", "S605", "S701"}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def keywords(call: ast.Call, tree: ast.AST) -> dict[str, str]:
    """Named arguments of a call as source, with those of dictionaries that it spreads by name."""
    found = {one.arg: ast.unparse(one.value) for one in call.keywords if one.arg}
    spread = {ast.unparse(one.value) for one in call.keywords if one.arg is None}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in spread:
            assert isinstance(node.value, ast.Dict)
            keys = [ast.literal_eval(key) for key in node.value.keys if key]
            found |= dict(zip(keys, map(ast.unparse, node.value.values), strict=True))
    return found


def reads(what: str) -> list[tuple[str, dict[str, str]]]:
    """Calls of transformers that read a folder: where, and with which arguments."""
    return [
        (f"{file}:{call.lineno}", keywords(call, tree))
        for file, tree in TREES.items()
        for call in calls(tree)
        if re.fullmatch(rf"{what}\.from_pretrained", ast.unparse(call.func))
    ]


@pytest.mark.fault("X1")
def test_x1_every_load_of_a_model_says_that_no_code_runs() -> None:
    found = reads(r"Auto\w+")
    assert len(found) >= 5
    assert [at for at, given in found if given.get("trust_remote_code") != "False"] == []


@pytest.mark.fault("X1", "X2")
def test_x1_every_load_of_weights_takes_safetensors_alone() -> None:
    found = reads("AutoModelForCausalLM")
    assert len(found) >= 2
    assert [at for at, given in found if given.get("use_safetensors") != "True"] == []


@pytest.mark.fault("X2")
def test_x2_no_module_unpickles() -> None:
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(one.name for one in node.names)]
                assert not {name.split(".")[0] for name in names} & UNPICKLING, file
        loads = [call for call in calls(tree) if LOADS.fullmatch(ast.unparse(call.func))]
        assert not loads, f"{file}:{loads[0].lineno}"


@pytest.mark.fault("X2", "X11")
def test_the_linter_refuses_pickles_evaluation_and_shells_and_nothing_is_excused() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert set(lint["select"]) >= RULES
    assert not RULES & {*lint["ignore"], *lint.get("per-file-ignores", {})}
    excused = re.compile(r"noqa:[^\n]*\b(S\d{3})\b")
    found = {code for file in TREES for code in excused.findall(file.read_text())}
    assert not found & RULES
