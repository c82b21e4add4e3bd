"""Models of the Hugging Face hub: a commit, the hashes of its files, a snapshot on disk.

Offline (`HF_HUB_OFFLINE`, or no network) the local cache answers, if it holds the model.
"""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from rdpt_core.machine.hub import REFUSED
from rdpt_core.machine.resources import no_room
from rdpt_core.models.files import ModelFiles, loaded_files, matches, patterns_of, quantisation
from rdpt_core.models.refusals import check_config, check_folder, check_names, needed
from rdpt_core.models.spec import ModelSpec

TIMEOUT_SECONDS = 10.0


def hub_files(spec: ModelSpec) -> ModelFiles:
    """A model's files as the hub states them, with SHA-256 of large files and git's hash of small
    ones.

    Raises ValueError for an id, a revision or a model that is refused; ConnectionError where
    neither the hub nor the local cache has it.
    """
    try:
        info = HfApi().model_info(
            spec.path, revision=spec.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
    except REFUSED as error:
        raise _refused(spec, error) from error
    except Exception as error:
        return _cached_files(spec, error)
    siblings = info.siblings or []
    check_names([item.rfilename for item in siblings], spec.path, needed(spec))
    names = {item.rfilename for item in siblings}
    packing = None
    for name in sorted({"config.json", "tokenizer_config.json"} & names):
        path = Path(hf_hub_download(spec.path, name, revision=info.sha))
        check_config(json.loads(path.read_text(encoding="utf-8")), path)
        packing = packing or quantisation(path.parent)
    digests = {
        item.rfilename: item.lfs.sha256 if item.lfs else str(item.blob_id)
        for item in siblings
        if "/" not in item.rfilename and matches(item.rfilename, patterns_of(spec))
    }
    return ModelFiles(digests, str(info.sha), packing)


def hub_snapshot(spec: ModelSpec, revision: str | None = None) -> Path:
    """A local folder with the files that loading reads, downloaded where they are not cached.

    Raises NoRoom where the cache's disk is full, else as `hub_files` does.
    """
    chosen = revision or spec.revision
    try:
        patterns = list(patterns_of(spec))
        folder = Path(snapshot_download(spec.path, revision=chosen, allow_patterns=patterns))
    except REFUSED as error:
        raise _refused(spec, error) from error
    except Exception as error:
        full = no_room(error, Path(constants.HF_HUB_CACHE))
        if full is not None:
            raise full from error
        folder = _cached_snapshot(spec, chosen, error)
    check_folder(folder, spec)
    return folder


def _cached_files(spec: ModelSpec, reason: Exception) -> ModelFiles:
    folder = _cached_snapshot(spec, spec.revision, reason)
    check_folder(folder, spec)
    # The cache stores a file under the hash by which the hub knows it and links to it.
    digests = {path.name: path.resolve().name for path in loaded_files(folder, patterns_of(spec))}
    return ModelFiles(digests, folder.name, quantisation(folder))


def _cached_snapshot(spec: ModelSpec, revision: str | None, reason: Exception) -> Path:
    try:
        return Path(snapshot_download(spec.path, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError) as error:
        said = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
        raise ConnectionError(
            f"path = {spec.path!r}: there is no such folder, the hub cannot be reached ({said}), "
            "and the local cache does not hold a model of that name: either correct the path, "
            "or go online once"
        ) from error


def _refused(spec: ModelSpec, error: Exception) -> ValueError:
    at = f" at revision {spec.revision}" if spec.revision else ""
    return ValueError(
        f"model {spec.path!r}{at} is not on the hub, or not for you ({type(error).__name__}): "
        "check the spelling, log in with `hf auth login`, or give a local folder"
    )
