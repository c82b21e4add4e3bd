"""Data frames of an experiment: sentences with their text, and curves as counted by hand."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from rdpt_core.api import curves, label, load_experiment
from rdpt_core.tables.rows import Label, Outcome
from tests.core.report.exports import Labels, write_export

T, S, B, H = Label.TEACHER, Label.STUDENT, Label.BOOSTED, Label.SHARED
TRACES: dict[str, tuple[Outcome, Labels]] = {
    "a": (Outcome.CORRECT, [T, S, None]),
    "b-tag": (Outcome.CORRECT, [T, H]),
    "c": (Outcome.WRONG, [S, B]),
    "d": (Outcome.TRUNCATED, [B]),
}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "toy.duckdb", TRACES)


def test_sentences_have_their_text_label_and_outcome(export: Path) -> None:
    found = load_experiment(export).sentences
    assert len(found) == sum(len(labels) for _, labels in TRACES.values())
    assert set(found["sentence"]) == {"So 7."}
    of_b = found[found["trace_id"] == "b-tag"]
    assert of_b["position"].tolist() == [1, 2]
    assert of_b["label"].tolist() == ["teacher", "shared"]
    assert of_b["outcome"].tolist() == ["correct", "correct"]
    assert found["label"].isna().sum() == 1


def test_traces_and_results_name_their_configuration(export: Path) -> None:
    found = load_experiment(export)
    assert found.experiment == "toy"
    assert found.configurations["configuration"].tolist() == ["random"]
    assert found.traces["trace_id"].tolist() == list(TRACES)
    assert set(found.traces["configuration"]) == set(found.results["configuration"]) == {"random"}
    assert found.results["value"].tolist() == [0.5]


def test_the_other_side_is_empty(export: Path) -> None:
    assert len(load_experiment(export, side="train").sentences) == 0


def test_curves_are_counted_by_hand(export: Path) -> None:
    found = curves(load_experiment(export).sentences, min_traces=1)
    shares = {
        (row.label, row.side, row.position): (row.share, row.num_traces)
        for row in found.itertuples()
        if row.share
    }
    assert shares == {
        ("teacher", "correct", 1): (1.0, 2),
        ("student", "correct", 2): (0.5, 2),
        ("shared", "correct", 2): (0.5, 2),
        ("student", "incorrect", 1): (1.0, 1),
        ("boosted", "incorrect", 2): (1.0, 1),
    }


def test_positions_with_few_traces_are_left_out(export: Path) -> None:
    found = curves(load_experiment(export).sentences, min_traces=2)
    assert set(found["side"]) == {"correct"}
    assert set(found["position"]) == {1, 2}
    assert len(curves(load_experiment(export).sentences)) == 0


def test_a_frame_labelled_with_other_thresholds_has_other_curves(export: Path) -> None:
    sentences = load_experiment(export).sentences
    columns = [sentences[f"p_{role}"] for role in ("teacher", "student", "distilled")]
    assert label(*columns) == [None if pd.isna(one) else one for one in sentences["label"]]
    again = sentences.assign(label=label(columns[0], columns[1], columns[2], beta=0.7))
    found = curves(again, min_traces=1)
    assert set(found[found["share"] > 0]["label"]) == {"shared", "boosted"}


def test_three_way_labels_have_three_curves(tmp_path: Path) -> None:
    traces = {"a": (Outcome.CORRECT, [T, Label.COMMON])}
    sentences = load_experiment(write_export(tmp_path / "toy.duckdb", traces)).sentences
    assert set(curves(sentences, min_traces=1)["label"]) == {"teacher", "student", "common"}


def test_without_pandas_there_are_arrow_tables(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdpt_core.report import frames

    monkeypatch.setattr(frames, "find_spec", lambda name: util.find_spec(f"no_{name}"))
    sentences = load_experiment(export).sentences
    assert isinstance(sentences, pa.Table)
    columns = [sentences[f"p_{role}"] for role in ("teacher", "student", "distilled")]
    assert label(*columns) == sentences["label"].to_pylist()
    found = curves(sentences, min_traces=1)
    assert found.column_names[:3] == ["configuration", "benchmark", "label"]
    assert found.num_rows > 0


def test_a_file_that_does_not_exist_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rdpt export NAME -o toy.duckdb"):
        load_experiment(tmp_path / "toy.duckdb")


def test_an_unknown_experiment_is_answered_with_those_there_are(export: Path) -> None:
    with pytest.raises(ValueError, match="holds experiments toy and not 'toys'"):
        load_experiment(export, "toys")


def test_another_database_is_refused(tmp_path: Path) -> None:
    import duckdb

    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(ValueError, match="lacks a table"):
        load_experiment(tmp_path / "other.duckdb")
