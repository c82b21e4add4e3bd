"""The files of a model: where they lie, which of them loading reads, what they hold.

Only names and small files are read here, and weights are hashed; nothing is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pydantic import TypeAdapter

from rdpt_core.models.spec import ModelSpec
from rdpt_core.store.notes import Notes

ENDS = "generation_config.json"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", ENDS)
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
TEMPLATE = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
READ = tuple(dict.fromkeys(TOKENIZER + TEMPLATE))
"""Patterns of the files by which a model reads and writes text; all that is needed of one that is
not loaded here."""
LOADED = tuple(dict.fromkeys(WEIGHTS + READ))
"""Patterns of the files that loading reads; nothing else of a model is downloaded or hashed."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ModelFiles(NamedTuple):
    """What the files of a model are, on disk or on the hub."""

    digests: Mapping[str, str]
    """Hash of each file that loading reads, by its name inside the folder."""
    revision: str | None
    """Commit of a hub id; None for a local folder."""
    quantisation: str | None
    """Method and settings by which the weights are packed; None where they are not."""


def local_folder(spec: ModelSpec, base: Path) -> Path | None:
    """The folder that a spec names, or None for a hub id; ValueError for neither."""
    folder = base / os.path.expanduser(spec.path)
    if os.path.isdir(folder):  # Path raises for a name that is too long, or a user who is not there
        return folder
    if spec.path.startswith((".", "/", "~")) or not HUB_ID.fullmatch(spec.path):
        raise ValueError(
            f"model {spec.path!r}: there is no such folder ({folder}), and it is no hub id such "
            "as Qwen/Qwen3-4B: either correct the path, or give owner/name"
        )
    return None


def patterns_of(spec: ModelSpec) -> tuple[str, ...]:
    """Patterns of the files of this model that loading reads."""
    if spec.backend == "server":
        return (*READ, "config.json")  # the longest sequence
    if spec.backend == "logged":
        return READ
    return (*READ, ENDS, spec.gguf) if spec.gguf else LOADED


def loaded_files(folder: Path, patterns: Sequence[str] = LOADED) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(found)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


# ---------------------------------------------------------------------------- hashes

Entry: TypeAlias = tuple[int, int, str]
"""Size, mtime (ns) and hash of a file."""
MEMORY: TypeAdapter[dict[str, Entry]] = TypeAdapter(dict[str, Entry])


@dataclass(frozen=True)
class HashMemory:
    """A note that remembers the hashes of large files by path: it only saves time."""

    file: Path
    notes: Notes

    def entries(self) -> dict[str, Entry]:
        return self.notes.read(self.file, MEMORY) or {}

    def add(self, fresh: Mapping[str, Entry]) -> None:
        if fresh and not self.notes.read_only:
            self.notes.write(self.file, {**self.entries(), **fresh})


def hash_files(
    folder: Path, memory: HashMemory | None = None, patterns: Sequence[str] = LOADED
) -> dict[str, str]:
    """SHA-256 of each file that loading reads, by its name inside the folder."""
    known = memory.entries() if memory else {}
    digests: dict[str, str] = {}
    fresh: dict[str, Entry] = {}
    for path in loaded_files(folder, patterns):
        stat = path.stat()
        key, mark = str(path.resolve()), (stat.st_size, stat.st_mtime_ns)
        entry = known.get(key)
        if entry is None or entry[:2] != mark:
            entry = fresh[key] = (*mark, sha256(path))
        digests[path.name] = entry[-1]
    if memory:
        memory.add(fresh)
    return digests


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------------- small files


def read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): copy the model again") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"{path} is a JSON {type(found).__name__}, not an object: copy the model again"
        )
    return found


def quantisation(folder: Path) -> str | None:
    """How a folder says that its weights are packed, as one line."""
    path = folder / "config.json"
    packed = read_object(path).get("quantization_config") if path.exists() else None
    return None if packed is None else json.dumps(packed, sort_keys=True)


def own_limit(folder: Path) -> int | None:
    """The longest sequence that config.json states, also of a model whose text part is one of
    several; None where nothing is stated."""
    config, text = _config(folder)
    limit = text.get("max_position_embeddings", config.get("max_position_embeddings"))
    return int(limit) if limit is not None else None


def stated_rows(folder: Path) -> int | None:
    """Ids that the weights know, as config.json states them; None where it does not."""
    rows = _config(folder)[1].get("vocab_size")
    return int(rows) if rows is not None else None


def _config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """config.json, and the part of it that is about text; empty where there is none."""
    path = folder / "config.json"
    config = read_object(path) if path.exists() else {}
    return config, config.get("text_config", config)
