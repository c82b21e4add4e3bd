"""The run of a study, and what MLflow is told of an experiment."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from flows.configurations import Configuration, TableUse
from flows.projection.study import project_study, study_of
from flows.projection.telling import tell_again, tell_begun, tell_ended
from flows.titles import title, users_of
from flows.workspace import Opened
from tasks.projection import Projection
from tasks.running import announced
from tests.flows.projection.toy_configuration import configuration, teacher, with_study
from tests.stages import toy_stages

BOTH = [teacher(), configuration()]


class Told:
    """A tracker that keeps what it is told; it wants no figures."""

    is_on = False

    def __init__(self) -> None:
        self.projections: list[Projection] = []

    def configuration(self, name: str, project: Callable[[], Projection]) -> None:
        self.projections.append(project())

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(one.name, one.state) for one in self.projections]


@pytest.fixture(scope="module")
def study(made: Opened) -> Projection:
    return project_study(made, BOTH, {}, {"report.html": b"page", "overview-bench.png": b"png"})


def test_differences_are_metrics_with_their_intervals(study: Projection) -> None:
    values = {point.key: point.value for point in study.points}
    ends = [values[f"random - small/accuracy{end}"] for end in ("", "_low", "_high")]
    assert ends == [0.04, 0.1, 0.2]
    assert (values["random - small/gained"], values["random - small/lost"]) == (3.0, 1.0)
    assert values["random - big/accuracy"] == 0.0, "the teacher gave the same answers"
    assert values["more/random - small/accuracy"] == 0.04


def test_accuracies_come_before_what_may_be_cut(study: Projection) -> None:
    keys = [point.key for point in study.points]
    assert keys.index("more/random - big/accuracy") < keys.index("random - small/gained")
    assert len(set(keys)) <= 60


def test_all_differences_are_a_file(study: Projection) -> None:
    rows = list(csv.DictReader(io.StringIO(study.artifacts["differences.csv"].decode())))
    found = {(row["benchmark"], row["first"], row["second"], row["what"]) for row in rows}
    assert ("bench", "random", "big", "accuracy") in found
    assert ("more", "random", "small", "lost") in found


def test_the_page_begins_with_the_best_arm_without_markup(study: Projection) -> None:
    """The list of experiments shows the beginning as plain text."""
    lines = study.description.splitlines()
    assert lines[0].startswith("random 0.123 [0.100, 0.200] is highest of 1: [")
    assert "workflowType=machine_learning" in lines[0]
    row = next(line for line in lines if line.startswith("| [random]"))
    assert f"$run_{configuration().digest}" in row
    assert "| 0.123 | [0.100, 0.200] | 0.250 |" in row


def test_the_page_links_the_report_and_shows_the_figure(study: Projection) -> None:
    run = f"$run_{study.digest}"
    assert f"/runs/{run}/artifacts/report.html?workflowType" in study.description.splitlines()[0]
    assert f"![](get-artifact?path=overview-bench.png&run_uuid={run})" in study.description
    assert study.artifacts["report.html"] == b"page"


def test_names_are_no_markup_and_no_place_in_the_page(made: Opened) -> None:
    sly = replace(configuration(), name="a|b <i> $experiment [x](y)")
    text = project_study(made, [sly], {}, {}).description
    assert text.startswith(r"a\|b \<i\> $$experiment \[x\](y) 0.123")


def test_a_changed_experiment_is_another_study() -> None:
    assert study_of(BOTH) == study_of(BOTH[::-1])
    assert study_of(BOTH).digest != study_of(BOTH[:1]).digest


# ---------------------------------------------------------------------------- telling


def lacking() -> Configuration:
    """A configuration with a table that nobody built."""
    use = TableUse("test:bench", "x", toy_stages.given(range(99, 100)))
    uses = (*configuration().uses, use)
    return replace(configuration(), name="late", digest="2" * 32, uses=uses)


def test_what_is_about_to_be_built_is_running(made: Opened) -> None:
    told = Told()
    tell_begun(with_study(made, [configuration(), lacking()]), told)  # type: ignore[arg-type]
    assert told.states == [("late", "RUNNING"), ("comparison", "RUNNING")]


def test_where_nothing_is_missing_nothing_is_told_at_the_start(made: Opened) -> None:
    told = Told()
    tell_begun(with_study(made, BOTH), told)  # type: ignore[arg-type]
    assert told.projections == []


def test_a_failed_table_ends_the_configurations_that_need_it(made: Opened) -> None:
    configurations = [configuration(), lacking()]
    missing = lacking().uses[-1].table
    name = title(missing, users_of(configurations)[missing.digest])
    told = Told()
    opened = with_study(made, configurations)
    tell_ended(opened, told, {name: MemoryError("too little")})  # type: ignore[arg-type]
    assert told.states == [("late", "FAILED"), ("comparison", "FAILED")]
    assert f"{name}: " in told.projections[0].note
    assert "| failed |" in told.projections[1].description


def test_what_a_stopped_run_leaves_is_killed(made: Opened) -> None:
    told = Told()
    tell_ended(with_study(made, [lacking()]), told, {})  # type: ignore[arg-type]
    assert told.states == [("late", "KILLED"), ("comparison", "KILLED")]


def test_sync_leaves_alone_what_an_active_run_builds(made: Opened) -> None:
    opened, told = with_study(made, [configuration(), lacking()]), Told()
    with announced(made.runtime.workspace, "toy"):
        assert tell_again(opened, told, [configuration()]) == 1  # type: ignore[arg-type]
    assert told.states == [("random", "FINISHED"), ("comparison", "RUNNING")]
    tell_again(opened, told, [configuration()])  # type: ignore[arg-type]
    assert told.states[2:] == [("random", "FINISHED"), ("late", "KILLED"), ("comparison", "KILLED")]
