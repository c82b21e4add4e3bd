"""Identity is content: copies are one model, and nothing that could run code is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rdpt_core.models.identity import identify
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
