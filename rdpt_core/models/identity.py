"""Model identity: a digest of what a model is, whatever it is called and wherever it lies.

A folder counts by the content of the files that loading reads: two copies are one model, a README
moves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rdpt_core.defaults import FloatFormat
from rdpt_core.models.adapters import adapter_digest, check_adapter
from rdpt_core.models.files import (
    TEMPLATE,
    TOKENIZER,
    WEIGHTS,
    HashMemory,
    ModelFiles,
    hash_files,
    local_folder,
    matches,
    patterns_of,
    quantisation,
)
from rdpt_core.models.refusals import check_folder
from rdpt_core.models.spec import Backend, Logged, ModelSpec, Numerics
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, Rule, plain, plain_without_unset


class ModelIdentity(Rule):
    """What a model's numbers follow from. Its digest is the `author` and `scorer` of rows."""

    weights: str
    """Digest of weights, architecture and generation settings, and of an adapter's files."""
    tokenizer: str
    template: str
    dtype: FloatFormat
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
    files = find_files(spec, base, memory)
    thinking = spec.thinking if spec.thinking in (None, "none") else plain(spec.thinking)
    given = spec.template.values
    return ModelIdentity(
        weights=_weights(spec, files.digests, base),
        tokenizer=_group(files.digests, TOKENIZER),
        template=_group(files.digests, TEMPLATE),
        dtype=spec.dtype,
        revision=files.revision,
        thinking=None if thinking is None else json.dumps(thinking, sort_keys=True),
        system=spec.system,
        context=spec.context,
        numerics=numerics,
        quantisation=files.quantisation,
        rope=_line(spec.rope),
        think=spec.think,
        variables=json.dumps(given, sort_keys=True) if given else None,
        backend=spec.backend,
        logged=_line(spec.logged or Logged()) if spec.backend == "logged" else None,
        served=served,
    )


def find_files(spec: ModelSpec, base: Path, memory: HashMemory | None = None) -> ModelFiles:
    """The files of a model that is a folder (relative to `base`) or on the hub, and is not refused.
    Raises as `identify` does."""
    folder = local_folder(spec, base)
    if folder is None:
        from rdpt_core.models.hub import hub_files

        return hub_files(spec)
    if spec.revision is not None:
        raise ValueError(
            f"model {spec.path!r} is a local folder, which has no revision: leave `revision` out"
        )
    check_folder(folder, spec)
    return ModelFiles(hash_files(folder, memory, patterns_of(spec)), None, quantisation(folder))


def model_folder(spec: ModelSpec, base: Path, revision: str | None) -> Path:
    """Where the model's files lie on this machine, downloaded if they must be."""
    folder = local_folder(spec, base)
    if folder is None:
        from rdpt_core.models.hub import hub_snapshot

        return hub_snapshot(spec, revision)
    return folder


def _weights(spec: ModelSpec, digests: Mapping[str, str], base: Path) -> str:
    weights = _group(digests, (*WEIGHTS, spec.gguf) if spec.gguf else WEIGHTS)
    if spec.adapter is None:
        return weights
    folder = base / Path(spec.adapter).expanduser()
    check_adapter(folder, tensors_digest(digests))
    return ids.digest("adapted", weights, adapter_digest(folder))


def tensors_digest(digests: Mapping[str, str]) -> str:
    """Digest of the weights alone, by which an adapter names its base: their hashes are the same on
    the hub and on disk, those of small files are not."""
    return _group(digests, ("*.safetensors",))


def _group(digests: Mapping[str, str], patterns: tuple[str, ...]) -> str:
    chosen = [[name, digests[name]] for name in sorted(digests) if matches(name, patterns)]
    return ids.digest("files", chosen)


def _line(rule: Rule | None) -> str | None:
    return None if rule is None else json.dumps(plain(rule), sort_keys=True)
