"""Identity is content: copies are one model, and nothing that could run code is loaded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from rdpt_core.models.hf import load
from rdpt_core.models.identity import HashMemory, identify
from rdpt_core.models.spec import ModelSpec


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    return shutil.copytree(models / "qwen", tmp_path / "a model")


def digest(folder: Path, **fields: object) -> str:
    spec = ModelSpec.model_validate({"path": folder.name, **fields})
    return identify(spec, folder.parent).digest


def test_copies_are_one_model(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "another name")
    (copy / "README.md").write_text("hello")
    (copy / "training_args.json").write_text("{}")
    assert digest(copy) == digest(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
)
def test_each_loaded_file_counts(folder: Path, name: str) -> None:
    before = digest(folder)
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    assert digest(folder) != before


def test_how_it_is_read_counts(folder: Path) -> None:
    variants: list[dict[str, object]] = [
        {},
        {"dtype": "bfloat16"},
        {"thinking": "none"},
        {"thinking": {"open": "<t>", "close": "</t>"}},
        {"system": ""},
        {"context": 64},
    ]
    assert len({digest(folder, **fields) for fields in variants}) == len(variants)


def test_t24_packed_weights_are_another_model_and_say_so(folder: Path) -> None:
    before = identify(ModelSpec(path=folder.name), folder.parent)
    path, how = folder / "config.json", {"quant_method": "gptq", "bits": 4}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": how}))
    packed = identify(ModelSpec(path=folder.name), folder.parent)
    assert before.quantisation is None
    assert json.loads(packed.quantisation or "") == how
    assert packed.digest != before.digest
    # Not by the bytes of config.json alone: the digest holds it by name.
    assert packed.model_copy(update={"quantisation": None}).digest != packed.digest


def test_hashes_are_remembered_until_the_file_changes(folder: Path, tmp_path: Path) -> None:
    cache, spec = tmp_path / "cache" / "hashes.json", ModelSpec(path=str(folder))
    memory = HashMemory(cache)
    assert not cache.exists()
    assert identify(spec, tmp_path, HashMemory(cache, read_only=True))
    assert not cache.exists(), "a plan writes nothing"
    first = identify(spec, tmp_path, memory)
    remembered = json.loads(cache.read_text())
    weights = str((folder / "model.safetensors").resolve())
    remembered[weights][2] = "from the cache"
    cache.write_text(json.dumps(remembered))
    assert identify(spec, tmp_path, memory) != first, "the cache is read"
    os.utime(weights, ns=(1, 1))
    assert identify(spec, tmp_path, memory) == first, "another mtime means: hash it now"
    cache.write_text("no json")
    assert identify(spec, tmp_path, memory) == first


def test_x1_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin.*safe_serialization"):
        digest(folder)


def test_x1_python_files_are_refused(folder: Path) -> None:
    canary = folder / "canary"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')")
    with pytest.raises(ValueError, match=r"modeling_evil\.py"):
        load(ModelSpec(path=str(folder)), folder)
    assert not canary.exists()


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


def test_a_wrong_path_is_no_hub_id(tmp_path: Path) -> None:
    for path in ("./nowhere", "/nowhere", "nowhere", "a/b/c", "a b/c"):
        with pytest.raises(ValueError, match="no such folder"):
            identify(ModelSpec(path=path), tmp_path)
