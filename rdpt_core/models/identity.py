"""Model identity: a digest of what a model is, whatever it is called and wherever it lies.

A folder counts by the content of the files that loading reads: two copies are one model, a README
moves nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter

from rdpt_core.models.adapters import adapter_digest, check_adapter, sha256
from rdpt_core.models.refusals import check_folder, read_object
from rdpt_core.models.spec import Backend, Logged, ModelSpec, Numerics
from rdpt_core.store.notes import Notes
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, Rule, plain, plain_without_unset

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
"""Of a model that is not loaded here: how it reads and writes text."""
LOADED = tuple(dict.fromkeys(WEIGHTS + READ))
"""Patterns of the files that loading reads; nothing else of a model is downloaded or hashed."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ModelIdentity(Rule):
    """What a model's numbers follow from. Its digest is the `author` and `scorer` of rows."""

    weights: str
    """Digest of weights, architecture and generation settings, and of an adapter's files."""
    tokenizer: str
    template: str
    dtype: str
    revision: str | None
    """Commit of a hub id; None for a local folder."""
    thinking: str | None
    system: str | None
    context: int | None
    numerics: Numerics = "exact"
    """How it scores; the softmax is float32 on both paths."""
    quantisation: str | None = None
    """Method and settings by which the weights are packed; None where they are not."""
    rope: str | None = None
    """A context override."""
    think: bool | None = None
    variables: str | None = None
    """Variables that its template is given, `think` apart; None where there are none."""
    backend: Backend = "hf"
    logged: str | None = None
    """How log-probabilities were taken that come with the traces."""
    served: str | None = None
    """Name of the model's fingerprint (`fingerprint.py`), where it is behind a server."""

    def as_plain(self) -> dict[str, Plain]:
        """What reaches keys."""
        return plain_without_unset(self, "variables")

    @property
    def digest(self) -> str:
        return ids.digest("model", json.dumps(self.as_plain(), sort_keys=True))

    @property
    def author(self) -> str:
        """What the texts of this model are signed with: they are always sampled on the exact path,
        so how they are scored afterwards does not move it."""
        return self.model_copy(update={"numerics": "exact"}).digest


def identify(
    spec: ModelSpec,
    base: Path,
    memory: HashMemory | None = None,
    numerics: Numerics = "exact",
    served: str | None = None,
) -> ModelIdentity:
    """The identity of a model that is a folder (relative to `base`) or on the hub.

    `served` names its fingerprint, where it is behind a server.

    Raises ValueError for a model that is refused or not there, ConnectionError where the hub is
    needed and cannot be reached.
    """
    folder = local_folder(spec, base)
    if folder is not None and spec.revision is not None:
        raise ValueError(
            f"model {spec.path!r} is a local folder, which has no revision: leave `revision` out"
        )
    if folder is None:
        from rdpt_core.models.hub import hub_files

        revision, digests, packing = hub_files(spec)
        known = _identity(spec, digests, revision, base)
    else:
        check_folder(folder, spec)
        packing = quantisation(folder)
        files = hash_files(folder, memory, patterns_of(spec))
        known = _identity(spec, files, None, base)
    return known.model_copy(
        update={"quantisation": packing, "numerics": numerics, "served": served}
    )


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


def loaded_files(folder: Path, patterns: Sequence[str] = LOADED) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(found)


def patterns_of(spec: ModelSpec) -> tuple[str, ...]:
    """Patterns of the files of this model that loading reads."""
    if spec.backend == "server":
        return (*READ, "config.json")  # the longest sequence
    if spec.backend == "logged":
        return READ
    return (*READ, ENDS, spec.gguf) if spec.gguf else LOADED


Entry: TypeAlias = tuple[int, int, str] | tuple[str]
"""Size, mtime (ns) and hash of a file; or what a server said of its model."""
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
        digests[path.name] = str(entry[-1])
    if memory:
        memory.add(fresh)
    return digests


def tensors_digest(digests: Mapping[str, str]) -> str:
    """Of the weights alone, by which an adapter names its base: their hashes are the same on the
    hub and on disk, those of small files are not."""
    return _group(digests, ("*.safetensors",))


def _group(digests: Mapping[str, str], patterns: tuple[str, ...]) -> str:
    chosen = [[name, digests[name]] for name in sorted(digests) if matches(name, patterns)]
    return ids.digest("files", chosen)


def _identity(
    spec: ModelSpec, digests: Mapping[str, str], revision: str | None, base: Path
) -> ModelIdentity:
    weights = _group(digests, (*WEIGHTS, spec.gguf) if spec.gguf else WEIGHTS)
    if spec.adapter is not None:
        folder = base / Path(spec.adapter).expanduser()
        check_adapter(folder, tensors_digest(digests))
        weights = ids.digest("adapted", weights, adapter_digest(folder))
    thinking = spec.thinking if spec.thinking in (None, "none") else plain(spec.thinking)
    given = spec.template.values
    return ModelIdentity(
        weights=weights,
        tokenizer=_group(digests, TOKENIZER),
        template=_group(digests, TEMPLATE),
        dtype=spec.dtype,
        revision=revision,
        thinking=None if thinking is None else json.dumps(thinking, sort_keys=True),
        system=spec.system,
        context=spec.context,
        rope=_line(spec.rope),
        think=spec.think,
        variables=json.dumps(given, sort_keys=True) if given else None,
        backend=spec.backend,
        logged=_line(spec.logged or Logged()) if spec.backend == "logged" else None,
    )


def _line(rule: Rule | None) -> str | None:
    return None if rule is None else json.dumps(plain(rule), sort_keys=True)


def quantisation(folder: Path) -> str | None:
    """How a folder says that its weights are packed, as one line."""
    path = folder / "config.json"
    packed = read_object(path).get("quantization_config") if path.exists() else None
    return None if packed is None else json.dumps(packed, sort_keys=True)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)
