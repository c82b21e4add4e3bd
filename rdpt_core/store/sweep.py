"""Garbage in a store: parts that no experiment reaches, and leftovers of crashes.

Finding is separate from removing, so a dry run shows what a real run does. Links are not followed:
a link is removed as a link, and a table's folder that is a link is left alone."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import ROWS

PartName = tuple[str, str]
"""Table and key."""


@dataclass(frozen=True, slots=True)
class Stray:
    """Files that no experiment reaches."""

    kind: str
    """`part`, `unfinished part`, `leftover`, `quarantined`."""
    name: str
    """Name to display."""
    paths: tuple[Path, ...]
    """Paths in order of removal: a part's record first, so that it is no longer a part."""
    size: int
    """Bytes, including the content of folders."""
    age: float
    """Seconds since the last write to any of it."""
    part: PartName | None
    """The part whose lock the removal takes."""


def strays(
    store: Store, reached: Collection[PartName], working: Collection[PartName]
) -> Iterator[Stray]:
    """Everything except the parts `reached`, and the work folders of `working`, the parts that a
    run would resume."""
    for row in ROWS:
        folder = store.root / row.TABLE
        if not folder.is_dir() or folder.is_symlink():
            continue
        yield from _parts(row.TABLE, folder, reached)
        for path in sorted(folder.glob(".*.tmp")):
            yield from _stray("leftover", f"{row.TABLE}/{path.name}", [path], None)
        for part in unfinished(store, row.TABLE):
            if part not in working:
                yield from _stray("unfinished part", _short(part), [store.workdir(*part)], part)
    for path in _inside(store.root / "quarantine"):
        yield from _stray("quarantined", f"quarantine/{path.name}", [path], None)


def unfinished(store: Store, table: str) -> Iterator[PartName]:
    """The parts of a table that have a work folder."""
    for path in _inside(store.root / table / ".work"):
        yield table, path.name


def _parts(table: str, folder: Path, reached: Collection[PartName]) -> Iterator[Stray]:
    """Record, file and payload of each part; without a record they are leftovers of a crash."""
    keys = {path.name.partition(".")[0] for path in folder.iterdir() if path.name[0] != "."}
    for key in sorted(keys):
        if (table, key) in reached:
            continue
        named = [folder / f"{key}.json", folder / f"{key}.parquet", folder / key]
        paths = [path for path in named if path.exists() or path.is_symlink()]
        kind = "part" if named[0] in paths else "leftover"
        if paths:
            yield from _stray(kind, _short((table, key)), paths, (table, key))


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def leftovers(paths: Iterable[Path]) -> Iterator[Stray]:
    """Files next to the store that are known to be unused."""
    for path in paths:
        yield from _stray("leftover", path.name, [path], None)


def _stray(kind: str, name: str, paths: list[Path], part: PartName | None) -> Iterator[Stray]:
    """No item if all of it is gone: a concurrent run renames and deletes files."""
    states = {
        inner: state
        for path in paths
        for inner in (path, *_below(path))
        if (state := _state(inner)) is not None
    }
    left = tuple(path for path in paths if path in states)
    if left:
        newest = max(state.st_mtime for state in states.values())
        size = sum(s.st_size for s in states.values() if not stat.S_ISDIR(s.st_mode))
        yield Stray(kind, name, left, size, time.time() - newest, part)


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _below(path: Path) -> Iterator[Path]:
    """Everything inside a folder; `walk` follows no links to folders, and skips a folder that no
    longer exists."""
    if not path.is_symlink():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder, name) for name in (*folders, *files))


def remove(store: Store, stray: Stray) -> bool:
    """Removes the files; False, without removing any, if a run holds the part."""
    if stray.part is None:
        _remove(stray.paths)
        return True
    with store.lock(*stray.part) as mine:
        if mine:
            _remove(stray.paths)
        return mine


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _short(part: PartName) -> str:
    return f"{part[0]}/{part[1][:12]}"
