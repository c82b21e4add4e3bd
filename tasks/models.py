"""Models as parameters of a stage: their identity is their content, wherever they lie."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rdpt_core.machine.processor import cpu_flags, has_gpu, has_units
from rdpt_core.models.adapters import is_adapter
from rdpt_core.models.files import HashMemory, local_folder, own_limit
from rdpt_core.models.identity import ModelIdentity, identify
from rdpt_core.models.protocols import TextGenerator, TextScorer
from rdpt_core.models.rendering.render import Renderer, read_renderer
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.spec import Logged, ModelSpec, Numerics, Sampling
from rdpt_core.store.parts import Part, Store
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain
from rdpt_core.tables.spelling import hint
from tasks.progress import say

if TYPE_CHECKING:
    from rdpt_core.models.loading.weights import LoadedModel
    from rdpt_core.models.serving.remote import Remote
    from rdpt_core.scoring.server import ServerScorer
    from tasks.stage import Call, Work

CHECKPOINT = "checkpoint"
"""Folder of a student's payload that holds the model."""
CACHE = "TORCHINDUCTOR_CACHE_DIR"
SERVERS = "servers.json"
"""File of the workspace with the fingerprints of models behind servers."""
COMPILED = "compiled"
"""Folder of the workspace with what torch.compile made; it may be deleted at any time."""


@dataclass(frozen=True)
class Model:
    """A language model where it lies. Loaded by the worker that needs it."""

    spec: ModelSpec
    base: Path
    """Where a relative `spec.path` starts: the folder of the experiment file."""
    memory: HashMemory | None = field(default=None, compare=False)
    numerics: Numerics = "exact"
    """The path on which it scores."""
    servers: Mapping[str, ModelServer] = field(default_factory=dict, compare=False, repr=False)
    """The model servers of this machine, where it is behind one of them."""

    def on(self, numerics: Numerics) -> Model:
        """The same model, scoring on another path."""
        return replace(self, numerics=numerics)

    @cached_property
    def known(self) -> ModelIdentity:
        if not self.is_remote:
            return _identify(self.spec, self.base, self.memory, self.numerics)
        declared = _served(self.spec, self.folder, self.server, self.memory)
        return identify(self.spec, self.base, self.memory, self.numerics, declared)

    def identity(self) -> Plain:
        return self.known.as_plain()

    @property
    def scorer(self) -> str:
        """The id under which rows name this model."""
        return self.known.digest

    @property
    def author(self) -> str:
        """The id with which its texts are signed."""
        return self.known.author

    @cached_property
    def folder(self) -> Path:
        """Where its files lie on this machine; fetched from the hub if they must be."""
        folder = local_folder(self.spec, self.base)
        if folder is not None:
            return folder
        files = _identify(self.spec, self.base, self.memory, self.numerics)
        return snapshot(self.spec, files.revision)

    @cached_property
    def renderer(self) -> Renderer:
        """How it reads problems and traces; needs no weights."""
        return read_renderer(self.spec, self.folder)

    @property
    def server(self) -> ModelServer:
        """Raises ValueError where this machine knows none of that name."""
        name = self.spec.server or ""
        if name not in self.servers:
            known = ", ".join(sorted(self.servers)) or "none"
            example = f'{{"{name}": {{"url": "http://127.0.0.1:8000/v1"}}}}'
            raise ValueError(
                f"this machine knows no server {name!r}; {hint(name, self.servers)}it knows: "
                f"{known}. Either correct `server`, or set RDPT_SERVERS='{example}'"
            )
        return self.servers[name]

    @property
    def is_remote(self) -> bool:
        return self.spec.backend == "server"

    @property
    def is_compiled(self) -> bool:
        return self.spec.backend == "hf" and self.numerics.startswith("compiled")

    @property
    def has_weights(self) -> bool:
        """True if it is loaded on this machine."""
        return self.spec.backend == "hf"

    @property
    def width(self) -> int:
        """Requests that may be under way at once; 1 for a model that is loaded here."""
        return self.server.concurrency if self.is_remote else 1

    def parts_at_once(self, runtime: Any) -> int:
        return self.width if self.is_remote else _parts_at_once(self, runtime)

    @property
    def remote(self) -> Remote:
        """Raises ConnectionError where its server cannot be reached."""
        return _remote(self.spec, self.folder, self.server)

    def generator(self, sampling: Sampling, seed: int, work: Work) -> TextGenerator:
        if self.is_remote:
            from rdpt_core.models.serving.server import ServerGenerator

            return ServerGenerator(self.remote, self.known, sampling, seed)
        from rdpt_core.models.loading.hf import HfGenerator  # torch: only where a model is needed

        return HfGenerator(self._loaded(work), sampling, seed)

    def text_scorer(self, work: Work, topk_stats: int | None) -> TextScorer:
        if self.is_remote:
            return self.server_scorer()
        if self.spec.backend == "logged":
            from rdpt_core.scoring.logged import LoggedScorer

            return LoggedScorer(self.scorer, self.renderer, self.spec.logged or Logged())
        from rdpt_core.scoring.hf import HfScorer

        return HfScorer(self._loaded(work), topk_stats=topk_stats)

    def server_scorer(self) -> ServerScorer:
        from rdpt_core.scoring.server import ServerScorer

        return ServerScorer(self.remote, self.known)

    def _loaded(self, work: Work) -> LoadedModel:
        if self.is_compiled:
            keep_compiled(work.options.workspace / COMPILED)
        with _LOADING:
            found = _load(
                self.spec, self.base, work.threads, work.device, self.memory, self.numerics
            )
        keep_threads(work.threads)
        return found


def keep_threads(number: int) -> None:
    """Fixes torch's threads for the passes of the thread that calls; another one counts its own."""
    import torch

    torch.set_num_threads(number)


def keep_compiled(folder: Path) -> None:
    """Has torch keep what it compiles for the next process, in a folder for each kind of CPU, whose
    own instructions it uses. Its own choice is the temporary folder, which is emptied; it stays
    with a folder whose name its compiler's command would have to quote, and with one that the
    machine, or an earlier call of this process, has named."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    place = str(folder.resolve() / ids.digest("cpu", sorted(cpu_flags()))[:8])
    own = (None, default_cache_dir())  # which torch writes into the environment
    if os.environ.get(CACHE) in own and place == shlex.quote(place):
        os.environ[CACHE] = place


def snapshot(spec: ModelSpec, revision: str | None) -> Path:
    from rdpt_core.models.hub import hub_snapshot

    return hub_snapshot(spec, revision)


@lru_cache(maxsize=256)
def _identify(
    spec: ModelSpec, base: Path, memory: HashMemory | None, numerics: Numerics
) -> ModelIdentity:
    """Once per process: the files of a model that is in use do not change under it."""
    return identify(spec, base, memory, numerics)


_CONNECTING = threading.Lock()
"""Parts are made by several threads, and the first of them finds the server for all."""


def _remote(spec: ModelSpec, folder: Path, server: ModelServer) -> Remote:
    with _CONNECTING:
        return _connected(spec, folder, server)


@lru_cache(maxsize=64)
def _connected(spec: ModelSpec, folder: Path, server: ModelServer) -> Remote:
    from rdpt_core.models.serving.http import client_of
    from rdpt_core.models.serving.remote import connect

    return connect(client_of(server, say), spec, read_renderer(spec, folder), own_limit(folder))


@lru_cache(maxsize=64)
def _served(spec: ModelSpec, folder: Path, server: ModelServer, memory: HashMemory | None) -> str:
    """The identity of the model that a server has (`fingerprint.py`); that of the last time where
    it cannot be reached, so that what was finished can be looked at."""
    from rdpt_core.models.serving.fingerprint import KnownServers

    known_servers = memory and KnownServers(memory.file.with_name(SERVERS), memory.notes)
    place = f"{server.url} {spec.served or spec.path} {spec.api}"
    try:
        found = _remote(spec, folder, server).fingerprint
    except ConnectionError:
        known = known_servers.last(place) if known_servers else None
        if known is None:
            raise
        return known
    return known_servers.identify(place, found) if known_servers else found.digest


def _parts_at_once(model: Model | Distilled, runtime: Any) -> int:
    """Parts of a model that is loaded here, each with a forward pass of its own. One where passes
    are not apart: torch.compile's graphs and the precision of bfloat16 units are the process's."""
    shared = model.numerics.startswith("compiled") or (
        model.spec.dtype == "bfloat16" and has_units()
    )
    return 1 if shared or has_gpu(runtime.device) else runtime.workers


_LOADING = threading.Lock()
"""The first of the threads that make the parts of a table loads the model for all."""


@lru_cache(maxsize=1)
def _load(
    spec: ModelSpec,
    base: Path,
    threads: int,
    device: str,
    memory: HashMemory | None,
    numerics: Numerics,
) -> LoadedModel:
    """One model in memory at a time; the parts of a table follow each other."""
    from transformers.utils import logging

    from rdpt_core.models.loading.weights import load

    logging.disable_progress_bar()  # of the weights; the table has a bar of its own
    return load(spec, base, threads, usable(device), memory, numerics)


def usable(device: str) -> str:
    """`auto` is a GPU where there is one."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Distilled:
    """A student that another table trains: a model once that table exists."""

    call: Call
    spec: ModelSpec
    """That of the base model: how it is read stays the same."""
    numerics: Numerics = "exact"

    has_weights: ClassVar[bool] = True

    def on(self, numerics: Numerics) -> Distilled:
        return replace(self, numerics=numerics)

    def parts_at_once(self, runtime: Any) -> int:
        return _parts_at_once(self, runtime)

    def bind(self, store: Store, part: Part) -> Model:
        folder = _sound_payload(store, part) / CHECKPOINT
        if is_adapter(folder):
            spec = self.spec.model_copy(update={"adapter": str(folder)})
            base = self.call.parameters["model"].base
        else:
            # Positions that were stretched for training are so in the folder's own config.json.
            changes = {"path": str(folder), "revision": None, "rope": None}
            spec, base = self.spec.model_copy(update=changes), folder
        return Model(spec, base, numerics=self.numerics)


def _sound_payload(store: Store, part: Part) -> Path:
    """The payload folder, hashed once per process; raises Damaged."""
    name = (store.root, part.key)
    if name not in _SOUND:
        _SOUND[name] = store.payload(part).resolve()
    return _SOUND[name]


_SOUND: dict[tuple[Path, str], Path] = {}


def note(model: Model) -> dict[str, Any]:
    """What a part's record says about the model, for people."""
    return {"model": model.spec.place, "scorer": model.scorer} | _server_note(model)


def _server_note(model: Model) -> dict[str, Any]:
    """Of a server, what it says of itself; nothing where it is away, and all was kept before."""
    with suppress(ConnectionError):
        return {"server": model.remote.about()} if model.is_remote else {}
    return {}
