"""Kills a real `rdpt run` at random times, again and again: `python -m tests.soak`.

Prefect and MLflow are on, and students are trained. A run is killed at any time between its start
and its last line: the whole group, its main process alone, or one process that it started. The
next one goes on in the same workspace. No committed part may be lost, made again or differ from
those of a run that nobody killed. A finished workspace is begun anew. Every kill is a line of
`soak.jsonl` in FOLDER, and the same command goes on after the last of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from rdpt_core.store.parts import Store
from tests.conftest import ROOT
from tests.flows.commands.test_run import Bench

KINDS = ("group", "main", "child")
Parts = dict[str, tuple[str, int]]
"""Table and key to content, and to when it was committed."""


class Soak:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.log = folder / "soak.jsonl"
        if not (folder / "study.toml").exists():
            Bench(folder)
        self.expected = self._expected()

    def _expected(self) -> tuple[set[str], float]:
        """Contents of a run that nobody kills, and its seconds."""
        note = self.folder / "expected.json"
        if not note.exists():
            begun = time.monotonic()
            assert self._start(self.folder / "whole").wait() == 0, "the run itself fails"
            found = sorted(f"{k} {c}" for k, (c, _) in parts_of(self.folder / "whole").items())
            note.write_text(json.dumps([found, time.monotonic() - begun]))
        contents, seconds = json.loads(note.read_text())
        return set(contents), seconds

    def _start(self, workspace: Path) -> subprocess.Popen[bytes]:
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "run", "study.toml"],
                cwd=self.folder,
                env=os.environ
                | {"PYTHONPATH": str(ROOT), "RDPT_WORKSPACE": str(workspace), "RDPT_THREADS": "1"},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill_once(self) -> dict[str, object]:
        """One run that is killed; what was found. Raises AssertionError."""
        workspace, kind = self.folder / "killed", self.random.choice(KINDS)
        before, begun = parts_of(workspace), time.monotonic()
        run = self._start(workspace)
        wait = self.random.uniform(0.0, self.expected[1])
        try:
            code: int | None = run.wait(wait)
        except subprocess.TimeoutExpired:
            code = None
            kill(run, kind)
            run.wait(600)  # a run whose server died waits for it
        finally:
            end(run)
        after = parts_of(workspace)
        assert before.items() <= after.items(), "a committed part was lost or made again"
        contents = {f"{name} {content}" for name, (content, _) in after.items()}
        assert contents <= self.expected[0], "a part differs from that of the whole run"
        if code == 0:
            assert contents == self.expected[0], "a finished run lacks parts"
            shutil.rmtree(workspace)
        seconds = round(time.monotonic() - begun, 1)
        return {"kind": kind, "after": round(wait, 2), "code": code, "seconds": seconds} | {
            "parts": len(after),
            "of": len(self.expected[0]),
        }


def parts_of(workspace: Path) -> Parts:
    store = Store(workspace / "store")
    return {
        f"{table.name} {record.part.key}": (record.part.content, record.mtime_ns)
        for table in sorted(store.root.glob("*"))
        if table.is_dir()
        for record in store.records(table.name)
    }


def kill(run: subprocess.Popen[bytes], kind: str) -> None:
    """A child that dies alone fails its table, and the run goes on or ends by itself."""
    children = psutil.Process(run.pid).children(recursive=True)
    if kind == "group":
        os.killpg(run.pid, signal.SIGKILL)
    elif kind == "child" and children:
        random.Random(len(children)).choice(children).kill()
    else:
        run.kill()


def end(run: subprocess.Popen[bytes]) -> None:
    """What the killed left of its session, such as Prefect's server, must hold no file of it."""
    try:
        os.killpg(run.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "rdpt-soak")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    log = options.folder.resolve() / "soak.jsonl"
    done = len(log.read_text().splitlines()) if log.exists() else 0
    soak = Soak(options.folder.resolve(), options.seed + done)
    for number in range(done + 1, options.kills + 1):
        found = soak.kill_once()
        with log.open("a") as file:
            file.write(json.dumps(found) + "\n")
        sys.stdout.write(f"{number} of {options.kills}: {found}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
