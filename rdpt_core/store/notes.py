"""Notes: the small JSON files of a workspace next to its parts.

They hold the rows of a source, the origin and contents of an experiment, hashes of models, measured
noise. A note saves work or informs the user, and holds no number that cannot be recovered. There is
one way to write it, durably and with a digest, and one way to read it: a damaged note is *absent*.
It is quarantined and reported, and its content is derived again or requested.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rdpt_core.files.replacing import write_durably
from rdpt_core.store.locks import exclusive

T = TypeVar("T")

SEALED = {"digest", "note"}
"""Keys of the JSON object of a note; earlier releases wrote the bare value."""
_SAID: set[tuple[Path, str]] = set()
"""Damaged files that are not moved, and the warning about each: printed once per process."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Reads and writes the notes of one workspace."""

    quarantine: Path
    """The folder for damaged notes."""
    warn: Callable[[str], None] = lambda line: None
    read_only: bool = False
    """True if nothing is moved and nothing is written."""

    def read(self, path: Path, shape: TypeAdapter[T]) -> T | None:
        """The note, or None if it is missing or unreadable; an unreadable note is reported and
        quarantined."""
        try:
            return parse(path.read_bytes(), shape)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refuse(path, f"cannot be read ({error.strerror})")
        except ValueError as error:
            self.refuse(path, str(error))
        return None

    def write(self, path: Path, value: object) -> None:
        """Replaces the note, unless read-only."""
        if not self.read_only:
            write(path, value)

    @contextmanager
    def alone(self, path: Path) -> Iterator[None]:
        """Excludes other threads and processes that use this block for the same note: for appending
        to a note. Takes no lock if read-only."""
        if self.read_only:
            yield
            return
        with exclusive(path.with_name(f".{path.name}.lock")):
            yield

    def set_aside(self, path: Path) -> None:
        """Moves a file or folder to the quarantine; does nothing if it no longer exists."""
        self.quarantine.mkdir(parents=True, exist_ok=True)
        aside = self.quarantine / f"{path.parent.name}-{path.name}-{time.time_ns()}"
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)

    def refuse(self, path: Path, reason: str) -> None:
        """Reports a damaged file and quarantines it."""
        if self.read_only:
            line = f"warning: {path} {reason}: it is ignored; rdpt verify --repair sets it aside"
            say_once(self.warn, path, line)
        else:
            self.warn(f"warning: {path} {reason}: it is set aside in {self.quarantine}")
            self.set_aside(path)


def write(path: Path, value: object) -> None:
    """Replaces a note durably. `value` must be JSON-serialisable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps({"note": value, "digest": digest(value)}).encode())


def say_once(warn: Callable[[str], None], path: Path, line: str) -> None:
    """Warns about a damaged file that is not moved, once per process."""
    if (path, line) not in _SAID:
        _SAID.add((path, line))
        warn(line)


def parse(content: bytes, shape: TypeAdapter[T]) -> T:
    """The value of a note. Raises ValueError, whose text completes a sentence that begins with the
    file."""
    value = load(content)
    if isinstance(value, dict) and value.keys() == SEALED:
        if value["digest"] != digest(value["note"]):
            raise ValueError("has changed since it was written")
        value = value["note"]
    return fit(value, shape)


def load(content: bytes) -> Any:
    """The JSON value. Raises ValueError, also for text that is nested too deeply."""
    if not content:
        raise ValueError("is empty")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error


def fit(value: Any, shape: TypeAdapter[T]) -> T:
    """The value with the types of `shape`. Raises ValueError with the first place that differs."""
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"has another shape ({place or 'value'}: {first['msg']})") from error


def digest(value: object) -> str:
    """32 hex digits over a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
