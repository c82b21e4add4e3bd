"""X6: keys in the environment of a whole run are found nowhere afterwards, nor while it runs.

The run is the real one: the command line in a process of its own, Prefect, a training, a teacher
behind a model server that wants a key, and a real MLflow server over HTTP.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import pyarrow.parquet as pq
import pytest

from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec
from tests.conftest import ROOT
from tests.core.models import tiny
from tests.core.models.serving import model_server as m
from tests.core.models.serving.model_server import Brain, StandInServer
from tests.flows.real_mlflow import RealMlflow

CANARIES = {
    "RDPT_SERVERS__LAB__API_KEY": "canary-of-the-model-server",
    "MLFLOW_TRACKING_PASSWORD": "canary-of-mlflow",
    "HF_TOKEN": "canary-of-the-hub",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-artifacts",
    "PREFECT_API_KEY": "canary-of-prefect",
}
USER = "somebody"
LOGIN = b64encode(f"{USER}:{CANARIES['MLFLOW_TRACKING_PASSWORD']}".encode()).decode()
"""MLflow's user and password as HTTP spells them."""
FOUND = re.compile("|".join([*CANARIES.values(), LOGIN]).encode())
STUDY = """
name = "study"
part_size = 8
problems = { source = "file", path = "problems.jsonl" }
[traces]
source = "generate"
samples = 1
sampling = { max_new_tokens = 6 }
[[teachers]]
name = "teacher"
path = "teacher"
thinking = "none"
backend = "server"
server = "lab"
served = "small"
[[students]]
name = "student"
path = "student"
thinking = "none"
[[selectors]]
name = "random"
[pool]
eligible = "all"
[training]
epochs = 1
[[benchmarks]]
name = "bench"
problems = { source = "file", path = "problems.jsonl", limit = 4 }
traces = { source = "generate", samples = 1, sampling = { max_new_tokens = 6 } }
"""


@dataclass
class Lab:
    """A folder with a study, its model server, and an MLflow server with files of its own."""

    folder: Path
    server: StandInServer
    mlflow: str

    def rdpt(self, *arguments: str) -> tuple[int, bytes, set[str]]:
        """Exit code, all that was printed, and the command lines of all processes meanwhile."""
        settings = {
            "MLFLOW_TRACKING_USERNAME": USER,
            "RDPT_THREADS": "1",
            "RDPT_TRACKING": self.mlflow,
            "RDPT_SERVERS__LAB__URL": self.server.url,
            "RDPT_SERVERS__LAB__PATIENCE": "0",
            "PYTHONPATH": str(ROOT),
        }
        with (self.folder / "printed").open("w+b") as printed:
            child = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *arguments],
                cwd=self.folder,
                env={**os.environ, **CANARIES, **settings},
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
            lines = seen_while_it_runs(child)
            return child.returncode, _content(printed), lines


def seen_while_it_runs(child: subprocess.Popen[bytes]) -> set[str]:
    """Command lines and titles of a process and of all that it starts."""
    lines: set[str] = set()
    top = psutil.Process(child.pid)
    while child.poll() is None:
        for process in [top, *_children(top)]:
            try:
                lines |= {*process.cmdline(), process.name()}
            except psutil.Error:
                continue
        time.sleep(0.3)  # to list processes takes 10 ms and more
    return lines


def _children(top: psutil.Process) -> list[psutil.Process]:
    try:
        return list(top.children(recursive=True))
    except psutil.Error:
        return []


def _content(printed: IO[bytes]) -> bytes:
    printed.seek(0)
    return printed.read()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("canaries")
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(folder / name, seed=seed)
    lines = [{"problem": f"How much is {n} and 1?", "answer": str(n + 1)} for n in range(8)]
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "study.toml").write_text(STUDY)
    brain = Brain(load(ModelSpec(path="teacher"), folder, threads=1))
    key = CANARIES["RDPT_SERVERS__LAB__API_KEY"]
    with (
        StandInServer(brain, limit=256, key=key).running() as server,
        RealMlflow(folder / "mlflow server").running() as mlflow,
    ):
        yield Lab(folder, server, mlflow.address)


def holding(folder: Path) -> list[str]:
    """Files with a canary: databases with their journals, artifacts, logs, reports, parts."""
    return [
        f"{path.relative_to(folder)}: {found[0]!r}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (found := FOUND.findall(unpacked(path)))
    ]


def unpacked(path: Path) -> bytes:
    """The bytes of a file, with the rows of a Parquet file as text and the data of a page."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        content += str(pq.read_table(path).to_pylist()).encode()
    for packed in re.findall(rb"H4sI[A-Za-z0-9+/=]+", content):
        content += gzip.decompress(b64decode(packed))
    return content


@pytest.mark.fault("X6")
def test_x6_canaries_are_found_nowhere_after_a_run_nor_while_it_runs(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    code, printed, titles = lab.rdpt("run", "study.toml")
    assert code == 0, printed.decode()
    assert b"warning" not in printed
    assert lab.server.asked_to_write(), "the teacher was asked, with its key"
    assert [line for line in titles if FOUND.search(line.encode())] == []
    assert any("train" in line for line in titles), "the training's process was seen"
    assert not FOUND.search(printed)
    files = [path for path in lab.folder.rglob("*") if path.is_file()]
    assert holding(lab.folder) == []
    names = {path.name for path in files}
    assert {"mlflow.db", "prefect.db", "rdpt.duckdb", "study.html", "study.jsonl"} <= names
    record_property("figure", f"0 of {len(CANARIES)} keys in {len(files)} files")


@pytest.mark.fault("X6")
def test_x6_a_server_that_quotes_the_key_puts_it_into_no_message(lab: Lab) -> None:
    key = CANARIES["RDPT_SERVERS__LAB__API_KEY"]
    (lab.folder / "study.toml").write_text(STUDY.replace("samples = 1", "samples = 2"))
    lab.server.always = m.status(401, f"Authorization: Bearer {key} is not known here")
    code, printed, titles = lab.rdpt("run", "study.toml", "-v")
    assert code != 0
    assert b"is not known here" in printed
    assert not FOUND.search(printed + "\n".join(titles).encode())
    assert holding(lab.folder) == []
