"""`rdpt doctor scorer`: how far scores move, kept in the workspace, and shown beside the labels."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from flows import cli
from flows.catalogue import publish_catalogue, read_noise
from flows.checks import is_complete
from flows.commands.doctor.rescoring import Players, backend_pairs, in_float32
from flows.workspace import NOISE, Opened, open_frozen
from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import Problem, TokenScores, Trace
from tasks.models import Model
from tests.core.models import tiny
from tests.flows.example_experiments import PLAIN, STUDY

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def study(built: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A copy of the finished study that may be written to."""
    folder = tmp_path / "a study"
    shutil.copytree(built.base, folder)
    origin = folder / "workspace" / "runs" / "study" / "origin.json"
    origin.write_text(json.dumps({"base": str(folder)}))
    monkeypatch.chdir(folder)
    for name in ("RDPT_WORKSPACE", "RDPT_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RDPT_THREADS", "1")
    opened = open_frozen("study", built.runtime.model_copy(update={"workspace": Path("workspace")}))
    publish_catalogue(opened)
    return opened


@dataclass
class Jittery:
    """A scorer whose every reading is another: from one call to the next, the log-probabilities of
    a trace are multiplied by anything between 1 - `by` and 1."""

    scorer: str
    inner: HfScorer
    by: float
    calls: int = 0

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]:
        self.calls += 1
        dice = np.random.default_rng(self.calls)
        for row in self.inner.score(problems, traces, progress):
            moved = row.logprobs * dice.uniform(1 - self.by, 1)
            yield replace(row, logprobs=moved.astype(np.float32))


def jitter(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    sound = Model.text_scorer

    def text_scorer(self: Model, *arguments: Any) -> Jittery:
        inner = sound(self, *arguments)
        assert isinstance(inner, HfScorer)
        return Jittery(inner.scorer, inner, by)

    monkeypatch.setattr(Model, "text_scorer", text_scorer)


def said(capsys: Capture, *arguments: str, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert cli.main(["doctor", "scorer", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def query(path: str | Path, text: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(text).fetchall()


UNDETERMINED = "SELECT undetermined, count(*) FROM study_random.provenance GROUP BY ALL ORDER BY 1"


def test_a_sound_study_passes_and_its_noise_is_in_the_catalogue_for_good(
    study: Opened, capsys: Capture
) -> None:
    parts = sorted(path for path in study.runtime.store_folder.rglob("*") if path.is_file())
    catalogue = study.runtime.catalog
    assert query(catalogue, "FROM noise") == []
    assert [value for value, _ in query(catalogue, UNDETERMINED)] == [None]

    lines = said(capsys, "study")
    assert all(line.startswith("ok") for line in lines)
    for what in (
        "traces                       32 of the store",
        "teacher  ",
        "student  ",
        "teacher_count (distilled)",
        "random (distilled)",
    ):
        assert any(line[6:].startswith(what) for line in lines), what
    (blanks,) = [line for line in lines if 'blanks "before"' in line]
    assert re.search(r"mean \|dp\| \S+, p95 \S+; \d+ of [1-9][\d,]* labels would change", blanks)
    scorers = {row.scorer for row in read_noise(study.runtime)}
    assert len(scorers) == 4, "what blanks decide is no noise"
    assert {scorer for (scorer,) in query(catalogue, "SELECT scorer FROM noise")} == scorers
    assert (
        query(
            catalogue,
            "SELECT scorer FROM scorers WHERE scorer NOT IN (FROM (SELECT scorer FROM noise))",
        )
        == []
    )
    before = query(catalogue, UNDETERMINED)
    assert {value for value, _ in before} <= {True, False}

    assert is_complete(study)  # nothing is to be built: noise is in no key
    committed = {
        path
        for path in study.runtime.store_folder.rglob("*")
        if path.is_file() and ".locks" not in path.parts
    }
    assert committed <= set(parts)
    publish_catalogue(study)  # as the next run does
    assert query(catalogue, UNDETERMINED) == before
    assert len(query(catalogue, "FROM noise")) == 4


def test_noise_above_a_gate_fails_with_what_to_do_and_makes_labels_undetermined(
    study: Opened, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jitter(monkeypatch, by=1.0)
    lines = said(capsys, "study", code=2)
    (failed,) = [line for line in lines if line.startswith("fail  teacher ")]
    assert "at most 0.005" in failed
    assert lines[lines.index(failed) + 1].strip().startswith("->")
    noise = {row.scorer: row for row in read_noise(study.runtime)}
    ((teacher, p99),) = query(
        study.runtime.catalog,
        "SELECT DISTINCT n.scorer, n.p99_p FROM noise "
        "n JOIN parts p USING (scorer) WHERE p.role = 'teacher'",
    )
    assert noise[teacher].p99_p == p99 > 0.005

    counts = dict(query(study.runtime.catalog, UNDETERMINED))
    ((total,),) = query(study.runtime.catalog, "SELECT count(*) FROM study_random.provenance")
    assert counts == {True: total}  # margins are about 0.1, and p99 is above 0.05

    out = tmp_path / "study.duckdb"
    assert cli.main(["export", "study", "-o", str(out)]) == 0
    assert dict(query(out, UNDETERMINED)) == counts
    assert len(query(out, "FROM noise")) == 4


def test_labels_of_a_scorer_that_was_not_measured_stay_without_a_word(study: Opened) -> None:
    """`undetermined` is about the scorers of these labels, not about any that was ever measured."""
    made = "SELECT DISTINCT scorer FROM parts WHERE \"table\" = 'scores' AND role "
    distilled = [name for (name,) in query(study.runtime.catalog, made + "= 'distilled'")]
    others = [name for (name,) in query(study.runtime.catalog, made + "!= 'distilled'")]
    rows = [
        {
            "scorer": scorer,
            "against": scorer,
            "p99_logprob": None,
            "p95_p": 0.0,
            "flips": None,
            "p99_p": 0.5 if scorer in distilled else 0.0,
            "num_traces": 32,
        }
        for scorer in [*others, distilled[0]]
    ]
    (study.runtime.workspace / NOISE).write_text(json.dumps(rows))
    publish_catalogue(study)
    found = query(
        study.runtime.catalog,
        "SELECT DISTINCT side, undetermined FROM "
        "study_random.provenance UNION SELECT DISTINCT side, undetermined FROM "
        "study_teacher_count.provenance",
    )
    assert set(found) == {("train", False), ("test", True), ("test", None)}


def test_a_file_of_noise_that_is_broken_stops_nothing(study: Opened, capsys: Capture) -> None:
    (study.runtime.workspace / NOISE).write_text("[{]")
    publish_catalogue(study)
    assert query(study.runtime.catalog, "FROM noise") == []
    assert "noise.json is not JSON" in capsys.readouterr().err


def test_before_any_run_traces_are_sampled_and_nothing_is_committed(
    elsewhere: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_THREADS", "1")
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(elsewhere / name, seed=seed)
    (elsewhere / "study.toml").write_text(STUDY.format(**PLAIN | {"benchmarks": ""}))
    (elsewhere / "problems.jsonl").write_text('{"problem": "How much is 1 and 1?", "answer": 2}\n')
    lines = said(capsys, "study.toml")
    assert "warn  traces                       1 sampled for this" in "\n".join(lines)
    assert not list(elsewhere.rglob("*.parquet"))
    assert len(json.loads((elsewhere / "workspace" / NOISE).read_text())) == 2


def test_two_arguments_are_an_experiment_after_the_word_scorer_and_nothing_else(
    elsewhere: Path, capsys: Capture
) -> None:
    assert cli.main(["doctor", "one.toml", "two.toml"]) == 2
    assert "`scorer` and one experiment" in capsys.readouterr().err


def test_weights_in_bfloat16_are_compared_with_themselves_in_float32(built: Opened) -> None:
    (entry,) = built.experiment.teachers
    full = Model(entry.spec, built.base)
    assert in_float32(full) is None
    rounded = replace(full, spec=entry.spec.model_copy(update={"dtype": "bfloat16"}))
    exact = in_float32(rounded)
    assert exact is not None
    assert exact.scorer == full.scorer != rounded.scorer


def test_two_backends_of_one_model_are_a_pair_and_a_family_is_none() -> None:
    @dataclass
    class Known:
        known: Any
        spec: Any

    @dataclass
    class Said:
        tokenizer: str = "same"
        path: str = "Qwen/Qwen3-0.6B"
        backend: str = "hf"

    here, there = Said(), Said(backend="server")
    other = Said(path="Qwen/Qwen3-32B", backend="server")
    models: Any = {
        name: Known(one, one)
        for name, one in {"here": here, "there": there, "other": other}.items()
    }
    assert list(backend_pairs(Players(models, ()))) == [("here", "there")]
