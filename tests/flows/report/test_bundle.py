"""What a page says is what the catalogue says: read out of the one, and queried from the other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from flows.report import write
from flows.report.bundle import gather
from flows.report.curves import MIN_TRACES
from flows.report.traces import REASONS
from flows.workspace import Opened
from rdpt_core.finetune import training
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.report.bundle import Bundle
from tests.flows.conftest import TWO_ARMS
from tests.flows.example_experiments import PLAIN, Studio, copying_train
from tests.flows.report.pages import Page


@pytest.fixture(scope="session")
def page(built: Opened) -> Page:
    return Page(write(built).decode())


@pytest.fixture(scope="session")
def bundle(built: Opened) -> Bundle:
    return gather(built)


def queried(opened: Opened, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(opened.runtime.catalog), read_only=True) as connection:
        return connection.execute(sql, values).fetchall()


def test_every_number_is_that_of_the_catalogue(built: Opened, page: Page) -> None:
    shown = {
        (one["name"], benchmark, metric): tuple(
            number[name] for name in ("value", "low", "high", "n", "note")
        )
        for one in page.data["configurations"]
        for benchmark, numbers in one["results"].items()
        for metric, number in numbers.items()
    }
    rows = queried(
        built,
        """SELECT configurations.name, if(side = 'train', 'train', benchmark), metric, value, low,
            high, n, note
        FROM results JOIN configurations USING (configuration)
        WHERE NOT contains(metric, 'difference')""",
    )
    kept = {row[:3]: row[3:] for row in rows}
    assert len(kept) > 100
    assert shown == kept


def test_every_difference_is_that_of_the_catalogue(built: Opened, page: Page) -> None:
    shown = {
        (one["first"], one["second"], one["metric"]): (
            *(one["number"][name] for name in ("value", "low", "high", "n")),
            one["detectable"],
        )
        for one in page.data["differences"]
    }
    names = {f"provenance/difference/{name}": str(name) for name in FOUR_WAY}
    for metric, name in (names | {"grades/difference": "accuracy"}).items():
        sql = "SELECT value, low, high, n FROM results WHERE metric = ?"
        (number,) = queried(built, sql, [f"{metric}/teacher_count"])
        least = queried(built, sql, ["grades/detectable_difference/teacher_count"])[0][0]
        expected = (*number, least if name == "accuracy" else None)
        assert shown["random", "teacher_count", name] == expected
    lifts = queried(
        built,
        """SELECT configurations.name, lift.value, lift.low, lift.high, lift.n, least.value
        FROM results AS lift JOIN configurations USING (configuration)
        JOIN results AS least USING (configuration)
        WHERE lift.metric = 'grades/lift' AND least.metric = 'grades/detectable_lift'""",
    )
    assert len(lifts) == 2
    for lift in lifts:
        assert shown[lift[0], "student", "accuracy"] == lift[1:]


def test_the_traces_are_those_of_the_catalogue(built: Opened, page: Page) -> None:
    columns, data = page.columns, page.data
    ends = np.cumsum(columns["num_bytes"].astype(int))
    shown = []
    for i, trace_id in enumerate(data["trace_id"]):
        question = data["questions"][columns["question"][i]]
        shown.append(
            (
                data["configurations"][columns["configuration"][i]]["name"],
                trace_id,
                question["problem_id"],
                question["prompt"],
                question["gold"],
                question["domain"],
                data["outcomes"][columns["outcome"][i]],
                data["extracted"][i],
                data["finish"][i],
                page.text[ends[i] - int(columns["num_bytes"][i]) : ends[i]].decode(),
            )
        )
    names = queried(built, "SELECT name FROM configurations")
    kept = [
        row
        for (name,) in names
        for row in queried(
            built,
            f"""SELECT ?, trace_id, problem_id, prompt, answer, domain, outcome, extracted,
                finish_reason, text
            FROM study_{name}.traces JOIN study_{name}.grades USING (trace_id, side)
            JOIN study_{name}.problems USING (problem_id, side) WHERE side = 'test'""",
            [name],
        )
    ]
    assert len(kept) == 4 * 8
    assert sorted(shown, key=str) == sorted(kept, key=str)


def test_the_sentences_are_those_of_the_catalogue(built: Opened, bundle: Bundle) -> None:
    names = [one.name for one in bundle.configurations]
    kept = {
        (name, *row[:2]): row[2:]
        for name in ("teacher_count", "random")
        for row in queried(
            built,
            f"""SELECT trace_id, position, start, stop, zone, label, direction, p_teacher,
                p_student, p_distilled, margin, reason
            FROM study_{name}.sentences
            LEFT JOIN study_{name}.provenance USING (trace_id, position, side)
            WHERE side = 'test'""",
        )
    }
    traces, s = bundle.traces, bundle.sentences
    seen = 0
    for i, trace_id in enumerate(traces.trace_id):
        name = names[traces.configuration[i]]
        if name in ("teacher_count", "random"):
            first, last = traces.first_sentence[i : i + 2].tolist()
            for at in range(first, last):
                row = kept[name, trace_id, at - first]
                assert (s.start[at], s.stop[at]) == row[:2]
                assert ("tag", "thought", "answer")[s.zone[at]] == row[2]
                assert (None if s.label[at] == 255 else bundle.labels[s.label[at]]) == row[3]
                direction = s.direction[at]
                assert (None if direction == 255 else ("up", "between", "down")[direction]) == row[
                    4
                ]
                expected = np.array([np.nan if x is None else x for x in row[5:9]], np.float32)
                np.testing.assert_array_equal([*s.p[at], s.margin[at]], expected)
                seen += 1
    assert seen == len(kept) > 0


def test_baselines_that_cut_no_sentences_are_shown_by_zone(bundle: Bundle) -> None:
    names = [one.name for one in bundle.configurations]
    traces, s = bundle.traces, bundle.sentences
    for i in np.flatnonzero(traces.configuration == names.index("teacher")).tolist():
        first, last = traces.first_sentence[i : i + 2].tolist()
        size = int(traces.first_byte[i + 1] - traces.first_byte[i])
        assert [*s.start[first:last].tolist(), size] == [0, *s.stop[first:last].tolist()]
        assert set(s.label[first:last].tolist()) <= {255}
        reasons = s.reason[first:last][s.zone[first:last] != 0]
        assert all(REASONS[code] == "not attributed" for code in reasons)


def test_a_curve_is_not_drawn_from_fewer_traces(bundle: Bundle) -> None:
    assert bundle.min_traces == MIN_TRACES > 8
    assert bundle.curves == []


# ---------------------------------------------------------------------------- less than a study


@pytest.fixture(scope="session")
def half(built: Opened, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The same study, without the answers of the students that it trained."""
    folder = tmp_path_factory.mktemp("half") / "study"
    shutil.copytree(built.base, folder)
    studio = Studio(folder)
    opened = studio.open(students=TWO_ARMS)
    for configuration in opened.study.configurations():
        if configuration.kind == "arm":
            for table in ("results", "grades", "traces"):
                wanted = configuration.find(table, "test:bench")
                assert wanted is not None
                for part in opened.plan.state(wanted).parts:
                    opened.store.file(part).unlink()
                    opened.store.file(part).with_suffix(".json").unlink()
    return studio


def test_a_run_that_is_not_finished_says_so_and_shows_what_there_is(half: Studio) -> None:
    opened = half.open(students=TWO_ARMS)
    bundle = gather(opened)
    tables = opened.study.tables()
    missing = sum(not opened.plan.state(table).complete for table in tables)
    assert missing
    assert f"This run is not finished: {missing} of {len(tables)} tables" in bundle.sentence
    (unknown,) = [row[0] for row in bundle.numbers["what is not known"] if "not finished" in row[0]]
    assert "traces" in unknown
    # The baselines have answered; of the arms the candidates are there, with their labels.
    names = {bundle.configurations[c].name for c in set(bundle.traces.configuration.tolist())}
    assert names == {"teacher", "student", "random"}, "of the arms the first, for both"
    assert bundle.benchmarks == ["bench", "train"]
    assert {one.arm for one in bundle.selection} == {"teacher_count", "random"}


def test_candidates_alone_are_shown_with_three_classes(
    tmp_path: Path, built: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(built.base, folder)
    monkeypatch.setattr(training, "train", copying_train)
    studio, changes = Studio(folder), {"students": TWO_ARMS, "benchmarks": ""}
    studio.build(**changes)
    bundle = gather(studio.open(**changes))
    assert bundle.benchmarks == ["train"]
    labels = {bundle.labels[code] for code in set(bundle.sentences.label.tolist()) - {255}}
    assert labels
    assert labels <= {"teacher", "student", "common"}
    # Both arms choose from them: they are shown once.
    assert len(set(bundle.traces.trace_id)) == len(bundle.traces.trace_id) == 12 * PLAIN["samples"]
    assert np.isnan(bundle.sentences.p[:, 2]).all()
    assert "add [[benchmarks]]" in bundle.sentence


def test_an_experiment_that_never_ran_has_an_empty_report(tmp_path: Path, built: Opened) -> None:
    folder = tmp_path / "study"
    shutil.copytree(built.base, folder, ignore=shutil.ignore_patterns("workspace"))
    page = Page(write(Studio(folder).open()).decode())
    assert page.data["trace_id"] == []
    assert "is not finished" in page.data["sentence"]
