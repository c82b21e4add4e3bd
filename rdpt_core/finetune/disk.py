"""How much disk a training takes, from the shapes of its base and the recipe; nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

from rdpt_core.finetune.recipe import Lora, TrainingRecipe

TRAINED_BYTES = 12
"""A trained weight in a checkpoint: itself and the two moments of AdamW, in float32."""
CHECKPOINTS = 3
"""At most at the same time: two that are kept, and one that is being written."""

Shapes = Mapping[str, Sequence[int]]


class TrainingRoom(NamedTuple):
    """Bytes on disk."""

    checkpoint: int
    model: int
    """What stays: the trained model, or the adapter."""

    @property
    def most(self) -> int:
        """While it trains; all but the model is removed once the model is committed."""
        return CHECKPOINTS * self.checkpoint + self.model


def training_room(base: Path, recipe: TrainingRecipe) -> TrainingRoom:
    shapes = weight_shapes(base)
    num_weights = sum(map(prod, shapes.values()))
    num_trained = _adapter_size(shapes, recipe.lora) if recipe.lora else num_weights
    saved = 2 if recipe.save_dtype == "bfloat16" else 4
    if recipe.lora and recipe.lora.keep == "adapter":
        num_weights, saved = num_trained, 4
    return TrainingRoom(TRAINED_BYTES * num_trained, saved * num_weights)


def weight_shapes(folder: Path) -> dict[str, list[int]]:
    """Name to shape, from the headers of all safetensors files of a model."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes |= {name: t["shape"] for name, t in header.items() if name != "__metadata__"}
    return shapes


def _adapter_size(shapes: Shapes, lora: Lora) -> int:
    """Weights of the two factors of each matrix that may be a target."""
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    if lora.targets != "all-linear":
        wanted = set(lora.targets)
        matrices = {name: s for name, s in matrices.items() if name.split(".")[-2:][0] in wanted}
    return sum(lora.rank * (rows + columns) for rows, columns in matrices.values())
