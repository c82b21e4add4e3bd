"""From a place to its reader: a file, a folder of shards, or a saved data set.

Only formats that hold data and no code are read: a loading script or a pickle in a folder is
ignored, and alone it is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rdpt_core.files.columnar import CsvRows, DatasetRows, ParquetRows
from rdpt_core.files.records import BadTable, JsonDocument, JsonLines, SourceRow, SourceRows

READERS: dict[str, Callable[[Path], SourceRows]] = {
    ".jsonl": JsonLines,
    ".jsonl.gz": lambda path: JsonLines(path, "gzip"),
    ".jsonl.zst": lambda path: JsonLines(path, "zstd"),
    ".json": JsonDocument,
    ".csv": CsvRows,
    ".parquet": ParquetRows,
}
FORMATS = ", ".join(READERS)
_SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
"""What `save_to_disk` writes next to its Arrow files; no data."""


def open_records(path: Path, split: str | None = None, empty: str | None = None) -> SourceRows:
    """The reader of a file or folder; `split` chooses from a folder that has several, `empty` is
    the value of an empty CSV cell.

    Raises BadTable for a place that is missing, empty, cut or of another kind.
    """
    if os.path.isdir(path):
        return _open_folder(path, split, empty)
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise BadTable(f"{path} is not a file: give a file ({FORMATS}) or a folder of them")
    reader = _reader_of(path)
    if reader is None:
        raise BadTable(f"{path} ends in {path.suffix or 'nothing'}: rdpt reads {FORMATS}")
    if not path.stat().st_size:
        raise BadTable(f"{path} is empty: a table has at least the names of its columns")
    return CsvRows(path, empty) if reader is CsvRows else reader(path)


def files_of(path: Path, split: str | None = None) -> list[Path]:
    """The files that a place is read from, in order: what its content is."""
    if not os.path.isdir(path):
        return [path]
    folder = _saved_split(path, split) if _is_saved(path) else None
    if folder is not None:
        return sorted(file for file in folder.iterdir() if file.is_file())
    return _shards(path, split)


def stem_of(path: str) -> str:
    """A file's name without the end that says its format; a folder's name."""
    name = Path(path).name
    ends = [end for end in READERS if name.lower().endswith(end)]
    return name[: -len(max(ends, key=len))] if ends else Path(path).stem


def _reader_of(path: Path) -> Callable[[Path], SourceRows] | None:
    name = path.name.lower()
    return next((reader for end, reader in READERS.items() if name.endswith(end)), None)


# ---------------------------------------------------------------------------- folders


def _open_folder(path: Path, split: str | None, empty: str | None) -> SourceRows:
    if _is_saved(path):
        return _open_saved(path, split)
    shards = [shard for shard in _shards(path, split) if shard.stat().st_size]
    if not shards:
        found = sorted(file.name for file in path.iterdir())[:5]
        raise BadTable(
            f"{path} holds no file that can be read ({FORMATS}); it holds "
            f"{', '.join(found) or 'nothing'}"
        )
    return Shards([open_records(shard, empty=empty) for shard in shards])


def _shards(path: Path, split: str | None) -> list[Path]:
    """The readable files of a folder by name; those of one split where names tell several."""
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and _reader_of(file)
        and file.name not in _SAVED
        and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    ]
    splits = {file: _split_of(file.relative_to(path)) for file in found}
    named = {name for name in splits.values() if name}
    if len(named) < 2:
        return found
    if split not in named:
        raise BadTable(
            f"{path} has the splits {', '.join(sorted(named))}, and {split!r} is asked for: set "
            "`split` to one of them"
        )
    return [file for file in found if splits[file] == split]


_SPLIT = re.compile(r"(?:^|[-_./\\])(train|test|validation|valid|val|dev)(?=[-_./\\]|$)")


def _split_of(file: Path) -> str | None:
    """The split that a shard's name tells: `train` of `data/train-00000-of-00010.parquet`."""
    found = _SPLIT.findall(file.as_posix().lower())
    return str(found[-1]) if found else None


_SHARD_BITS = 44
"""Places within a shard: 16 TiB, which leaves room for 500,000 shards."""


class Shards:
    """Several files one after the other; rows are numbered through."""

    def __init__(self, shards: Sequence[SourceRows]) -> None:
        self._shards = shards

    def names(self) -> list[str]:
        """Columns of the first and the last file: a column that begins late is one too."""
        ends = (self._shards[0], self._shards[-1])
        return list(dict.fromkeys(name for shard in ends for name in shard.names()))

    def scan(self) -> Iterator[SourceRow]:
        item = 0
        for number, shard in enumerate(self._shards):
            first = item
            for record in shard.scan():
                item = first + record.item + 1
                yield _moved(record, first + record.item, number)

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        for number, group in groupby(places, lambda place: place >> _SHARD_BITS):
            own = [place & ((1 << _SHARD_BITS) - 1) for place in group]
            for record in self._shards[number].fetch(own):
                yield _moved(record, record.item, number)


def _moved(record: SourceRow, item: int, shard: int) -> SourceRow:
    return record._replace(item=item, place=shard << _SHARD_BITS | record.place, line=None)


# ---------------------------------------------------------------------------- save_to_disk


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _saved_split(path: Path, split: str | None) -> Path:
    """The folder of one split of a saved data set."""
    if not (path / "dataset_dict.json").is_file():
        return path
    names = sorted(folder.name for folder in path.iterdir() if (folder / "state.json").is_file())
    if split in names or len(names) == 1:
        return path / (split if split in names else names[0])
    raise BadTable(
        f"{path} has the splits {', '.join(names) or 'none'}, and {split!r} is asked for: set "
        "`split` to one of them"
    )


def _open_saved(path: Path, split: str | None) -> SourceRows:
    from datasets import load_from_disk

    folder = _saved_split(path, split)
    try:
        _check_inside(folder)
        dataset: Any = load_from_disk(str(folder), keep_in_memory=False)
    except Exception as error:  # Arrow's, JSON's and the library's own
        why = " ".join(str(error).split())
        raise BadTable(f"{folder} is a saved data set that is cut or damaged: {why}") from error
    return DatasetRows(dataset, str(folder))


def _check_inside(folder: Path) -> None:
    """Raises ValueError where the state names a file that is not one of the folder's own: it would
    be read and be no part of the source's identity."""
    state = json.loads((folder / "state.json").read_bytes())
    for entry in state["_data_files"]:
        name = entry["filename"]
        if name != Path(name).name or not (folder / name).is_file():
            raise ValueError(f"state.json names {name!r}, which is not a file of the folder")
