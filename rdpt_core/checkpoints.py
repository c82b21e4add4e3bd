"""Checkpoints that are whole or are not used.

A trainer writes a checkpoint in place, so a folder named `checkpoint-20` proves nothing. Whole is
what carries a marker with the size and hash of every file, written last; all else goes to a
quarantine and training falls back to the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from rdpt_core.store import file_hash, sync

MARKER = "complete.json"


def write_durably(path: Path, content: bytes) -> None:
    """The file is there with all of `content` or not at all, also after a power cut."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)


def seal(folder: Path, run: str) -> None:
    """Declares a checkpoint of `run` whole: every file on disk, then the marker."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MARKER)
    for file in files:
        sync(file)
    manifest = {str(f.relative_to(folder)): [f.stat().st_size, file_hash(f)] for f in files}
    write_durably(folder / MARKER, json.dumps({"run": run, "files": manifest}).encode())


def fault(folder: Path, run: str) -> str | None:
    """Why a checkpoint cannot be resumed from, or None."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return "its marker is damaged"
    if marker["run"] != run:
        return "it belongs to another recipe, seed, base model or selection"
    for name, (size, digest) in marker["files"].items():
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
        _move(folder, quarantine)
    return None


def keep_newest(checkpoints: Path, num_kept: int) -> None:
    """Removes older ones by step number: file times do not survive a clock that jumps."""
    for folder in in_order(checkpoints)[:-num_kept]:
        shutil.rmtree(folder)


def in_order(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def _move(folder: Path, quarantine: Path) -> None:
    quarantine.mkdir(parents=True, exist_ok=True)
    num_there = len(list(quarantine.iterdir()))
    folder.rename(quarantine / f"{num_there:03d}-{folder.name}")
