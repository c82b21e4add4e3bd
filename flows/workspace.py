"""The workspace: the experiments that it keeps as they were run, and its notes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flows.configurations import Configuration
from flows.study.study import Study
from rdpt_core.files.replacing import write_durably
from rdpt_core.models.files import HashMemory
from rdpt_core.store.notes import Notes
from rdpt_core.store.parts import Store
from rdpt_core.tables.spelling import hint
from settings.experiment import Experiment
from settings.loading import BadSettings, find_experiment, parse_experiment, read_experiment
from settings.runtime import Runtime
from tasks.plan import Plan
from tasks.progress import say
from tasks.stores import store_of

EXPERIMENT = "experiment.toml"
NO_RUNS = "this workspace has no runs yet: rdpt run smoke, or your own file"
ORIGIN = "origin.json"
CONTENTS = "catalogue.json"
NOISE = "noise.json"
MODELS = "models.json"


@dataclass(frozen=True, slots=True)
class FrozenOrigin:
    """Where a frozen experiment came from."""

    base: str
    """Where relative paths of its file start."""
    beside: str | None = None
    """The same, as seen from the workspace: it counts where `base` is gone, as after both moved."""
    text: str | None = None
    """The experiment's file, as it was run. The file next to this note is for people; only where an
    earlier release kept no text here it is read."""


ORIGINS = TypeAdapter(FrozenOrigin)


@dataclass(frozen=True)
class Opened:
    """An experiment in a workspace."""

    runtime: Runtime
    experiment: Experiment
    file: Path
    base: Path
    """Where relative paths of the file start."""

    @property
    def folder(self) -> Path:
        return self.runtime.workspace / "runs" / self.experiment.name

    read_only: bool = False
    """True if its store is only read, as a plan does."""

    @property
    def store(self) -> Store:
        return store_of(self.runtime, say, self.read_only)

    @cached_property
    def study(self) -> Study:
        return Study(self.experiment, self.base, self.memory, self.runtime.servers)

    @cached_property
    def plan(self) -> Plan:
        """What its store has, looked up once; a run tells it of what it builds."""
        return Plan(self.store)

    @property
    def memory(self) -> HashMemory:
        """A model of some hundred gigabytes is hashed once, not at every start."""
        return HashMemory(self.runtime.workspace / MODELS, self.store.notes)


def open_file(path: Path, runtime: Runtime, read_only: bool = False) -> Opened:
    return Opened(runtime, read_experiment(path), path, path.resolve().parent, read_only)


def open_frozen(name: str | None, runtime: Runtime, read_only: bool = False) -> Opened:
    """The frozen experiment of that name; the only one, or the last run, where none is given."""
    runs = frozen_names(runtime)
    if not runs:
        raise BadSettings(str(runtime.workspace), [NO_RUNS])
    chosen = name or runs[-1]
    if chosen not in runs:
        raise BadSettings(
            str(runtime.workspace), [f"no run named {chosen!r}; runs: {', '.join(runs)}"]
        )
    folder = runtime.workspace / "runs" / chosen
    file, keeper = folder / EXPERIMENT, notes_of(runtime, read_only)
    origin = keeper.read(folder / ORIGIN, ORIGINS)
    if origin is None:
        raise BadSettings(
            str(folder / ORIGIN),
            [
                f"is missing or damaged, so the files that {EXPERIMENT} names cannot be found: "
                "run the experiment from its own file again (rdpt run FILE), which writes it again"
            ],
        )
    base = Path(origin.base)
    if origin.beside is not None and not base.is_dir():
        base = (runtime.workspace / origin.beside).resolve()
    if origin.text is None:
        return Opened(runtime, read_experiment(file), file, base, read_only)
    if fault := frozen_fault(file, origin.text):
        keeper.refuse(file, fault)
        if not read_only:
            write_durably(file, origin.text.encode())
    return Opened(runtime, parse_experiment(origin.text, file), file, base, read_only)


def frozen_fault(file: Path, text: str) -> str | None:
    """What is wrong with a frozen file that should hold `text`."""
    try:
        return None if file.read_bytes() == text.encode() else "is not the text that was run"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def notes_of(runtime: Runtime, read_only: bool = False) -> Notes:
    """The reader of the workspace's notes."""
    return store_of(runtime, say, read_only).notes


def open_asked(name: str, runtime: Runtime, read_only: bool = True) -> Opened:
    """What a question is about, to be looked at only unless `read_only` is false: an experiment of
    the workspace by its name, else a file or a shipped experiment; the last run where nothing is
    named."""
    if not name or name in frozen_names(runtime):
        return open_frozen(name or None, runtime, read_only=read_only)
    return open_file(find_experiment(name), runtime, read_only=read_only)


def named(opened: Opened, name: str) -> Configuration:
    """The configuration of that name. Raises BadSettings with those that there are."""
    found = {c.name: c for c in opened.study.configurations()}
    if name not in found:
        raise BadSettings(
            "--configuration",
            [
                f"{opened.experiment.name} has no configuration {name!r}; {hint(name, found)}"
                f"configurations: {', '.join(found)}"
            ],
        )
    return found[name]


def frozen_names(runtime: Runtime) -> list[str]:
    """Names of the runs, the last used at the end."""
    files = {
        path.parent.name: path.stat().st_mtime_ns
        for name in (EXPERIMENT, ORIGIN)  # the latter counts: the former may be written again
        for path in (runtime.workspace / "runs").glob(f"*/{name}")
    }
    return sorted(files, key=files.__getitem__)


def freeze(opened: Opened) -> None:
    """Keeps the experiment as it was asked, for `rdpt resume`."""
    opened.folder.mkdir(parents=True, exist_ok=True)
    if opened.file.resolve() == (opened.folder / EXPERIMENT).resolve():
        return
    origin = _origin_of(opened)
    opened.store.notes.write(opened.folder / ORIGIN, asdict(origin))
    write_durably(opened.folder / EXPERIMENT, str(origin.text).encode())


def is_frozen(opened: Opened) -> bool:
    """True if the experiment is kept as it is asked now."""
    file, origin = opened.folder / EXPERIMENT, _origin_of(opened)
    kept = opened.store.notes.read(opened.folder / ORIGIN, ORIGINS)
    return kept == origin and frozen_fault(file, str(origin.text)) is None


def _origin_of(opened: Opened) -> FrozenOrigin:
    beside = os.path.relpath(opened.base, opened.runtime.workspace.resolve())
    return FrozenOrigin(str(opened.base), beside, opened.file.read_text(encoding="utf-8-sig"))


def each_frozen(
    runtime: Runtime, act: Callable[[Opened], Any], read_only: bool = False
) -> dict[str, Exception]:
    """Lets `act` have every experiment of the workspace. One that cannot be opened, or whose models
    or problems are gone, stops none of the others: it is in the result, with its error."""
    failed: dict[str, Exception] = {}
    for name in frozen_names(runtime):
        try:
            act(open_frozen(name, runtime, read_only))
        except (ValueError, OSError) as error:
            failed[name] = error
    return failed


def brief(error: Exception) -> str:
    """One line for an experiment that cannot be looked at."""
    place = f"{error.place}: " if isinstance(error, BadSettings) else ""
    lines = str(error).splitlines() or [type(error).__name__]
    return place + lines[0]
