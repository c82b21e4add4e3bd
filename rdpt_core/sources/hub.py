"""Data sets of the Hugging Face hub.

`datasets` tries for half a minute to reach a hub that is away, so the hub is asked for the set
first. Offline (`HF_HUB_OFFLINE`, or no network) the local cache answers, if it holds the set.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from rdpt_core.files.columnar import DatasetRows
from rdpt_core.files.records import BadTable, SourceRows

TIMEOUT_SECONDS = 4.0


class HubSet(NamedTuple):
    """A split of a data set, and the setting that names it."""

    key: str
    path: str
    config: str | None
    split: str
    revision: str | None

    def __str__(self) -> str:
        at = f" at revision {self.revision}" if self.revision else ""
        return f"{self.key} = {self.path!r}{at}"


def check_hub(wanted: HubSet) -> None:
    """Raises BadTable for a set that the hub refuses; ConnectionError where neither the hub nor the
    local cache has it."""
    reason = _unreachable(wanted)
    if reason is not None:
        _cached(wanted, reason)


def open_hub(wanted: HubSet) -> SourceRows:
    """The rows of a set, through `datasets`, which runs no code of the set.

    Raises BadTable naming the configurations or splits that there are, and as `check_hub`.
    """
    reason = _unreachable(wanted)
    dataset = _loaded(wanted) if reason is None else _split_of(wanted, _cached(wanted, reason))
    return DatasetRows(dataset, wanted.path)


@lru_cache(maxsize=256)  # a set that is read from the cache stays so for this process
def _unreachable(wanted: HubSet) -> str | None:
    """Why the hub does not answer; None where it has the set. Raises BadTable."""
    from huggingface_hub import HfApi

    from rdpt_core.machine.hub import REFUSED

    if os.path.isdir(wanted.path):  # `datasets` would read it instead
        raise BadTable(f"{wanted} is a folder here: give it as a file source, or by `path`")
    try:
        HfApi().dataset_info(wanted.path, revision=wanted.revision, timeout=TIMEOUT_SECONDS)
    except REFUSED as error:
        raise BadTable(
            f"{wanted} is not on the hub, or not for you ({type(error).__name__}): check the "
            "spelling, log in with `hf auth login`, or give a local file"
        ) from error
    except Exception as error:  # any other failure is one of reaching it
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _loaded(wanted: HubSet) -> Any:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return load_dataset(
            wanted.path, wanted.config, split=wanted.split, revision=wanted.revision
        )
    except LocalEntryNotFoundError as error:  # also a FileNotFoundError
        raise _lost(wanted, error) from error
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        # an unknown split, a configuration that must be named, a script
        raise BadTable(f"{wanted}: {' '.join(str(error).split())}") from error
    except (OSError, DatasetsError):  # a full disk, data that do not fit their schema
        raise
    except Exception as error:
        raise _lost(wanted, error) from error


def _lost(wanted: HubSet, error: Exception) -> ConnectionError:
    return ConnectionError(f"{wanted}: the hub does not answer any more ({error})")


# ---------------------------------------------------------------------------- offline


def _cached(wanted: HubSet, reason: str) -> Any:
    """The builder of a set that `datasets` has loaded before. Raises ConnectionError."""
    from datasets.packaged_modules.cache.cache import Cache

    name = wanted.path.rpartition("/")[2]
    try:
        builder = Cache(
            repo_id=wanted.path,
            dataset_name=name,
            config_name=wanted.config,
            version="auto",
            hash="auto",
        )
    except (ValueError, OSError) as error:
        lacks = " ".join(str(error).split())
    else:
        if wanted.revision is None or builder.hash == _commit(wanted.path, wanted.revision):
            return builder
        lacks = f"it holds commit {builder.hash}"
    raise ConnectionError(
        f"{wanted}: the hub cannot be reached ({reason}), and the local cache does not hold the "
        f"data set ({lacks}): either correct `{wanted.key}`, or go online once"
    )


def _split_of(wanted: HubSet, builder: Any) -> Any:
    try:
        return builder.as_dataset(split=wanted.split)
    except ValueError as error:
        raise BadTable(f"{wanted}: {' '.join(str(error).split())}") from error


def _commit(path: str, revision: str) -> str | None:
    """The commit of a revision, as far as it is known here."""
    from huggingface_hub import try_to_load_from_cache

    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    card = try_to_load_from_cache(path, "README.md", repo_type="dataset", revision=revision)
    return Path(card).parent.name if isinstance(card, str) else None
