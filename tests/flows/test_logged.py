"""A teacher whose log-probabilities come with the traces: no weights of it are ever loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.commands.doctor.models import model_findings
from flows.workspace import open_file
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.pocket import MODELS
from rdpt_core.tables.rows import Provenance, ScoreSource, ScoreStatus, TokenScores
from settings.loading import BadSettings, read_experiment
from settings.models import Student
from settings.runtime import Runtime
from tasks.plan import Plan
from tasks.worker import Worker
from tests.core.models import tiny
from tests.stages.toy_stages import Journal

STUDY = f"""
name = "logged"
[traces]
source = "import"
path = "traces.jsonl"
[[teachers]]
name = "teacher"
path = "tokenizer"
backend = "logged"
[[students]]
name = "student"
path = "{MODELS / "student"}"
source = "select"
[[selectors]]
name = "teacher_count"
[grading]
grader = "none"
[pool]
eligible = "all"
"""


def test_of_two_logged_teachers_it_is_said_which_traces_are_whose(study: Path) -> None:
    other = '[[teachers]]\nname = "other"\npath = "tokenizer"\nbackend = "logged"\n[[students]]'
    study.write_text(study.read_text().replace("[[students]]", other))
    with pytest.raises(BadSettings, match="teachers teacher and other are logged: name the author"):
        open_file(study, Runtime(workspace=study.parent / "workspace"))
    said = study.read_text().replace(
        'backend = "logged"', 'backend = "logged"\nlogged = { author = "a" }'
    )
    study.write_text(said)
    assert len(open_file(study, Runtime(workspace=study.parent / "w")).experiment.teachers) == 2


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Traces with ids and log-probabilities; of their author there is a tokenizer and no more."""
    problems = [tiny.problem(f"Ann has {n} apples and buys 3 more. How many?") for n in range(5, 8)]
    teacher = load(ModelSpec(path="teacher"), MODELS, threads=1)
    traces = HfGenerator(teacher, Sampling(max_new_tokens=80), seed=3).generate(problems, 0)
    rows: list[dict[str, Any]] = []
    for problem, trace in zip(problems, traces, strict=True):
        assert trace.token_ids is not None
        assert trace.logprobs is not None
        tag = teacher.renderer.vocabulary.parse("<think>\n")
        rows.append(
            {
                "problem": problem.prompt,
                "trace": "<think>\n" + trace.text,
                "token_ids": [*tag, *trace.token_ids.tolist()],
                "logprobs": [-0.5] * len(tag) + trace.logprobs.tolist(),
            }
        )
    rows.append({"problem": problems[0].prompt, "trace": "12 and nothing logged."})
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (MODELS / "teacher" / name).exists():
            shutil.copy(MODELS / "teacher" / name, tmp_path / "tokenizer")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_a_logged_teacher_labels_without_a_forward_pass(study: Path, tmp_path: Path) -> None:
    opened = open_file(study, Runtime(workspace=tmp_path / "workspace", threads=1))
    for table in opened.study.tables():
        Worker(Plan(opened.store), opened.runtime, Journal()).build(table)
    (arm,) = opened.study.configurations()
    plan = Plan(opened.store)

    def rows(kind: type, name: str, role: str | None = None) -> list[Any]:
        wanted = arm.find(name, "train", role)
        assert wanted is not None
        found: list[Any] = []
        for part in plan.state(wanted).parts:
            found += opened.store.rows(kind, part)
        return found

    scores = rows(TokenScores, "scores", "teacher")
    assert {row.source for row in scores} == {ScoreSource.LOGGED}
    statuses = sorted(row.status for row in scores)
    assert statuses == [ScoreStatus.ERROR, *[ScoreStatus.OK] * 3]
    logged = [
        made
        for made in (record.made for record in opened.store.records("scores"))
        if "sampled_ids_known" in made
    ]
    names = (
        "sampled_ids_known",
        "sampled_ids_differ",
        "quoting_control_tokens",
        "merging_with_prompt",
    )
    assert [sum(made[name] for made in logged) for name in names] == [3, 0, 0, 0]
    labels = rows(Provenance, "provenance")
    assert any(row.label is not None for row in labels)
    unlabelled = {row.reason for row in labels if row.label is None}
    assert "error" in unlabelled


def test_logs_of_another_tokenizer_stop_the_run_with_an_example(
    study: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"token_ids": [5, 6], "logprobs": [-1.0, -1.0]}
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = open_file(study, Runtime(workspace=tmp_path / "workspace", threads=1))
    worker = Worker(Plan(opened.store), opened.runtime, Journal())
    with pytest.raises(Exception, match=r"(\d) of \1 logged traces cannot be believed"):
        list(map(worker.build, opened.study.tables()))


def test_a_logged_teacher_writes_nothing_new(study: Path) -> None:
    text = study.read_text().replace(
        'source = "import"\npath = "traces.jsonl"', 'source = "generate"'
    )
    study.write_text(text + '[problems]\nsource = "pocket"\nsplit = "distill"\nlimit = 4\n')
    with pytest.raises(BadSettings) as refused:
        read_experiment(study)
    assert "teacher 'teacher' is logged" in str(refused.value)


def test_a_logged_teacher_cannot_move_blanks(study: Path) -> None:
    study.write_text(study.read_text() + '\n[scoring]\nleading_blank = "before"\n')
    with pytest.raises(BadSettings, match="needs all models loaded here, and 'teacher' is logged"):
        read_experiment(study)


@pytest.mark.parametrize(("temperature", "state"), [(1.0, "ok"), (0.6, "warn")])
def test_doctor_says_at_which_temperature_a_log_was_taken(
    study: Path, temperature: float, state: str
) -> None:
    entry = f'backend = "logged"\nlogged = {{ temperature = {temperature} }}'
    study.write_text(study.read_text().replace('backend = "logged"', entry))
    opened = open_file(study, Runtime(workspace=study.parent / "workspace"), read_only=True)
    found = [one for one in model_findings(opened) if one.what.strip() == "scores"]
    assert [one.state for one in found] == [state]


@pytest.mark.parametrize("entry", [{"backend": "server", "server": "lab"}, {"gguf": "m.gguf"}])
def test_only_a_model_that_is_loaded_here_learns(entry: dict[str, str]) -> None:
    given = {"name": "s", "path": "p", **entry}
    with pytest.raises(ValueError, match='or source = "select", which trains nothing'):
        Student.model_validate(given)
    assert Student.model_validate(given | {"source": "select"}).source == "select"
    imported = given | {"source": "import", "distilled": "d"}
    assert Student.model_validate(imported).distilled_spec.backend == "hf", "both are only read"
