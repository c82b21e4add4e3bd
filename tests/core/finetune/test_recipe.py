"""What of a recipe is identity, and which recipes are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rdpt_core.finetune.recipe import Accelerate, TrainingRecipe


def test_how_it_is_carried_out_is_no_identity() -> None:
    recipe = TrainingRecipe()
    how = {
        "gradient_checkpointing": True,
        "packing": True,
        "accelerate": Accelerate(num_processes=2),
    }
    assert TrainingRecipe(**how).identity() == recipe.identity()
    assert TrainingRecipe(held_out=0.1).identity() != recipe.identity()
    drops = {"lora": {"dropout": 0.1}}
    assert TrainingRecipe(**drops, packing=True).identity() != TrainingRecipe(**drops).identity()
    assert isinstance(recipe.identity(), dict)
    assert set(recipe.identity()) == set(TrainingRecipe.model_fields) - set(how)  # type: ignore[arg-type]


def test_a_final_rate_without_a_cosine_is_refused() -> None:
    with pytest.raises(ValidationError, match='needs schedule = "cosine"'):
        TrainingRecipe(schedule="linear", final_learning_rate=1e-5)


PLUGIN = {"some_field": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accelerate": {"num_processes": 3}}, "does not divide global_batch"),
        (
            {"accelerate": {"num_processes": 2, "fsdp_config": PLUGIN, "deepspeed_config": PLUGIN}},
            "exclude each other",
        ),
        ({"accelerate": {"num_processes": 2, "mixed_precision": "bf16"}}, "mixed_precision"),
        ({"lora": {"rank": 0}}, "rank"),
        ({"held_out": 1.0}, "held_out"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainingRecipe(**changes)
