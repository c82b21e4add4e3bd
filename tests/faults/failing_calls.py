"""Every call that writes fails in turn (SQLite's method): `python -m tests.faults.failing_calls`.

    LD_PRELOAD=SHIM ... FOLDER COMMAND... [--errors ENOSPC ...] [--samples N]

FOLDER holds a study for each command, of its name and ready for it; SHIM is `failing_calls.c`,
compiled. For each of the calls that a command makes (or N of them, evenly spaced) a copy is made,
the command runs in a process whose calls fail from there on, and then again without a fault. A line
of JSON says how both ended. Every process is forked from this one, which has imported everything
and runs no thread.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import io
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows import cli, errors
from flows.workspace import open_file
from rdpt_core.finetune import training
from rdpt_core.store.parts import Store
from settings.runtime import Runtime
from tests.faults.test_damaged_files import build
from tests.flows.example_experiments import copying_train
from tests.stages import toy_stages

ENDLESS = 1 << 40
LASTING = {"ENOSPC", "EDQUOT", "EROFS"}
"""A disk that is full stays so; a single block that cannot be written is EIO."""
OF_COMMAND = {
    "gc": ["gc"],
    "verify": ["verify", "--repair"],
    "export": ["export", "study.toml", "-o", "exported.duckdb"],
    "sync": ["sync"],
}


def toy() -> int:
    """Stages that only compute, through the real plan, worker and store."""
    toy_stages.build(Path("workspace/store"), toy_stages.chain_of(toy_stages.given(range(12))))
    return 0


def run() -> int:
    """What a run does, without Prefect and its seconds."""
    opened = open_file(Path("study.toml"), Runtime(workspace=Path("workspace"), threads=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        return build(opened)


def act_of(command: str) -> Callable[[], int]:
    if command in OF_COMMAND:
        return lambda: cli.main(OF_COMMAND[command])
    return {"toy": toy, "run": run}[command]


def contents(folder: Path) -> dict[str, list[str]]:
    """Table to the contents of its parts, in a workspace without plan or model."""
    store = Store(folder / "workspace/store")
    tables = (
        sorted(p.name for p in store.root.iterdir() if p.is_dir()) if store.root.exists() else []
    )
    return {t: sorted(record.part.content for record in store.records(t)) for t in tables}


class Ended(NamedTuple):
    code: int | None
    """None where the process died."""
    said: str
    num_calls: int


def ended(act: Callable[[], int], folder: Path | None = None, k: int = 0, name: str = "") -> Ended:
    """Runs it in a process of its own, whose calls in `folder` fail from the k-th on: with `name`,
    and one of them only where that does not last."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_act, args=(act, folder, k, name, sender)
    )
    process.start()
    sender.close()
    try:
        found: Ended = receiver.recv()
    except EOFError:
        found = Ended(None, "it died", 0)
    process.join()
    return found


def _act(
    act: Callable[[], int], folder: Path | None, k: int, name: str, sender: Connection
) -> None:
    shim, said = ctypes.CDLL(os.environ["LD_PRELOAD"]), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        if folder is not None:
            last = ctypes.c_long(ENDLESS if name in LASTING else k)
            shim.arm(str(folder).encode(), ctypes.c_long(k), last, getattr(errno, name))
        try:
            code = act()
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException as error:
            code = errors.explain(error)
    sender.send(Ended(code, said.getvalue(), shim.num_calls()))
    sender.close()
    os._exit(0)


@contextlib.contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """A copy of the study, which is the working directory."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        copy = shutil.copytree(folder, Path(place).resolve() / "copy", symlinks=True)
        with contextlib.chdir(copy):
            yield copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("commands", nargs="+", choices=["toy", "run", *OF_COMMAND])
    parser.add_argument("--errors", nargs="+", default=["ENOSPC", "EIO", "EDQUOT", "EROFS"])
    parser.add_argument("--samples", type=int, help="calls that fail; all if left out")
    options = parser.parse_args()
    for command, name in itertools.product(options.commands, options.errors):
        folder, act = options.folder.resolve() / command, act_of(command)
        with copied(folder) as copy:
            total = ended(act, copy, ENDLESS, name).num_calls
        for k in chosen(total, options.samples):
            found = {"command": command, "error": name, "k": k, "total": total}
            sys.stdout.write(json.dumps(found | failing(act, folder, k, name)) + "\n")
            sys.stdout.flush()


def chosen(total: int, samples: int | None) -> list[int]:
    if samples is None or samples >= total:
        return list(range(1, total + 1))
    return [1 + round(i * (total - 1) / (samples - 1)) for i in range(samples)]


def failing(act: Callable[[], int], folder: Path, k: int, name: str) -> dict[str, Any]:
    with copied(folder) as copy:
        first = ended(act, copy, k, name)
        again = ended(act)
        if left_in(copy):  # what could not be removed either
            ended(act_of("gc"))
        return {
            "code": first.code,
            "said": first.said[-2000:],
            "again": again.code,
            "said_again": again.said[-2000:],
            "left": left_in(copy),
            "contents": contents(copy),
        }


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tmp"))


if __name__ == "__main__":
    main()
