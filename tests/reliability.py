"""docs/reliability.md: what rdpt promises to survive, the tests of it, and what they found.

Three things come together here: `reliability.toml` says what each fault is and what has to come
out, marks in the tests (`@pytest.mark.fault("F01", "F03")`) say who tests it, and
`reliability.json` keeps what each marked test last found. `python -m tests.reliability REPORT...`
adds the results of JUnit reports and writes the page; without a report it only writes the page
again, as after a new mark. Marks are read from the source, so this takes a second.
"""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ROOT / "tests/reliability.toml"
RESULTS = ROOT / "tests/reliability.json"
PAGE = ROOT / "docs/reliability.md"

HEAD = """# Reliability

What can go wrong while rdpt runs (F) or be done to it on purpose (X), what has to come out, and
the tests of it. Every committed part survives all of them: work in flight may run twice, its
effect is there once. How this works is in [design.md](design.md).

`make reliability` runs these tests and writes this page from their results; do not edit it.
*Found* is what a test measured, and how many of its cases passed in how many seconds.
"""


@dataclass(frozen=True)
class Fault:
    """An entry of `reliability.toml`."""

    fault: str
    expected: str
    open: str = ""
    """What of the expectation no test covers, and why; empty where nothing is left."""


@dataclass(frozen=True)
class Result:
    """What one marked test, in all of its cases, found when it last ran."""

    date: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    figures: tuple[str, ...] = ()
    """Values of `record_property("figure", ...)`, of all cases."""

    def __str__(self) -> str:
        cases = f"{self.passed} passed" if self.passed else ""
        failed = f"**{self.failed} failed**" if self.failed else ""
        skipped = f"{self.skipped} skipped" if self.skipped else ""
        counts = ", ".join(filter(None, (cases, failed, skipped)))
        return "; ".join((*self.figures, f"{counts} in {self.seconds:.1f} s"))

    def joined(self, other: Result) -> Result:
        """Both as one: cases of the same test."""
        return Result(
            max(self.date, other.date),
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.seconds + other.seconds,
            tuple(dict.fromkeys((*self.figures, *other.figures))),
        )


def faults() -> dict[str, Fault]:
    """All faults by their id, in the order of the page."""
    return {name: Fault(**entry) for name, entry in tomllib.loads(FAULTS.read_text()).items()}


def marked() -> dict[str, tuple[str, ...]]:
    """Ids of the faults that each marked test names, by `path::function`."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {test: ids for file in files for test, ids in _marks_of(file)}


def _marks_of(file: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Marked tests of a file; `pytestmark = pytest.mark.fault(...)` counts for all of them."""
    body = ast.parse(file.read_text()).body
    assigned = [node for node in body if isinstance(node, ast.Assign)]
    of_all = [mark.value for mark in assigned if ast.unparse(mark.targets[0]) == "pytestmark"]
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            ids = tuple(name for mark in (*of_all, *node.decorator_list) for name in _ids(mark))
            if ids:
                yield f"{file.relative_to(ROOT).as_posix()}::{node.name}", ids


def _ids(mark: ast.expr) -> tuple[str, ...]:
    if isinstance(mark, ast.List):
        return tuple(name for element in mark.elts for name in _ids(element))
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
        return tuple(str(ast.literal_eval(argument)) for argument in mark.args)
    return ()


def read_results() -> dict[str, Result]:
    """Last results by test; empty before the first run."""
    if not RESULTS.exists():
        return {}
    stored = json.loads(RESULTS.read_text())
    return {
        name: Result(**(entry | {"figures": tuple(entry["figures"])}))
        for name, entry in stored.items()
    }


def results_of(report: Path) -> dict[str, Result]:
    """Results in a JUnit report of pytest, cases of one test joined."""
    found: dict[str, Result] = {}
    for suite in ElementTree.parse(report).iter("testsuite"):
        date = suite.get("timestamp", "")[:10]
        for case in suite.iter("testcase"):
            name = _test_of(case)
            result = _result(case, date)
            found[name] = found[name].joined(result) if name in found else result
    return found


def _test_of(case: ElementTree.Element) -> str:
    """`path::function` of a case, whatever its parameters."""
    path = case.get("classname", "").replace(".", "/")
    return f"{path}.py::{case.get('name', '').split('[')[0]}"


def _result(case: ElementTree.Element, date: str) -> Result:
    seconds = float(case.get("time", 0))
    figures = tuple(
        found.get("value", "") for found in case.iter("property") if found.get("name") == "figure"
    )
    if case.find("skipped") is not None:
        return Result(date, skipped=1)
    if case.find("failure") is not None or case.find("error") is not None:
        return Result(date, failed=1, seconds=seconds)
    return Result(date, passed=1, seconds=seconds, figures=figures)


def page(results: dict[str, Result]) -> str:
    """The page, from the faults, the marks and the last results."""
    tests = defaultdict(list)
    for test, ids in marked().items():
        for name in ids:
            tests[name].append(test)
    known = faults()
    sections = [_section(name, fault, tests[name], results) for name, fault in known.items()]
    covered = sum(bool(tests[name]) for name in known)
    count = f"{covered} of {len(known)} have tests, {len(marked())} of them in all.\n"
    return "\n".join((HEAD, count, *sections))


def _section(name: str, fault: Fault, tests: Iterable[str], results: dict[str, Result]) -> str:
    lines = [f"## {name}: {fault.fault}", "", f"*Expected:* {fault.expected}.", ""]
    rows = [_row(test, results.get(test)) for test in sorted(tests)]
    if rows:
        lines += ["| test | found | last run |", "|---|---|---|", *rows, ""]
    if fault.open:
        lines += [f"*Open:* {fault.open}", ""]
    return "\n".join(lines)


def _row(test: str, result: Result | None) -> str:
    path, function = test.split("::")
    claim = function.removeprefix("test_").replace("_", " ")
    found = str(result).replace("|", "\\|") if result else "not run yet"
    return f"| {claim}<br>`{path}` | {found} | {result.date if result else ''} |"


def main(reports: list[Path]) -> None:
    """Adds the results of the reports to those of marked tests, and writes the page."""
    results = read_results()
    for report in reports:
        results |= results_of(report)
    names = marked()
    kept = {
        name: replace(results[name], seconds=round(results[name].seconds, 1))
        for name in sorted(results)
        if name in names
    }
    stored = {name: asdict(result) for name, result in kept.items()}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
