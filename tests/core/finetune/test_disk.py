"""What a training needs on disk, from the shapes of its base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdpt_core.finetune.disk import training_room, weight_shapes
from rdpt_core.finetune.recipe import TrainingRecipe

NUM_WEIGHTS = 6 * 4 + 3 * 4 + 6


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model in two files."""
    save_file({"a.q_proj.weight": torch.zeros(6, 4)}, tmp_path / "model-1.safetensors")
    rest = {"a.k_proj.weight": torch.zeros(3, 4), "a.norm.weight": torch.zeros(6)}
    save_file(rest, tmp_path / "model-2.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_shapes_are_those_of_all_files(base: Path) -> None:
    shapes = weight_shapes(base)
    assert shapes == {"a.q_proj.weight": [6, 4], "a.k_proj.weight": [3, 4], "a.norm.weight": [6]}


def test_all_weights_are_kept_with_two_moments_in_three_checkpoints(base: Path) -> None:
    room = training_room(base, TrainingRecipe())
    assert (room.checkpoint, room.model) == (12 * NUM_WEIGHTS, 4 * NUM_WEIGHTS)
    assert room.most == 3 * 12 * NUM_WEIGHTS + 4 * NUM_WEIGHTS
    assert training_room(base, TrainingRecipe(save_dtype="bfloat16")).model == 2 * NUM_WEIGHTS


@pytest.mark.parametrize(
    ("targets", "num_trained"),
    [("all-linear", 2 * (6 + 4) + 2 * (3 + 4)), (["k_proj"], 2 * (3 + 4))],
)
def test_an_adapter_trains_the_factors_of_its_targets(
    base: Path, targets: object, num_trained: int
) -> None:
    lora = {"rank": 2, "targets": targets, "keep": "adapter"}
    room = training_room(base, TrainingRecipe.model_validate({"lora": lora}))
    assert (room.checkpoint, room.model) == (12 * num_trained, 4 * num_trained)
    merged = TrainingRecipe.model_validate({"lora": lora | {"keep": "merged"}})
    assert training_room(base, merged).model == 4 * NUM_WEIGHTS
