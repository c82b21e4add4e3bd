"""Properties of arbitrary bytes: each target takes some, and raises if a property fails.

`test_properties.py` feeds them from hypothesis, `__main__.py` from a coverage-guided fuzzer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from rdpt_core.files.records import BadTable
from rdpt_core.sources import problems as benchmarks
from rdpt_core.sources import traces as imports
from rdpt_core.sources.account import Ledger
from rdpt_core.tables import columns, recipe
from rdpt_core.tables.rows import FinishReason, Problem, Reject, Trace, Zone
from rdpt_core.text import segmentation
from rdpt_core.text.delimiters import named_delimiters
from rdpt_core.text.protected import masked, protected
from rdpt_core.text.segmentation import SegmentRule
from settings.loading import BadSettings, read_experiment

NAMES = ("<think>", "<|begin_of_thought|>", "none")


def rows(file: Path) -> None:
    """Any file: each row is used or rejected, and the account counts it."""
    ledger = Ledger()
    source = imports.TraceSource(path=file.name)
    try:
        found = list(imports.import_blocks(source, 2, file.parent, ledger))
    except BadTable:
        found = []
    traces = [trace for block in found for group in block.traces for trace in group]
    rejects = [reject for block in found for reject in block.rejects]
    if found and file.suffix == ".jsonl":
        lines = file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        lost = [reject for reject in rejects if not reject.reason.startswith("used")]
        account = {(row.role, row.became): row.num for row in ledger.rows("")}
        assert account.get(("rows", "rejected"), 0) == len(lost)
        assert account.get(("traces", "used"), 0) == len(traces)
        of_rows = sum(num for (role, _), num in account.items() if role == "rows")
        assert of_rows == sum(bool(line.strip()) for line in lines)
    _storable(Trace, traces)
    _storable(Reject, rejects)
    for trace in traces:
        _covers(trace.text, trace.zones)
    _problems(file)


def _problems(file: Path) -> None:
    """`shuffle` changes only the order of the problems."""
    either = []
    for shuffle in (False, True):
        source = benchmarks.FileSource(source="file", path=file.name, shuffle=shuffle)
        try:
            blocks = list(benchmarks.blocks(source, 2, file.parent))
        except BadTable:
            continue
        problems = [problem for block in blocks for problem in block.problems]
        _storable(Problem, problems)
        either.append(sorted(problems, key=lambda problem: problem.problem_id))
    assert len(either) in (0, 2)
    assert not either or either[0] == either[1]


def _storable(kind: type, found: Sequence[Any]) -> None:
    ordered = columns.in_key_order(kind, found)
    assert len(columns.content_digest(kind, ordered)) == 32
    assert columns.to_arrow(kind, ordered).num_rows == len(found)


def text(raw: bytes) -> None:
    """A trace of any text: zones and sentences cover its bytes with every segmenter."""
    trace = raw.decode("utf-8", "replace")
    for name in NAMES:
        for opened in (False, True):
            _covers(trace, named_delimiters(name).zones(trace, opened))
    hidden = protected(trace)
    assert all(before[1] <= after[0] for before, after in pairwise(hidden))
    assert len(masked(trace, hidden)) == len(trace)
    for rule in (SegmentRule(), SegmentRule(name="regex"), SegmentRule(name="lines")):
        _cut(trace, rule)


def _cut(trace: str, rule: SegmentRule) -> None:
    spans = segmentation.spans(trace, rule)
    assert "".join(trace[start:stop] for start, stop in spans) == trace
    assert not any(trace[start].isspace() for start, _ in spans[1:])
    zones = named_delimiters("<think>").zones(trace)
    row = Trace("t", "p", "a", 0, trace, zones, FinishReason.STOP, *[None] * 6)
    sentences = segmentation.segment(row, rule)
    _covers(trace, [Zone(s.zone, s.start, s.stop) for s in sentences])
    assert {zone.stop for zone in zones} <= {sentence.stop for sentence in sentences}


def _covers(trace: str, zones: Sequence[Zone]) -> None:
    ends = [0, *(zone.stop for zone in zones)]
    assert [zone.start for zone in zones] == ends[:-1]
    assert all(zone.start < zone.stop for zone in zones)
    assert ends[-1] == len(trace.encode())


def settings(file: Path) -> None:
    """Any experiment file: it is valid and has a stable form, or every fault is reported."""
    with suppress(BadSettings):
        experiment = read_experiment(file)
        assert experiment.pairings()
        recipe.plain(experiment)


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "jsonl": (rows, "rows.jsonl"),
    "parquet": (rows, "rows.parquet"),
    "toml": (settings, "study.toml"),
}
"""Targets that read a file, with its name."""
