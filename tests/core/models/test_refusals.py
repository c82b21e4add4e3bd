"""Models that are refused before anything of them is loaded."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from rdpt_core.finetune.export import load_base
from rdpt_core.models.loading.weights import load
from rdpt_core.models.refusals import INDEX
from rdpt_core.models.spec import ModelSpec
from tests.core.models.test_identity import digest, folder

__all__ = ["folder"]


def _index(folder: Path, shard: object) -> None:
    weights = {"metadata": {}, "weight_map": {"model.norm.weight": shard}}
    (folder / INDEX).write_text(json.dumps(weights))


@pytest.mark.fault("X5")
@pytest.mark.parametrize(
    "shard",
    [
        "../other.safetensors",
        "/etc/other.safetensors",
        "sub/other.safetensors",
        "weights.bin",
        "missing.safetensors",
        "",
        7,
        None,
    ],
)
def test_x5_an_index_that_points_outside_the_hashed_files_is_refused(
    folder: Path, shard: object
) -> None:
    (folder / "sub").mkdir()
    for place in (folder.parent / "other", folder / "sub" / "other"):
        shutil.copy(folder / "model.safetensors", place.with_suffix(".safetensors"))
    shutil.copy(folder / "model.safetensors", folder / "weights.bin")
    _index(folder, shard)
    with pytest.raises(ValueError, match=r"names the weights|maps no weights"):
        digest(folder)


@pytest.mark.fault("X5")
def test_x5_a_link_is_hashed_by_what_it_leads_to_as_in_the_hub_s_cache(folder: Path) -> None:
    before = digest(folder)
    moved = shutil.move(folder / "model.safetensors", folder.parent / "blob")
    (folder / "model.safetensors").symlink_to(moved)
    assert digest(folder) == before
    _index(folder, "model.safetensors")
    assert digest(folder) != before


@pytest.mark.fault("X5")
@pytest.mark.parametrize("key", ["configuration_files", "transformers_weights"])
def test_x5_a_config_that_names_other_files_is_refused(folder: Path, key: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: ["config.4.0.0.json"]}))
    with pytest.raises(ValueError, match=f"{key}.*config.4.0.0.json"):
        digest(folder)


def test_an_adapter_in_the_place_of_a_model_is_refused(folder: Path) -> None:
    """transformers would load another base than the one that is named, and hashed."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(ValueError, match="give the base as `path` and this folder as `adapter`"):
        digest(folder)


@pytest.mark.fault("X1")
def test_x1_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin.*safe_serialization"):
        digest(folder)


@pytest.mark.fault("X1")
def test_x1_python_files_are_refused(folder: Path) -> None:
    canary = folder / "canary"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')")
    with pytest.raises(ValueError, match=r"modeling_evil\.py"):
        load(ModelSpec(path=str(folder)), folder)
    assert not canary.exists()


@pytest.mark.fault("X1")
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "asks",
    [
        {"auto_map": {"AutoModelForCausalLM": "evil--code.Model"}},
        {"text_config": {"_attn_implementation": "evil/kernel"}},
        {"trust_remote_code": True},
    ],
)
def test_x1_configs_that_ask_for_code_are_refused(
    folder: Path, name: str, asks: dict[str, object]
) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **asks}))
    with pytest.raises(ValueError, match="asks for code from elsewhere"):
        digest(folder)


class Evil:
    """A pickle that makes a file when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.canary), "w")


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("hub", "identity"):
        monkeypatch.setattr(f"rdpt_core.models.{user}.check_folder", lambda *_: None)


@pytest.mark.fault("X1", "X2")
@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("loads", [lambda folder: load(ModelSpec(path="."), folder), load_base])
def test_x1_a_pickle_is_not_opened_even_where_nothing_was_checked(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loads: Callable[[Path], object],
    beside: bool,
) -> None:
    """The loaders themselves hold, with and without weights in safetensors beside it."""
    unchecked(monkeypatch)
    canary = tmp_path / "canary"
    if not beside:
        (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Evil(canary)))  # protocol of torch's old files
    with nullcontext() if beside else pytest.raises((OSError, ValueError)):
        loads(folder)
    assert not canary.exists()


@pytest.mark.fault("X1")
def test_x1_a_folder_s_code_is_not_run_even_where_nothing_was_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked(monkeypatch)
    canary = tmp_path / "canary"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "modeling_evil.Config",
        "AutoModelForCausalLM": "modeling_evil.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    for loads in (lambda: load(ModelSpec(path="."), folder), lambda: load_base(folder)):
        with suppress(ValueError, OSError):
            loads()
        assert not canary.exists()
