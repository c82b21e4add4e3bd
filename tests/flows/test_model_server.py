"""Experiments whose teacher is behind a server: resumed without asking twice, shown without it."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import cli
from flows.workspace import Opened, open_file
from rdpt_core.models.loading.weights import load
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.spec import ModelSpec
from rdpt_core.store import notes
from rdpt_core.store.record import Part
from settings.runtime import Runtime
from tasks import models
from tasks.batches import Batches
from tasks.plan import Plan
from tasks.worker import Worker
from tests.core.models import tiny
from tests.core.models.serving import model_server as m
from tests.core.models.serving.model_server import Brain, StandInServer
from tests.faults.commit_points import dies_after
from tests.flows.recorded_requests import refused
from tests.stages.toy_stages import Journal

KEY = "canary-0123456789"
STUDY = """
name = "study"
part_size = {part_size}
[problems]
source = "file"
path = "problems.jsonl"
[traces]
source = "generate"
samples = {samples}
sampling = {{ max_new_tokens = 6 }}
[[teachers]]
name = "teacher"
path = "teacher"
thinking = "none"
backend = "server"
server = "lab"
served = "small"
[[students]]
name = "student"
source = "select"
path = "student"
thinking = "none"
[[selectors]]
name = "teacher_count"
[pool]
eligible = "all"
"""
NUM_PROBLEMS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("behind a server")
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(made / name, seed=seed)
    lines = [
        json.dumps({"problem": f"How much is {n} and 1?", "answer": str(n + 1)})
        for n in range(NUM_PROBLEMS)
    ]
    (made / "problems.jsonl").write_text("\n".join(lines) + "\n")
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[StandInServer]:
    models._connected.cache_clear()
    models._served.cache_clear()
    brain = Brain(load(ModelSpec(path="teacher"), folder, threads=1))
    with StandInServer(brain, limit=256, key=KEY).running() as running:
        yield running


def opened(
    folder: Path, server: StandInServer, place: Path, concurrency: int = 4, **changes: Any
) -> Opened:
    file = folder / "study.toml"
    file.write_text(STUDY.format(**({"part_size": 6, "samples": 1} | changes)))
    lab = ModelServer.model_validate(
        {"url": server.url, "api_key": KEY, "concurrency": concurrency}
    )
    return open_file(file, Runtime(workspace=place / "workspace", threads=1, servers={"lab": lab}))


def build(study: Opened) -> None:
    for table in study.study.tables():
        if not Plan(study.store).state(table).complete:
            Worker(Plan(study.store), study.runtime, Journal()).build(table)


def complete(study: Opened) -> bool:
    return all(Plan(study.store).state(table).complete for table in study.study.tables())


def as_sent(bodies: list[m.Body]) -> list[str]:
    """What was asked for, without what differs each time."""
    return [json.dumps({k: v for k, v in b.items() if k != "cache_salt"}) for b in bodies]


@pytest.mark.fault("F01")
def test_a_killed_run_asks_for_nothing_twice_that_was_finished(
    folder: Path, server: StandInServer, tmp_path: Path
) -> None:
    def work() -> None:
        dies_after(Batches, "keep", 5)()
        build(opened(folder, server, tmp_path))

    for _ in range(3):
        server.asked.clear()
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(120)
        assert child.exitcode == -signal.SIGKILL
    server.asked.clear()
    study = opened(folder, server, tmp_path)
    build(study)
    assert complete(study)
    texts = server.asked_to_write()
    scores = [b for _, b in server.asked if b["max_tokens"] == 1 and b.get("prompt_logprobs")]
    asked = [b for b in scores if not server.is_probe(b)]
    assert len(texts) == 0, "12 texts were finished after 15 that were kept"
    assert len(asked) == NUM_PROBLEMS - 3


def test_a_long_text_of_one_part_does_not_empty_the_window(
    folder: Path, server: StandInServer, tmp_path: Path
) -> None:
    """While the first text waits, those of all other parts are written."""
    others = threading.Event()

    def waits(handler: m.Handler, body: m.Body) -> bool:
        if body["max_tokens"] == 6:
            if not others.is_set() and server.asked_to_write()[0] is body:
                assert others.wait(60)
            elif len([b for b in server.answered if b["max_tokens"] == 6]) >= NUM_PROBLEMS - 2:
                others.set()
        return False

    server.always = waits
    study = opened(folder, server, tmp_path, part_size=3)
    build(study)
    assert complete(study)
    assert others.is_set()
    assert server.most_under_way == 4


def refuses(*texts: str) -> m.Fault:
    """Answers 400 to prompts with one of these texts, once the probe is over."""

    def fault(handler: m.Handler, body: m.Body) -> bool:
        prompt = handler.server.models.brain.vocabulary.decode(body["prompt"])
        return any(text in prompt for text in texts) and m.status(400)(handler, body)

    return fault


@pytest.mark.fault("F23")
@pytest.mark.parametrize("concurrency", [1, 4])
def test_f23_a_text_that_cannot_be_had_is_left_out_with_its_reason(
    folder: Path,
    server: StandInServer,
    tmp_path: Path,
    concurrency: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.always = refuses("How much is 3 and 1?")
    study = opened(folder, server, tmp_path, concurrency, part_size=12)
    build(study)
    assert "1 of 12 texts were not returned by server 'lab', such as" in capsys.readouterr().err
    assert complete(study)
    (part,) = sampled(study)
    assert part.num_rows == NUM_PROBLEMS - 1
    record = study.store.record("traces", part.key)
    assert record is not None
    assert record.made["errors"] == 1
    assert "answers 400" in record.made["reasons"][0]
    assert KEY not in str(record.made)
    server.asked.clear()
    build(study)
    assert server.asked_to_write() == []


@pytest.mark.fault("F23")
def test_f23_a_part_of_nothing_is_no_part(
    folder: Path, server: StandInServer, tmp_path: Path
) -> None:
    server.always = refuses("How much is 11 and 1?")
    study = opened(folder, server, tmp_path, part_size=11)
    with pytest.raises(ValueError, match="1 of 1 texts"):
        build(study)


@pytest.mark.fault("F23")
def test_f23_two_of_twelve_are_too_many_and_the_others_are_kept(
    folder: Path, server: StandInServer, tmp_path: Path
) -> None:
    server.always = refuses("How much is 3 and 1?", "How much is 4 and 1?")
    study = opened(folder, server, tmp_path, part_size=12)
    with pytest.raises(ValueError, match=r"2 of 12 texts were not returned by server 'lab'.*400"):
        build(study)
    server.always = None
    server.asked.clear()
    build(study)
    assert complete(study)
    assert len(server.asked_to_write()) == 2
    assert sampled(study)[0].num_rows == NUM_PROBLEMS


def sampled(study: Opened) -> tuple[Part, ...]:
    tables = [table for table in study.study.tables() if table.name == "traces"]
    return Plan(study.store).state(tables[0]).parts


def test_two_backends_of_one_model_are_held_against_each_other(
    folder: Path,
    server: StandInServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A teacher behind a server and the same teacher here: the same numbers. Then the server serves
    another model under that name: tokens tell, although all of its sentences are so improbable
    that no probability moves by as much as the gate."""
    file = folder / "both.toml"
    here = '[[teachers]]\nname = "here"\npath = "teacher"\nthinking = "none"\n[[students]]'
    # With this seed no text holds a tag of thinking, which would be one id, and a likely one.
    text = STUDY.format(part_size=6, samples=1).replace('name = "study"', 'name = "both"\nseed = 1')
    file.write_text(text.replace("[[students]]", here))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RDPT_THREADS", "1")
    monkeypatch.setenv("RDPT_SERVERS", json.dumps({"lab": {"url": server.url, "api_key": KEY}}))
    gap, flips, ratio = compared(capsys, file)
    assert gap < 1e-6
    assert flips.startswith("0 of ")
    assert ratio < 1.0001
    server.brain = Brain(load(ModelSpec(path="student"), folder, threads=1))
    models._connected.cache_clear()
    models._served.cache_clear()
    assert compared(capsys, file)[2] > 10


def compared(capsys: pytest.CaptureFixture[str], file: Path) -> tuple[float, str, float]:
    """What `rdpt doctor scorer` says of the two backends: p95 of |dp|, flips, mean exp |dlogp|."""
    assert cli.main(["doctor", "scorer", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(n for n, line in enumerate(lines) if "teacher, here" in line)
    gap, flips, ratio = (
        line.split(word)[1].split(",")[0].strip()
        for line, word in zip(lines[at : at + 3], ("|dp|", "flips", "|dlogp|"), strict=True)
    )
    return float(gap.split()[0]), flips, float(ratio)


@pytest.mark.fault("X6")
def test_no_key_is_written_anywhere_and_a_finished_study_needs_no_server(
    folder: Path,
    server: StandInServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = opened(folder, server, tmp_path)
    build(study)
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RDPT_SERVERS", json.dumps({"lab": {"url": server.url}}))
    monkeypatch.setenv("RDPT_SERVERS__LAB__API_KEY", KEY)
    server.key = "another"
    assert cli.main(["doctor", str(folder / "study.toml")]) in (0, 2)
    server.key = KEY
    assert cli.main(["plan", str(folder / "study.toml")]) == 0
    said = "".join(capsys.readouterr())
    assert KEY not in said + repr(study) + repr(
        study.study.model(study.experiment.teachers[0].spec)
    )
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    models._served.cache_clear()
    models._connected.cache_clear()
    away = opened(folder, StandInServer(server.brain, url="http://127.0.0.1:9/v1"), tmp_path)
    with pytest.raises(ConnectionError):
        assert complete(away)
    file = study.memory.file.with_name(models.SERVERS)
    moved = json.loads(file.read_text().replace(server.url, "http://127.0.0.1:9/v1"))
    notes.write(file, moved["note"])
    assert complete(
        opened(folder, StandInServer(server.brain, url="http://127.0.0.1:9/v1"), tmp_path)
    )


def test_a_finished_study_is_finished_under_another_name_of_the_same_weights(
    folder: Path, server: StandInServer, tmp_path: Path
) -> None:
    """What a server says of itself is in the parts' records and not in their keys."""
    study = opened(folder, server, tmp_path)
    build(study)
    (part, *_) = sampled(study)
    record = study.store.record("traces", part.key)
    assert record is not None
    assert record.made["server"] == {"api": "vllm", "version": "0.1.2", "states": ["vllm-1"]}
    server.served = "other"
    server.asked.clear()
    models._connected.cache_clear()
    models._served.cache_clear()
    file = folder / "study.toml"
    file.write_text(file.read_text().replace('served = "small"', 'served = "other"'))
    assert complete(open_file(file, study.runtime))
    assert server.asked_to_write() == []


def test_a_server_that_ignores_what_it_is_asked_is_refused_before_any_work(
    folder: Path,
    server: StandInServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.defaults, server.ignores = {"top_k": 1}, True
    study = opened(folder, server, tmp_path)
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RDPT_SERVERS", json.dumps({"lab": {"url": server.url, "api_key": KEY}}))
    assert "two seeds give the same texts" in refused(capsys, "run", str(study.file))
    assert server.asked_to_write() == []


def test_texts_of_a_file_are_scored_by_a_server(
    folder: Path,
    server: StandInServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"trace_id": "a", "prompt": "How much is 1 and 1?", "text": "It is 2."}]
    Path("traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    here = ["score", "traces.jsonl", "--model", str(folder / "teacher"), "-o"]
    assert cli.main([*here, "own.jsonl"]) == 0
    pinned = ["--revision", "0" * 40]
    assert "is the commit of a hub id, and" in refused(capsys, *here, "no.jsonl", *pinned)
    behind = ["--server", "lab", "--served", "small"]
    assert "goes with a model that is loaded here" in refused(
        capsys, *here, "no.jsonl", *behind, *pinned
    )
    assert "RDPT_SERVERS" in refused(capsys, *here, "no.jsonl", *behind)
    monkeypatch.setenv("RDPT_SERVERS", json.dumps({"lab": {"url": server.url, "api_key": KEY}}))
    assert cli.main([*here, "asked.jsonl", *behind]) == 0
    own, asked = (json.loads(Path(f"{n}.jsonl").read_text()) for n in ("own", "asked"))
    assert asked["source"] == "server"
    assert asked["logprobs"] == pytest.approx(own["logprobs"], abs=1e-4)
    assert asked["ranks"] == own["ranks"]
    server.shift = 1
    models._connected.cache_clear()
    assert "shifted by one token" in refused(capsys, *here, "no.jsonl", *behind)
    monkeypatch.setenv("RDPT_SERVERS", '{"lab": {"url": "http://127.0.0.1:9/v1"}}')
    assert cli.main([*here, "no.jsonl", *behind]) == 5
