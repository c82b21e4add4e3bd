"""LoRA adapters: an update of a base model that lies in a folder of its own.

An adapter is nothing without its base, so its folder names the base by content, never by a path.
It is merged into the base when it is loaded; what scores and samples is then an ordinary model.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdpt_core.models.files import read_object, sha256
from rdpt_core.tables import ids

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
BASE = "base.json"
"""`{"tensors": digest}` of the base; other makers' adapters have none."""


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def check_adapter(folder: Path, base: str) -> None:
    """Raises ValueError, naming the file, for what is no LoRA adapter of the base with these
    tensors."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"adapter {str(folder)!r} has no {name}: give the folder that peft's "
                "save_pretrained wrote, with safetensors"
            )
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA" or config.get("auto_mapping"):
        raise ValueError(
            f"{folder / CONFIG}: peft_type = {config.get('peft_type')}, auto_mapping = "
            f"{config.get('auto_mapping')}; only LoRA adapters without code of their own are loaded"
        )
    if (folder / BASE).is_file():
        wanted = _tensors(folder / BASE)
        if wanted != base:
            raise ValueError(
                f"adapter {str(folder)!r} was trained on another base (tensors {wanted[:12]}, here "
                f"{base[:12]}): give the base that it was trained on"
            )


def _tensors(path: Path) -> str:
    wanted = read_object(path).get("tensors")
    if not isinstance(wanted, str):
        raise ValueError(
            f"{path}: no digest `tensors` of the base: give the adapter as rdpt wrote it, or "
            "without this file"
        )
    return wanted


def adapter_digest(folder: Path) -> str:
    """Digest of the files that loading reads."""
    return ids.digest("adapter", [[name, sha256(folder / name)] for name in (CONFIG, WEIGHTS)])


def merged(model: PreTrainedModel, folder: Path, tensor_type: torch.dtype) -> PreTrainedModel:
    """The base, loaded in float32 so that the update is applied unrounded, with the adapter in its
    weights; `model` itself is changed."""
    from peft import PeftModel

    with warnings.catch_warnings():  # peft asks transformers 5 for a name that it retires
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = PeftModel.from_pretrained(model, str(folder))
    result: PreTrainedModel = adapted.merge_and_unload().to(tensor_type)
    return result


def write_adapter(model: Any, state: dict[str, Any], base: str, folder: Path) -> None:
    """Writes peft's own files, without the path of the base and the library's model card."""
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / CONFIG).read_bytes())
    targets = config["target_modules"]  # a set, whose order is another in every process
    config["target_modules"] = sorted(targets) if isinstance(targets, list) else targets
    config |= {"base_model_name_or_path": None, "revision": None}
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / BASE).write_text(json.dumps({"tensors": base}) + "\n")
