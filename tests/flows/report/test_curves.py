"""Curves out of planted tables, against the reference that reads rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from flows.report import curves as module
from flows.report.curves import DIGITS, MIN_TRACES, gather_curves
from flows.report.reader import StudyReader, Use
from rdpt_core.provenance.curves import OUTCOMES, SIDES, CurveRule, curves, position_counts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.report.bundle import Curve
from rdpt_core.store.record import Part
from rdpt_core.tables import columns
from rdpt_core.tables.rows import FinishReason, Grade, Outcome, Provenance, Trace

SIDE: Any = "test:bench"


@dataclass
class PlantedReader(StudyReader):
    """Tables of one use, as files of a folder."""

    folder: Path = Path()

    def parts(
        self, configuration: Any, table: str, side: str, role: str | None = None
    ) -> tuple[Part, ...]:
        found = self.folder / f"{table}.parquet"
        return (Part(table, table, "", 0, 0.0, 0),) if found.exists() else ()

    def _file(self, part: Part) -> str:
        return str(self.folder / f"{part.key}.parquet")


@dataclass
class Planted:
    reader: PlantedReader
    labels: list[Provenance]
    outcome_of: dict[str, Outcome]

    def curve(self) -> Curve:
        none: Any = None
        (found,) = gather_curves(self.reader, [Use(none, SIDE, 3, 1)])
        return found


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    """60 traces to 20 questions, of up to 7 sentences, some without a label or a grade."""
    random = np.random.default_rng(11)
    traces, grades, labels = [], [], []
    outcome_of: dict[str, Outcome] = {}
    for n in range(60):
        name = f"t{n:02}"
        traces.append(
            Trace(name, f"q{n // 3:02}", "", n % 3, "", (), FinishReason.STOP, *[None] * 6)
        )
        if n % 10:
            outcome_of[name] = OUTCOMES[n % 4]
            grades.append(Grade(name, outcome_of[name], None))
        # Positions count tags, which have no row here.
        for position in range(1, 2 * int(random.integers(1, 8)), 2):
            code = int(random.integers(0, 6))
            label = FOUR_WAY[code % 4] if code < 5 else None
            labels.append(Provenance(name, position, label, *[None] * 6))
    for row, rows in ((Trace, traces), (Grade, grades), (Provenance, labels)):
        columns.write_parquet(row, rows, tmp_path / f"{row.TABLE}.parquet")
    with duckdb.connect() as connection:
        none: Any = None
        yield Planted(PlantedReader(none, connection, folder=tmp_path), labels, outcome_of)


def test_shares_and_numbers_are_those_of_the_reference(planted: Planted) -> None:
    expected = curves(position_counts(planted.labels, planted.outcome_of), CurveRule())
    curve = planted.curve()
    assert (curve.configuration, curve.benchmark) == (3, 1)
    enough = (expected.num_traces >= MIN_TRACES).any(axis=0)
    assert curve.position == (np.flatnonzero(enough) + 1).tolist()
    assert len(curve.position) > 3
    for s, side in enumerate(SIDES):
        for at, position in enumerate(map(int, curve.position)):
            num = expected.num_traces[s, position - 1]
            assert curve.num_traces[side][at] == num
            for name in FOUR_WAY:
                share = expected.share[s, position - 1, LABELS.index(name)]
                if num < MIN_TRACES:
                    assert curve.share[name][side][at] == [None, None, None]
                    continue
                known = [x for x in curve.share[name][side][at] if x is not None]
                assert known[0] == round(share, DIGITS)
                assert known[1] <= known[0] <= known[2]


def test_many_positions_are_pooled(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bin's share is that of all its sentences, not a mean of shares nor one position's."""
    every = planted.curve()
    assert every.width == 1
    monkeypatch.setattr(module, "MAX_POINTS", 3)
    some = planted.curve()
    expected = curves(position_counts(planted.labels, planted.outcome_of), CurveRule())
    last = int(every.position[-1])
    assert some.width == -(-last // 3) > 1
    firsts = range(1, last + 1, some.width)
    bins = [(first, min(first + some.width - 1, last)) for first in firsts]
    assert some.position == [(first + end) / 2 for first, end in bins]
    for s, side in enumerate(SIDES):
        for at, (first, end) in enumerate(bins):
            n = expected.num_traces[s, first - 1 : end]
            assert some.num_traces[side][at] == n.sum() // len(n)
            shares = expected.share[s, first - 1 : end, LABELS.index(FOUR_WAY[0])]
            value, low, high = some.share[FOUR_WAY[0]][side][at]
            if n.sum() // len(n) < MIN_TRACES:
                assert value is None
                continue
            assert value is not None
            assert value == pytest.approx((shares * n).sum() / n.sum(), abs=10**-DIGITS)
            assert low is not None
            assert high is not None
            assert low <= value <= high


def test_without_labels_there_is_no_curve(planted: Planted) -> None:
    (planted.reader.folder / "provenance.parquet").unlink()
    none: Any = None
    assert gather_curves(planted.reader, [Use(none, SIDE, 0, 0)]) == []
