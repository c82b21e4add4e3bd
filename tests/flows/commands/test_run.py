"""A whole experiment through the command line: real Prefect, real fine-tuning, tiny models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from rdpt_core.store.parts import Store
from tests.core.models import tiny
from tests.flows.example_experiments import head

STUDY = (
    head("study", 'problems = { source = "pocket", limit = 16 }', part_size=8)
    + """
[traces]
source = "generate"
samples = 2
sampling = { max_new_tokens = 8, batch_size = 8 }
[[selectors]]
name = "teacher_count"
[pool]
eligible = "all"
[training]
epochs = 1
[[benchmarks]]
name = "bench"
problems = { source = "pocket", split = "bench", limit = 8 }
traces = { source = "generate", samples = 1, sampling = { max_new_tokens = 8 } }
"""
)
ELIGIBLE_QUESTIONS = """
SELECT count(DISTINCT problem_id) FROM study_teacher_count.pool
JOIN study_teacher_count.traces USING (trace_id) WHERE eligible AND traces.side = 'train'
"""


class Bench:
    """A folder with a study, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for seed, name in enumerate(("teacher", "student")):
            tiny.make_qwen(folder / name, seed=seed)
        (folder / "study.toml").write_text(STUDY)

    @property
    def store(self) -> Store:
        return Store(self.folder / "workspace" / "store")

    def rdpt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[3]
        environment = {**os.environ, "PYTHONPATH": str(root), "RDPT_THREADS": "1"}
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )

    def parts(self) -> Counter[str]:
        return Counter(path.parent.name for path in self.store.root.glob("*/*.parquet"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("a study"))


@pytest.fixture(scope="module")
def done(bench: Bench) -> subprocess.CompletedProcess[str]:
    """The study's first run."""
    return bench.rdpt("run", "study.toml")


def test_a_plan_writes_nothing(bench: Bench) -> None:
    planned = bench.rdpt("plan", "study.toml")
    assert planned.returncode == 0, planned.stderr
    assert "32 traces, <= 256 tokens" in planned.stdout
    assert not (bench.folder / "workspace").exists()


def test_one_command_runs_it_all_and_ends_with_its_results(
    bench: Bench, done: subprocess.CompletedProcess[str]
) -> None:
    assert done.returncode == 0, done.stderr
    assert "where its sentences come from" in done.stdout
    assert "Traceback" not in done.stderr
    page = bench.folder / "workspace" / "reports" / "study.html"
    assert done.stderr.splitlines()[-1] == f"the report: {page.resolve().as_uri()}"
    assert page.read_text().startswith("<!doctype html>")
    assert bench.parts()["students"] == 1
    with duckdb.connect(str(bench.folder / "workspace" / "rdpt.duckdb"), read_only=True) as sql:
        picked = sql.execute("SELECT count(*) FROM study_teacher_count.selection").fetchone()
        assert picked == sql.execute(ELIGIBLE_QUESTIONS).fetchone()
        counted = "SELECT count(*) FROM study_teacher_count.results WHERE metric = 'accuracy'"
        assert sql.execute(counted).fetchone() == (1,)


@pytest.mark.fault("F12")
@pytest.mark.usefixtures("done")
def test_t40_without_prefects_database_the_second_run_starts_nothing_and_prints_the_same(
    bench: Bench,
) -> None:
    shutil.rmtree(bench.folder / "workspace" / "prefect")
    page = bench.folder / "workspace" / "reports" / "study.html"
    written = page.stat().st_mtime_ns
    first = bench.rdpt("run", "study.toml")
    assert page.stat().st_mtime_ns == written
    assert first.returncode == 0
    assert "up to date" in first.stderr
    assert bench.rdpt("resume").stdout == first.stdout


@pytest.mark.usefixtures("done")
def test_the_distilled_model_loads_anywhere(bench: Bench) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (folder,) = bench.store.root.glob("students/*/checkpoint")
    assert AutoTokenizer.from_pretrained(folder)("a").input_ids
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    assert not list((bench.store.root / "students" / ".work").glob("*"))


@pytest.mark.fault("F11")
@pytest.mark.usefixtures("done")
def test_a_lost_part_is_rebuilt_alone_and_the_rest_is_cached(bench: Bench) -> None:
    before = {r.part.key: r.part.content for r in bench.store.records("sentences")}
    victim = next(bench.store.root.glob("sentences/*.parquet"))
    victim.unlink()
    again = bench.rdpt("run", "study.toml")
    assert again.returncode == 0, again.stderr
    assert {r.part.key: r.part.content for r in bench.store.records("sentences")} == before
    lines = (bench.folder / "workspace" / "logs" / "study.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) | {"event": "ended", "failures": []} == json.loads(lines[-1])


@pytest.mark.usefixtures("done")
def test_runs_lists_it(bench: Bench) -> None:
    listed = bench.rdpt("runs")
    assert listed.stdout.startswith("study\t")


@pytest.mark.fault("F05", "F10")
@pytest.mark.usefixtures("done")
def test_a_damaged_checkpoint_is_trained_again_and_nothing_after_it_is_built(bench: Bench) -> None:
    """The same selection, recipe and seed give the same weights, so all that follows is cached."""
    before = bench.parts()
    (weights,) = bench.store.root.glob("students/*/checkpoint/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    again = bench.rdpt("run", "study.toml")
    assert again.returncode == 0, again.stderr
    assert "students/" in again.stderr  # the part is named
    assert bench.parts() == before
