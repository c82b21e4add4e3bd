"""Models as parameters of a stage: their identity is their content, not their location."""

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
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain
from rdpt_core.tables.spelling import hint
from tasks.progress import say

if TYPE_CHECKING:
    from rdpt_core.models.loading.weights import LoadedModel
    from rdpt_core.models.serving.remote import Remote
    from rdpt_core.scoring.hf import FinishedPacks
    from rdpt_core.scoring.server import ServerScorer
    from tasks.stage import StageTable, Work

CHECKPOINT = "checkpoint"
"""Folder of a student's payload that holds the model."""
CACHE = "TORCHINDUCTOR_CACHE_DIR"
SERVERS = "servers.json"
"""File of the workspace with the fingerprints of models behind servers."""
COMPILED = "compiled"
"""Folder of the workspace with the output of torch.compile; may be deleted at any time."""


@dataclass(frozen=True)
class Model:
    """A language model by its location; the worker that needs it loads it."""

    spec: ModelSpec
    base: Path
    """Base of a relative `spec.path`: the folder of the experiment file."""
    memory: HashMemory | None = field(default=None, compare=False)
    numerics: Numerics = "exact"
    """The numerical path on which it scores."""
    servers: Mapping[str, ModelServer] = field(default_factory=dict, compare=False, repr=False)
    """The model servers of this machine, if the model is behind one of them."""

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
        """The id under which rows name it as author of texts."""
        return self.known.author

    @cached_property
    def folder(self) -> Path:
        """The folder of its files on this machine; fetched from the hub if needed."""
        folder = local_folder(self.spec, self.base)
        if folder is not None:
            return folder
        files = _identify(self.spec, self.base, self.memory, self.numerics)
        return snapshot(self.spec, files.revision)

    @cached_property
    def renderer(self) -> Renderer:
        """The renderer of problems and traces for this model; needs no weights."""
        return read_renderer(self.spec, self.folder)

    @property
    def server(self) -> ModelServer:
        """The server of the model. Raises ValueError if this machine has none of that name."""
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
        """Requests that may be in flight at once; 1 for a locally loaded model."""
        return self.server.concurrency if self.is_remote else 1

    def parts_at_once(self, runtime: Any) -> int:
        return self.width if self.is_remote else _parts_at_once(self, runtime)

    @property
    def remote(self) -> Remote:
        """A client of its server. Raises ConnectionError if the server is unreachable."""
        return _remote(self.spec, self.folder, self.server)

    def generator(self, sampling: Sampling, seed: int, work: Work) -> TextGenerator:
        if self.is_remote:
            from rdpt_core.models.serving.server import ServerGenerator

            return ServerGenerator(self.remote, self.known, sampling, seed)
        from rdpt_core.models.loading.hf import HfGenerator  # imports torch, so only on demand

        return HfGenerator(self._loaded(work), sampling, seed)

    def text_scorer(
        self, work: Work, topk_stats: int | None, finished: FinishedPacks | None = None
    ) -> TextScorer:
        if self.is_remote:
            return self.server_scorer()
        if self.spec.backend == "logged":
            from rdpt_core.scoring.logged import LoggedScorer

            return LoggedScorer(self.scorer, self.renderer, self.spec.logged or Logged())
        from rdpt_core.scoring.hf import HfScorer

        return HfScorer(self._loaded(work), topk_stats=topk_stats, finished=finished)

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
    """Fixes torch's threads for passes of the calling thread; each thread has its own number."""
    import torch

    torch.set_num_threads(number)


def keep_compiled(folder: Path) -> None:
    """Makes torch keep compiled code for the next process, in a folder per kind of CPU, whose
    instructions the code uses. By default torch uses the temporary folder, which gets emptied. The
    default stays if the folder's name would need quoting in the compiler's command, or if the
    machine or an earlier call of this process has set another."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    place = str(folder.resolve() / ids.digest("cpu", sorted(cpu_flags()))[:8])
    own = (None, default_cache_dir())  # torch writes this into the environment
    if os.environ.get(CACHE) in own and place == shlex.quote(place):
        os.environ[CACHE] = place


def snapshot(spec: ModelSpec, revision: str | None) -> Path:
    from rdpt_core.models.hub import hub_snapshot

    return hub_snapshot(spec, revision)


@lru_cache(maxsize=256)
def _identify(
    spec: ModelSpec, base: Path, memory: HashMemory | None, numerics: Numerics
) -> ModelIdentity:
    """Identity, computed once per process: the files of a model in use do not change."""
    return identify(spec, base, memory, numerics)


_CONNECTING = threading.Lock()
"""Several threads build parts; the first of them connects to the server for all."""


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
    """The identity of a server's model (`fingerprint.py`); if the server is unreachable, the last
    known identity, so that finished tables can still be read."""
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
    """Concurrent parts of a locally loaded model, each with its own forward pass. 1 if passes share
    state: torch.compile's graphs and the precision of bfloat16 units belong to the process."""
    shared = model.numerics.startswith("compiled") or (
        model.spec.dtype == "bfloat16" and has_units()
    )
    return 1 if shared or has_gpu(runtime.device) else runtime.workers


_LOADING = threading.Lock()
"""The first of the threads that build the parts of a table loads the model for all."""


@lru_cache(maxsize=1)
def _load(
    spec: ModelSpec,
    base: Path,
    threads: int,
    device: str,
    memory: HashMemory | None,
    numerics: Numerics,
) -> LoadedModel:
    """The loaded model. One model is in memory at a time; the parts of a table run sequentially."""
    from transformers.utils import logging

    from rdpt_core.models.loading.weights import load

    logging.disable_progress_bar()  # of the weights; the table has its own bar
    return load(spec, base, threads, usable(device), memory, numerics)


def usable(device: str) -> str:
    """The device to use; `auto` is a GPU if available."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Distilled:
    """A student that another table trains: a model once that table exists."""

    table: StageTable
    spec: ModelSpec
    """Spec of the base model: rendering stays the same."""
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
            base = self.table.parameters["model"].base
        else:
            # The folder's own config.json holds positions that were scaled for training.
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
    """Description of the model in a part's record, for the user."""
    found: dict[str, Any] = {"model": model.spec.place, "scorer": model.scorer}
    if model.is_remote:
        with suppress(ConnectionError):  # all its results may be cached
            found["server"] = model.remote.about()
    return found
