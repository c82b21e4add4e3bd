"""Which files of a model count, and where they lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from rdpt_core.models.files import HashMemory, hash_files, patterns_of
from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.store.notes import Notes
from tests.conftest import ROOT
from tests.core.models import tiny
from tests.core.models.loading.gguf_files import write_gguf
from tests.core.models.test_identity import folder

__all__ = ["folder"]


OPENED = """
import sys
from pathlib import Path
folder, found = sys.argv[1], set()
sys.addaudithook(lambda event, what: event == "open" and found.add(str(what[0])))
from rdpt_core.models.loading.weights import load
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.spec import ModelSpec
spec = ModelSpec.model_validate_json(sys.argv[2])
read_renderer(spec, Path(folder)) if sys.argv[3] == "text" else load(spec, Path("/"), threads=1)
print(*(path for path in found if path.startswith(folder)), sep="\\n")
"""


DECOYS = (
    "tokenizer.4.0.0.json",
    "config.4.0.0.json",
    "processor_config.json",
    "vocab.txt",
    "preprocessor_config.json",
    "training_args.json",
    "README.md",
    "tekken.json",
    "additional_chat_templates/tool_use.jinja",
    "tiktoken.model",
)
"""What transformers, or somebody, may look for next to the files that count."""


def opened(spec: ModelSpec, what: str = "all") -> set[str]:
    """Names of the files in a model's folder that Python code opens to load it."""
    command = [sys.executable, "-c", OPENED, spec.path, spec.model_dump_json(), what]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return {str(Path(line).relative_to(spec.path)) for line in said.stdout.splitlines()}


@pytest.mark.parametrize("build", ["sharded", "gguf"])
def test_every_file_that_loading_opens_counts_for_the_identity(folder: Path, build: str) -> None:
    for name in DECOYS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no JSON")
    (folder / "generation_config.json").write_text('{"eos_token_id": 3}')
    spec = ModelSpec(path=str(folder))
    if build == "sharded":
        whole = AutoModelForCausalLM.from_pretrained(folder)
        (folder / "model.safetensors").unlink()
        whole.save_pretrained(folder, max_shard_size="20KB")
    else:
        tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
        model = tiny.llama(tiny.size_of(tokenizer))
        write_gguf(model, tokenizer, "<|im_end|>", folder / "m.gguf")
        spec = ModelSpec(path=str(folder), gguf="m.gguf")
        # Looked through for code that it might ask for, and not used: it is another model's.
        (folder / "config.json").write_text('{"model_type": "bert"}')
    found = opened(spec) - ({"config.json"} if spec.gguf else set())
    assert {"generation_config.json", "tokenizer_config.json", "chat_template.jinja"} <= found
    assert found <= hash_files(folder, patterns=patterns_of(spec)).keys()


def test_files_of_a_tokenizer_without_tokenizer_json_count_and_are_read(folder: Path) -> None:
    spec = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(spec["model"]["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in spec["model"]["merges"])
    (folder / "merges.txt").write_text(merges)
    (folder / "added_tokens.json").write_text(
        json.dumps({item["content"]: item["id"] for item in spec["added_tokens"]})
    )
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = opened(ModelSpec(path=str(folder)), "text")
    assert found <= hash_files(folder).keys()
    assert {"added_tokens.json", "tokenizer_config.json"} <= found


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "chat_template.json",
    ],
)
def test_every_file_that_counts_for_the_identity_is_read(folder: Path, name: str) -> None:
    if name == "chat_template.json":
        (folder / "chat_template.jinja").unlink()
    (folder / name).write_bytes(b"{% if \xff damaged")
    assert name in hash_files(folder)
    with pytest.raises((ValueError, OSError, SafetensorError)):
        load(ModelSpec(path=str(folder)), folder, threads=1)


def test_hashes_are_remembered_until_the_file_changes(folder: Path, tmp_path: Path) -> None:
    cache, spec = tmp_path / "cache" / "hashes.json", ModelSpec(path=str(folder))
    notes = Notes(tmp_path / "quarantine")
    memory = HashMemory(cache, notes)
    assert not cache.exists()
    assert identify(spec, tmp_path, HashMemory(cache, replace(notes, read_only=True)))
    assert not cache.exists(), "a plan writes nothing"
    first = identify(spec, tmp_path, memory)
    weights = str((folder / "model.safetensors").resolve())
    status = os.stat(weights)
    memory.add({weights: (status.st_size, status.st_mtime_ns, "from the cache")})
    assert identify(spec, tmp_path, memory) != first, "the cache is read"
    os.utime(weights, ns=(1, 1))
    assert identify(spec, tmp_path, memory) == first, "another mtime means: hash it now"
    cache.write_text("no json")
    assert identify(spec, tmp_path, memory) == first


def test_a_wrong_path_is_no_hub_id(tmp_path: Path) -> None:
    for path in ("./nowhere", "/nowhere", "nowhere", "a/b/c", "a b/c"):
        with pytest.raises(ValueError, match="no such folder"):
            identify(ModelSpec(path=path), tmp_path)
