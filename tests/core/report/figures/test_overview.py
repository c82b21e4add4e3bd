"""The overview: all configurations at a glance."""

from __future__ import annotations

from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.overview import overview
from tests.core.report.figures.bundles import bundle
from tests.core.report.figures.reading import words


def test_it_holds_accuracies_classes_curves_and_differences() -> None:
    shown = words(overview(compared(bundle(), "bench")))
    for part in ("accuracy on bench", "T teacher", "position curves of random", "random - longest"):
        assert part in shown


def test_curves_and_differences_are_those_of_the_configuration() -> None:
    arms = ["random", "longest", "teacher_count"]
    shown = words(overview(compared(bundle(arms), "bench"), "longest"))
    assert "position curves of longest" in shown
    assert "random - longest" in shown
    assert "random - teacher_count" not in shown


def test_a_baseline_has_curves_of_its_own_or_none() -> None:
    assert "no position curves" in words(overview(compared(bundle(), "bench"), "small"))
