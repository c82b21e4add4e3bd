"""What a run of MLflow holds of a configuration."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flows.configurations import TableUse
from flows.projection.configuration import project, project_unfinished
from flows.projection.metrics import MAX_METRICS, curve_points, key_of
from flows.projection.told import Told
from flows.report import curves as report_curves
from flows.workspace import Opened
from rdpt_core.files.hashing import file_hash
from rdpt_core.provenance.curves import SIDES, CurveRule, curves, position_counts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.tables.rows import Grade, Provenance
from tasks.projection import Point, Projection, State, metric_key, run_name
from tests.flows.projection.toy_configuration import STUDY, configuration
from tests.stages import toy_stages


def test_a_projection_is_the_same_each_time(made: Opened, whole: Projection) -> None:
    assert project(made, configuration(), STUDY) == whole


def test_bare_metrics_are_rounded_and_other_benchmarks_have_a_slice(whole: Projection) -> None:
    values = {p.key: p.value for p in whole.points}
    assert values["accuracy"] == values["more/accuracy"] == values["mean/accuracy"] == 0.1235
    assert (values["accuracy_low"], values["accuracy_high"], values["tokens"]) == (0.1, 0.2, 321)
    assert values["seconds"] > 0
    assert "nothing" not in values


def test_accuracy_and_its_interval_take_one_column(whole: Projection) -> None:
    assert whole.tags["accuracy 95 CI"] == "0.123 [0.100, 0.200]"


def test_accuracy_by_domain_is_told_of_few_domains_whatever_their_names(whole: Projection) -> None:
    """Before metrics that nobody asked for; those of nine domains would drown the others."""
    found = [p.key for p in whole.points if p.key.endswith(" accuracy")]
    assert found == ["part 0-of nine accuracy", "part 1-of nine accuracy"]


def test_metrics_that_matter_most_are_never_cut(whole: Projection) -> None:
    """The rows of the toy begin with what nobody asked for; both benchmarks' accuracy comes
    before it."""
    keys = [p.key for p in whole.points]
    assert keys.index("more/accuracy") < keys.index("many/0")
    assert "more/many/69" not in keys


@pytest.mark.parametrize(
    ("metric", "key"),
    [
        ("accuracy", "accuracy"),
        ("provenance/share/teacher", "teacher/share"),
        ("grades/share/truncated", "truncated/share"),
        ("grades/accuracy/depth/2", "depth-2 accuracy"),
        ("grades/net_gained", "net_gained"),
        ("selection/teacher_share", "selection/teacher_share"),
    ],
)
def test_what_tells_a_metric_apart_comes_first(metric: str, key: str) -> None:
    """Titles of charts are cut at some 14 letters."""
    assert key_of(metric) == key


def test_t39_a_run_has_at_most_sixty_metrics(whole: Projection) -> None:
    """All traces are correct here, so the four curves of incorrect ones have no point."""
    assert whole.model is not None
    own = {point.key for point, _ in whole.model.points}
    assert len({p.key for p in (*whole.points, *whole.losses)} | own) == MAX_METRICS - 4


def test_curves_are_of_positions_with_enough_traces(whole: Projection) -> None:
    points = [p for p in whole.points if p.key == "teacher/correct"]
    assert [p.step for p in points] == [1]
    assert 0 <= points[0].value <= 1


def test_curves_are_those_of_the_rows(
    made: Opened, whole: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_curves, "MIN_TRACES", 1)
    told = Told(made, configuration(), made.plan)
    labels = [row for rows in told.rows(Provenance, "test:bench") for row in rows]
    grades = {g.trace_id: g.outcome for rows in told.rows(Grade, "test:bench") for g in rows}
    expected = curves(position_counts(labels, grades), CurveRule())
    found = {(p.key, p.step): p.value for p in curve_points(told, 0)}
    reached = int((expected.num_traces > 0).sum())
    assert len(found) == reached * len(FOUR_WAY) > 0
    for s, side in enumerate(SIDES):
        for k in range(expected.share.shape[1]):
            for name in FOUR_WAY if expected.num_traces[s, k] else ():
                share = expected.share[s, k, LABELS.index(name)]
                assert found[f"{name}/{side}", k + 1] == pytest.approx(share, abs=1e-4)


def test_digests_of_tables_are_one_file(whole: Projection) -> None:
    """29 of them filled the page of a run as tags."""
    digests = json.loads(whole.artifacts["tables.json"])
    assert {"problems", "traces", "grades", "sentences", "provenance"} <= set(digests["test:bench"])
    assert digests["train"]["traces"] == digests["test:more"]["traces"]
    assert set(whole.tags) == {"rdpt.experiment", "rdpt.kind", "accuracy 95 CI"}


def test_a_student_names_the_data_that_it_was_made_of(whole: Projection) -> None:
    digests = json.loads(whole.artifacts["tables.json"])["train"]
    assert whole.model is not None
    made_of = {table: whole.model.params[table] for table in ("problems", "traces", "selection")}
    assert made_of == {table: digests[table] for table in made_of}
    given = {one.name: one.digest for one in whole.datasets if one.context == "train"}
    assert given["selection of random"] == digests["selection"]
    assert given["traces of big"] == digests["traces"]


def test_losses_are_rounded(whole: Projection) -> None:
    assert [p.value for p in whole.losses] == [1.0, 0.5, 0.3333, 0.25, 0.2]


def test_a_configuration_that_failed_is_a_run_with_its_reason(made: Opened) -> None:
    lacking = replace(
        configuration(),
        uses=(*configuration().uses, TableUse("test:bench", "x", toy_stages.given(range(99, 100)))),
    )
    run = project_unfinished(made, lacking, STUDY, State.FAILED, ("scores: out of `memory`",))
    assert (run.state, run.parent, run.points) == (State.FAILED, STUDY, ())
    assert run.tags["accuracy 95 CI"] == "failed"
    assert "18 of 19 tables are complete" in run.note
    assert "scores: out of 'memory'\n```" in run.note
    assert "`rdpt resume toy`" in run.note


@pytest.mark.fault("X7")
def test_t39_settings_are_params_and_none_is_cut_silently(whole: Projection) -> None:
    assert whole.params["labels.alpha"] == "0.1"
    assert whole.params["benchmarks.bench.limit"] == "8"
    assert whole.params["selector"] == "random"
    assert whole.params["long"].startswith("40000 characters, see experiment.toml; digest ")


def test_artifacts_show_examples_the_batch_and_the_shares(whole: Projection) -> None:
    assert set(whole.artifacts) == {
        "experiment.toml",
        "results.csv",
        "tables.json",
        "students/model.json",
        "students/preview.txt",
        "selection/examples.jsonl",
        "provenance/bench.png",
        "provenance/more.png",
    }
    lines = whole.artifacts["selection/examples.jsonl"].decode().splitlines()
    examples = [json.loads(line) for line in lines]
    assert [example["rank"] for example in examples] == [0, 1, 2]
    assert all(example["problem"].startswith("How much") for example in examples)


def test_a_model_is_a_link_into_the_store_and_no_copy(made: Opened, whole: Projection) -> None:
    model = json.loads(whole.artifacts["students/model.json"])
    (record,) = made.store.records("students")
    assert (model["name"], model["digest"]) == ("toy/random", record.part.content)
    weights = made.runtime.store_folder / model["path"] / "model.safetensors"
    told = model["files"]["model.safetensors"]
    assert (told["size"], told["hash"]) == (weights.stat().st_size, file_hash(weights))
    assert f"`{model['path']}` in the store, with digest `{model['digest']}`" in whole.note
    assert not any(weights.read_bytes() in content for content in whole.artifacts.values())


def test_a_setting_of_the_experiment_is_not_taken_for_one_of_the_configuration(
    made: Opened,
) -> None:
    """The seed of a baseline stood in the comparison as if it had been trained with it."""
    seeded = made.experiment.model_copy(update={"seed": 17})
    baseline = replace(configuration(), seed=None, kind="teacher")
    params = project(replace(made, experiment=seeded), baseline, STUDY).params
    assert "seed" not in params


def test_seconds_have_four_digits(whole: Projection) -> None:
    (seconds,) = [point.value for point in whole.points if point.key == "seconds"]
    assert seconds == float(f"{seconds:.4g}")


def test_the_note_says_that_there_is_one_seed(whole: Projection) -> None:
    assert "One fine-tuning seed (0)" in whole.note
    first = whole.note.splitlines()[0]
    assert first.startswith("**bench**: accuracy **0.123** [0.100, 0.200]")
    assert "| accuracy | 0.1235 | [0.100, 0.200] | 8 |" in whole.note


@pytest.mark.fault("X7")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="accuracy"):
        Point("accuracy", value, 0, 0)


@pytest.mark.fault("X5")
def test_names_are_what_mlflow_takes() -> None:
    assert run_name("../a <b>; (c)") == "..-a -b-- -c-"
    assert metric_key("accuracy", "a/b:c") == "accuracy/a-b-c"
