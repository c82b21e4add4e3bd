"""The overview: all configurations at a glance."""

from __future__ import annotations

from dataclasses import replace

from rdpt_core.report.bundle import Shown
from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.overview import overview
from tests.core.report.figures.bundles import bundle, difference
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


def test_what_there_is_not_is_left_out() -> None:
    one = compared(bundle(), "bench")
    assert "position curves" not in words(overview(one, "small"))
    nothing = replace(one, shown=[], curves={}, differences=[])
    assert words(overview(nothing)).split("\n").count("no results yet") == 1


def test_a_run_shows_the_differences_of_its_arm() -> None:
    found = bundle(["random-seed0", "random-seed1"])
    runs = [replace(c, selector="random") for c in found.configurations[2:]]
    mean = Shown("random (all runs)", "mean", "big", "small", "random", None, runs[0].results)
    differences = [
        difference("accuracy", "random (all runs)", "longest", 0.05),
        difference("accuracy", "short", "longest", 0.01),
    ]
    one = replace(compared(found, "bench"), shown=[*runs, mean], differences=differences)
    shown = words(overview(one, "random-seed1"))
    assert "random (all runs) - longest" in shown.replace("\n", " ")
    assert "short - longest" not in shown
