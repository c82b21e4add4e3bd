"""Checkpoints that are whole or are not used.

A trainer writes a checkpoint in place, so a folder named `checkpoint-20` proves nothing. Whole is
what carries a marker with the size and hash of every file, written last; all else goes to a
quarantine and training falls back to the one before.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rdpt_core.files.hashing import file_hash
from rdpt_core.files.replacing import sync
from rdpt_core.store import notes

MARKER = "complete.json"


@dataclass(frozen=True, slots=True)
class Marker:
    """What a whole checkpoint carries."""

    run: str
    files: dict[str, tuple[int, str]]
    """Relative path to size and hash."""


_MARKER = TypeAdapter(Marker)


def seal(folder: Path, run: str, marker: Path | None = None) -> None:
    """Declares a folder of `run` whole: every file on disk, then the marker, which lies inside the
    folder unless another place is given."""
    marker = marker or folder / MARKER
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MARKER)
    for file in files:
        sync(file)
    manifest = {str(f.relative_to(folder)): (f.stat().st_size, file_hash(f)) for f in files}
    notes.write(marker, asdict(Marker(run, manifest)))


def fault(folder: Path, run: str, marker: Path | None = None) -> str | None:
    """Why what `seal` declared whole cannot be used for `run`, or None."""
    try:
        sealed = notes.parse((marker or folder / MARKER).read_bytes(), _MARKER)
    except FileNotFoundError:
        return "it was not finished"
    except (ValueError, OSError) as error:
        return f"its marker {error}"
    if sealed.run != run:
        return "it belongs to another recipe, seed, base model or selection"
    for name, (size, digest) in sealed.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size or file_hash(file) != digest:
            return f"{name} is missing or damaged"
    return None


def newest_whole(checkpoints: Path, run: str, quarantine: Path) -> Path | None:
    """The checkpoint to resume from. Newer ones that cannot be used are moved out of the way."""
    for folder in reversed(in_order(checkpoints)):
        reason = fault(folder, run)
        if reason is None:
            return folder
        print(f"{folder.name} goes to {quarantine}: {reason}", flush=True)
        quarantine.mkdir(parents=True, exist_ok=True)
        num_there = len(list(quarantine.iterdir()))
        folder.rename(quarantine / f"{num_there:03d}-{folder.name}")
    return None


def keep_newest(checkpoints: Path, num_kept: int) -> None:
    """Removes older ones by step number: file times do not survive a clock that jumps."""
    for folder in in_order(checkpoints)[:-num_kept]:
        shutil.rmtree(folder)


def in_order(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
