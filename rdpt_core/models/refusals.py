"""Models that are refused before anything of them is loaded.

What could run code of a stranger's is one of them: only safetensors are loaded, and never a folder
that brings Python files or asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from rdpt_core.models.files import read_object
from rdpt_core.models.spec import ModelSpec

UNPACKED_BY = {
    "awq": ("gptqmodel", "'rdpt[awq]'"),
    "gptq": ("gptqmodel", "'rdpt[awq]'"),
    "compressed-tensors": ("compressed_tensors", "compressed-tensors"),
    "bitsandbytes": ("bitsandbytes", "bitsandbytes"),
}
"""Method of quantisation to the package that transformers needs for it, and how it is installed."""
INDEX = "model.safetensors.index.json"
ELSEWHERE = {
    "trust_remote_code": "code",
    "configuration_files": "files",
    "transformers_weights": "files",
}
"""Keys that have code run, or other files loaded than the identity covers."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}


def check_folder(folder: Path, spec: ModelSpec | None = None) -> None:
    """Raises ValueError, naming the file, for a model that would run code or is not complete."""
    weights = needed(spec)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    check_names(names, str(folder), weights)
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.exists():
            check_config(read_object(path), path)
    if weights == ".safetensors":
        check_index(folder)


def check_index(folder: Path) -> None:
    """Raises ValueError for an index of weights that names other files than the safetensors beside
    it: those alone are hashed. A file may itself be a link, as in the hub's cache, since it is
    hashed by its content."""
    path = folder / INDEX
    if not path.exists():
        return
    shards = read_object(path).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(one, str) for one in shards.values()):
        raise ValueError(f"{path} maps no weights to files: copy the model again")
    beside = {file.name for file in folder.glob("*.safetensors") if file.is_file()}
    for name in sorted(set(shards.values()) - beside):
        raise ValueError(
            f"{path} names the weights {name!r}; only *.safetensors in the same folder are "
            f"loaded, and there are {', '.join(sorted(beside))}: copy the model again"
        )


def check_packing(quantisation: str, gpu: bool) -> None:
    """Raises ValueError for packed weights on a device that has no kernels for them, or without
    the package that unpacks them."""
    method = str(json.loads(quantisation).get("quant_method", "unknown"))
    package, extra = UNPACKED_BY.get(method, ("", ""))
    if gpu and package and find_spec(package) is None:
        raise ValueError(
            f"its weights are quantised ({method}), which needs the package {package}: "
            f"pip install {extra}"
        )
    if not gpu:
        raise ValueError(
            f"its weights are quantised ({method}), which needs a GPU, and this is a CPU: use the "
            "unquantised model, a GGUF file, or a machine with RDPT_DEVICE=cuda"
        )


def check_weights(folder: Path) -> None:
    """Reads the header of each file of weights, which knows how long the file is: a copy that broke
    off is found now, not when the model is first needed. Raises ValueError, naming the file."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{path} is cut or damaged ({error}): copy the model again") from error


def check_names(names: Iterable[str], where: str, weights: str | None = ".safetensors") -> None:
    """The part of the check that needs file names only."""
    found = list(names)
    scripts = [name for name in found if name.endswith(".py")]
    if scripts:
        raise ValueError(
            f"{where} brings code ({scripts[0]}), which is never run: remove it if the "
            "architecture is one of transformers' own, or use another model"
        )
    if weights is None:
        return
    if weights != ".safetensors" and weights not in found:
        raise ValueError(f"{where} has no {weights}: correct `gguf`, or give the right folder")
    if not any(name.endswith(weights) and "/" not in name for name in found):
        pickled = [name for name in found if name.endswith(PICKLES)]
        reason = f"only pickled weights ({pickled[0]})" if pickled else "no *.safetensors"
        raise ValueError(
            f"{where} has {reason}: convert it with save_pretrained(..., safe_serialization=True) "
            "in a place that you trust, or use a revision that has safetensors"
        )
    if "adapter_config.json" in found:
        raise ValueError(
            f"{where} is an adapter (adapter_config.json), which transformers would load on its "
            "own base: give the base as `path` and this folder as `adapter`"
        )
    if weights == ".safetensors" and "config.json" not in found:
        raise ValueError(f"{where} has no config.json: give the folder that holds the whole model")


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuses a JSON file that asks for code or files from elsewhere, at any depth."""
    for key, value in _leaves(config):
        attention = key.startswith(("_attn_implementation", "attn_implementation"))
        kernel = attention and isinstance(value, str) and value not in ATTENTION
        if key == "auto_map" or (key in ELSEWHERE and value) or kernel:
            raise ValueError(
                f"{path} asks for {ELSEWHERE.get(key, 'code')} from elsewhere ({key}: {value!r}), "
                "which is never loaded: "
                f"remove {key} if the architecture is one of transformers' own, or use another "
                "model"
            )


def _leaves(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    items = value.items() if isinstance(value, Mapping) else []
    for key, item in items:
        yield key, item
        yield from _leaves(item)


def needed(spec: ModelSpec | None) -> str | None:
    """The file, or kind of file, that holds the weights; None where none are loaded here."""
    if spec is None or spec.backend == "hf":
        return spec.gguf if spec and spec.gguf else ".safetensors"
    return None
