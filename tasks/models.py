"""Models as parameters of a stage: their identity is their content, wherever they lie."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdpt_core.models.adapters import is_adapter
from rdpt_core.models.identity import HashMemory, ModelIdentity, identify, local_folder
from rdpt_core.models.render import Renderer, read_renderer
from rdpt_core.models.seam import TextGenerator, TextScorer
from rdpt_core.models.spec import ModelSpec, Numerics, Sampling
from rdpt_core.recipe import Plain, plain
from rdpt_core.store import Part, Store

if TYPE_CHECKING:
    from rdpt_core.models.loading import Loaded
    from tasks.stage import Call, Work

CHECKPOINT = "checkpoint"
"""Folder of a student's payload that holds the model."""


@dataclass(frozen=True)
class Model:
    """A language model where it lies. Loaded by the worker that needs it."""

    spec: ModelSpec
    base: Path
    """Where a relative `spec.path` starts: the folder of the experiment file."""
    memory: HashMemory | None = field(default=None, compare=False)
    numerics: Numerics = "exact"
    """The path on which it scores."""

    def on(self, numerics: Numerics) -> Model:
        """The same model, scoring on another path."""
        return replace(self, numerics=numerics)

    @cached_property
    def known(self) -> ModelIdentity:
        return _identify(self.spec, self.base, self.memory, self.numerics)

    def identity(self) -> Plain:
        return plain(self.known)

    @property
    def scorer(self) -> str:
        """The id under which rows name this model."""
        return self.known.digest

    @cached_property
    def folder(self) -> Path:
        """Where its files lie on this machine; fetched from the hub if they must be."""
        return local_folder(self.spec, self.base) or snapshot(self.spec, self.known.revision)

    @cached_property
    def renderer(self) -> Renderer:
        """How it reads problems and traces; needs no weights."""
        return read_renderer(self.spec, self.folder)

    def generator(self, sampling: Sampling, seed: int, work: Work) -> TextGenerator:
        from rdpt_core.models.hf import HfGenerator  # torch: only where a model is needed

        return HfGenerator(self._loaded(work), sampling, seed)

    def text_scorer(self, work: Work, topk_stats: int | None) -> TextScorer:
        from rdpt_core.models.hf import HfScorer

        return HfScorer(self._loaded(work), topk_stats=topk_stats)

    def _loaded(self, work: Work) -> Loaded:
        return _load(self.spec, self.base, work.threads, work.device, self.memory, self.numerics)


def snapshot(spec: ModelSpec, revision: str | None) -> Path:
    from rdpt_core.models.hub import hub_snapshot

    return hub_snapshot(spec, revision)


@lru_cache(maxsize=256)
def _identify(
    spec: ModelSpec, base: Path, memory: HashMemory | None, numerics: Numerics
) -> ModelIdentity:
    """Once per process: the files of a model that is in use do not change under it."""
    return identify(spec, base, memory, numerics)


@lru_cache(maxsize=1)
def _load(
    spec: ModelSpec,
    base: Path,
    threads: int,
    device: str,
    memory: HashMemory | None,
    numerics: Numerics,
) -> Loaded:
    """One model in memory at a time; the parts of a table follow each other."""
    from transformers.utils import logging

    from rdpt_core.models.loading import load

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
    """Of the base model: how it is read stays the same."""
    numerics: Numerics = "exact"

    def on(self, numerics: Numerics) -> Distilled:
        return replace(self, numerics=numerics)

    def bind(self, store: Store, part: Part) -> Model:
        folder = _sound_payload(store, part) / CHECKPOINT
        if is_adapter(folder):
            spec = self.spec.model_copy(update={"adapter": str(folder)})
            base = self.call.parameters["model"].base
        else:
            changes = {"path": str(folder), "revision": None, "gguf": None}
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
    return {"model": model.spec.place, "scorer": model.scorer}
