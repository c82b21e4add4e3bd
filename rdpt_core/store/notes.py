"""Notes: the small JSON files of a workspace that stand beside its parts.

What a source gave, where an experiment came from, what it uses, hashes of models, measured noise. A
note saves work or tells people something, and no number lives in it alone. So there is one way to
write it, durably and with a digest, and one way to read it: a damaged note is *absent*. It is set
aside and named, and what it said is found again or asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

SEALED = {"digest", "note"}
"""Keys of the object that a note is written as; earlier releases wrote the bare value."""
_SAID: set[tuple[Path, str]] = set()
"""Files that stay where they are, and what was said of them: once in a process."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Reads and writes the notes of one workspace."""

    quarantine: Path
    """The folder that damaged notes are moved to."""
    warn: Callable[[str], None] = lambda line: None
    read_only: bool = False
    """True if nothing is moved and nothing is written."""

    def read(self, path: Path, shape: TypeAdapter[T]) -> T | None:
        """The note, or None where there is none, or none that can be read: that one is named, and
        set aside."""
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
        """Replaces the note, unless nothing is to be written."""
        if not self.read_only:
            write(path, value)

    @contextmanager
    def alone(self, path: Path) -> Iterator[None]:
        """No other thread or process that asks for the same is in the block: for a note that is
        read and written again with more. No lock where nothing is written."""
        if self.read_only:
            yield
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def set_aside(self, path: Path) -> None:
        """Moves a file or folder out of the way; nothing where it is gone by now."""
        self.quarantine.mkdir(parents=True, exist_ok=True)
        aside = self.quarantine / f"{path.parent.name}-{path.name}-{time.time_ns()}"
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)

    def refuse(self, path: Path, reason: str) -> None:
        """Names a damaged file, and sets it aside."""
        if self.read_only:
            line = f"warning: {path} {reason}: it is ignored; rdpt verify --repair sets it aside"
            say_once(self.warn, path, line)
        else:
            self.warn(f"warning: {path} {reason}: it is set aside in {self.quarantine}")
            self.set_aside(path)


def write(path: Path, value: object) -> None:
    """Replaces a note, durably. `value` is what JSON can hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps({"note": value, "digest": digest(value)}).encode())


def say_once(warn: Callable[[str], None], path: Path, line: str) -> None:
    """Warns of a damaged file that stays where it is."""
    if (path, line) not in _SAID:
        _SAID.add((path, line))
        warn(line)


def parse(content: bytes, shape: TypeAdapter[T]) -> T:
    """What a note says. Raises ValueError, whose text ends a sentence that begins with the file."""
    value = load(content)
    if isinstance(value, dict) and value.keys() == SEALED:
        if value["digest"] != digest(value["note"]):
            raise ValueError("has changed since it was written")
        value = value["note"]
    return fit(value, shape)


def load(content: bytes) -> Any:
    """The JSON value. Raises ValueError, also for text that is nested too deeply to be read."""
    if not content:
        raise ValueError("is empty")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error


def fit(value: Any, shape: TypeAdapter[T]) -> T:
    """The value in the types of `shape`. Raises ValueError with the first place that differs."""
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"has another shape ({place or 'value'}: {first['msg']})") from error


def digest(value: object) -> str:
    """32 hex digits over a JSON value, whatever the order of its keys."""
    plain = json.loads(json.dumps(value))  # tuples as lists, all keys as text
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


# ---------------------------------------------------------------------------- durable files


def write_durably(path: Path, content: bytes) -> None:
    """The file is there as it was or with all of `content`, also after a power cut."""
    with temporary(path) as beside:
        beside.write_bytes(content)
        sync(beside)
        beside.replace(path)
    sync(path.parent)


@contextmanager
def temporary(final: Path) -> Iterator[Path]:
    """A name beside `final`; nothing is left there when the block fails."""
    path = final.with_name(f".{final.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """The file, or the folder's list of names, is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
