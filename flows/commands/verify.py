"""`rdpt verify`: every hash of the store, and every note of the workspace."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flows import errors
from flows.catalogue import refresh_catalogue
from flows.commands.documents import print_json
from flows.runtime import read_runtime
from flows.workspace import CONTENTS, EXPERIMENT, MODELS, NOISE, ORIGIN, ORIGINS, frozen_fault
from rdpt_core.machine.resources import amount
from rdpt_core.models.files import MEMORY
from rdpt_core.models.serving.fingerprint import KNOWN
from rdpt_core.report.words import counted
from rdpt_core.store import integrity, notes
from rdpt_core.store.contents import CONTENTS_NOTE, NOISE_NOTE
from rdpt_core.text.printable import printable
from settings.loading import BadSettings, read_experiment
from settings.runtime import Runtime
from tasks import sources
from tasks.models import SERVERS
from tasks.progress import BYTES, counting, say
from tasks.stores import store_of

SHAPES: dict[str, TypeAdapter[Any]] = {
    MODELS: MEMORY,
    SERVERS: KNOWN,
    NOISE: NOISE_NOTE,
    f"runs/*/{ORIGIN}": ORIGINS,
    f"runs/*/{CONTENTS}": CONTENTS_NOTE,
    "store/sources/*.json": sources.KEYS,
}
"""The notes of a workspace. Files in `running/` are written in place, and so are none."""


def verify(repair: bool, as_json: bool = False) -> int:
    """Damaged parts and notes to stdout; 6 where one is left."""
    runtime = read_runtime()
    looking = store_of(runtime, read_only=True)
    total = integrity.num_bytes(looking)
    with counting("verify", BYTES, total) as advance:
        found = list(integrity.damages(looking, advance))
    notes = dict(damaged_notes(runtime))
    damaged = {str(path.relative_to(runtime.workspace)): reason for path, reason in notes.items()}
    if as_json:
        parts = len(list(integrity.record_files(looking)))
        print_json({"parts": parts, "bytes": total, "damaged": list(_documents(found, damaged))})
    else:
        for damage in found:
            sys.stdout.write(printable(f"{damage.table}/{damage.key}: {damage.reason}") + "\n")
        for name, reason in damaged.items():
            sys.stdout.write(printable(f"{name}: {reason}") + "\n")
    _seal(runtime, found)
    if not found and not notes:
        say(f"{counted(integrity.record_files(looking), 'part')}, {amount(total)}: all intact")
        return 0
    if not repair:
        say(f"{_damaged(found, notes)} damaged: rdpt verify --repair sets them aside")
        return errors.DAMAGED
    return _repair(runtime, found, notes)


def _documents(
    parts: Iterable[integrity.Damage], notes: Mapping[str, str]
) -> Iterator[dict[str, str | None]]:
    """Damaged parts and notes; a part has a table and a key, a note a file of the workspace."""
    for one in parts:
        yield {"table": one.table, "part": one.key, "note": None, "reason": one.reason}
    for name, reason in notes.items():
        yield {"table": None, "part": None, "note": name, "reason": reason}


def _seal(runtime: Runtime, found: Iterable[integrity.Damage]) -> None:
    """A workspace that may not be written is left as it is."""
    with suppress(OSError):
        sealed = integrity.seal(store_of(runtime), {(one.table, one.key) for one in found})
        if sealed:
            say(f"{sealed} records of an earlier release hold a digest of their own from now on")


def _repair(runtime: Runtime, found: list[integrity.Damage], notes: Mapping[Path, str]) -> int:
    store = store_of(runtime)
    busy = [damage for damage in found if not integrity.repair(store, damage)]
    for path in notes:
        store.notes.set_aside(path)
    refresh_catalogue(runtime)
    say(
        f"{_damaged(found, notes)} damaged, {len(found) - len(busy) + len(notes)} set aside in "
        f"{runtime.store_folder / 'quarantine'}; the next run builds what is missing"
    )
    if busy:
        say(f"{counted(busy, 'part')} left in place: a run is using them")
    return errors.DAMAGED if busy else 0


def _damaged(found: Collection[object], notes: Collection[object]) -> str:
    """Such as "1 part and 2 notes"."""
    counts = [counted(found, "part")] if found else []
    return " and ".join([*counts, counted(notes, "note")] if notes else counts)


def damaged_notes(runtime: Runtime) -> Iterator[tuple[Path, str]]:
    """The notes of the workspace that cannot be read, and why; nothing is moved."""
    for pattern, shape in SHAPES.items():
        for path in sorted(runtime.workspace.glob(pattern)):
            try:
                notes.parse(path.read_bytes(), shape)
            except FileNotFoundError:  # by now
                continue
            except OSError as error:
                yield path, f"cannot be read ({error.strerror})"
            except ValueError as error:
                yield path, str(error)
    for path in sorted(runtime.workspace.glob(f"runs/*/{EXPERIMENT}")):
        try:
            read_experiment(path)
            text = notes.parse((path.parent / ORIGIN).read_bytes(), ORIGINS).text
            if text is not None and (fault := frozen_fault(path, text)):
                yield path, fault
        except BadSettings as error:
            yield path, error.lines[0]
        except (OSError, ValueError):  # the origin, which was told above or is missing
            continue
