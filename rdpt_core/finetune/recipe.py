"""What a fine-tuning is, as the methods section of a paper has it, and what a machine adds to it.

The one distinction drawn here: what is trained moves the weights and reaches the key of a student;
how it is carried out (recomputed activations, packing, processes, sharding, the `Machine`) moves
their last bits at most and reaches none, but where dropout draws by it. Both may stand in the
experiment file, so that one file says all that another machine needs.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from rdpt_core.defaults import FLOAT_FORMAT, FloatFormat
from rdpt_core.tables.recipe import Plain, Rule, plain

HOW = ("gradient_checkpointing", "packing", "accelerate")
"""Fields of a recipe that say how and not what."""
DRAWS_ALIKE = ("gradient_checkpointing",)
"""Those that still do where dropout draws: rows and processes decide which numbers it gets."""


class Lora(Rule):
    """Low-rank adaptation (https://arxiv.org/abs/2106.09685): the base stays as it is, and each
    target W gets a trained W + alpha / rank * B A of that rank."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names such as `q_proj`; `all-linear` is every linear layer but the output layer."""
    keep: Literal["merged", "adapter"] = "merged"
    """`merged` is a whole model that loads anywhere; `adapter` stores the update alone, some
    megabytes, which is merged into its base whenever it is loaded."""


class Accelerate(Rule):
    """A fine-tuning in several processes, through `accelerate launch`."""

    num_processes: int = Field(ge=1)
    """One per GPU; on a CPU they talk over gloo."""
    fsdp_config: dict[str, JsonValue] = Field(default={})
    """Handed to accelerate as it is, e.g. `{fsdp_version = 2, fsdp_reshard_after_forward = true}`.
    """
    deepspeed_config: dict[str, JsonValue] = Field(default={})
    """The same for DeepSpeed, e.g. `{zero_stage = 2}`."""

    @property
    def plugins(self) -> dict[str, dict[str, JsonValue]]:
        """Distributed type to the settings of its plugin; empty for plain data parallelism."""
        found = {"FSDP": self.fsdp_config, "DEEPSPEED": self.deepspeed_config}
        return {kind: settings for kind, settings in found.items() if settings}

    @model_validator(mode="after")
    def _one_plugin(self) -> Self:
        if len(self.plugins) > 1:
            raise ValueError("fsdp_config and deepspeed_config exclude each other: give one")
        return self


class TrainingRecipe(Rule):
    """Optimiser: AdamW, epsilon 1e-8."""

    epochs: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    """At its peak."""
    final_learning_rate: float = Field(default=0.0, ge=0)
    """Where a cosine schedule ends (`5e-5 to 1e-5 cosine` in DASD); 0 for the other schedules."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    """Share of all optimiser steps over which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.1, ge=0)
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    global_batch: int = Field(default=16, ge=1)
    """Examples in one optimiser step, however the machine divides them."""
    max_length: int = Field(default=1024, ge=2)
    """Tokens of a whole example. Longer ones are refused before training, never cut."""
    held_out: float = Field(default=0.0, ge=0, lt=1)
    """Share of the selected traces that is not trained on, chosen by the seed; the loss on them is
    measured after every epoch."""
    lora: Lora | None = None
    """Without it all weights are trained."""
    dtype: FloatFormat = FLOAT_FORMAT
    """Precision of the forward and backward pass; the weights that the optimiser moves are
    float32."""
    save_dtype: FloatFormat = FLOAT_FORMAT
    """Format of the distilled model's weights. float32 keeps it exactly as trained; bfloat16 halves
    the file, and loses every update below 1/256 of its weight."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, some 20% slower. In no key."""
    packing: bool = False
    """Put several examples of a step, apart from each other, into one row of a forward pass. A row
    is never longer than the longest example. In no key."""
    accelerate: Accelerate | None = None
    """In no key: the same student, made by more processes."""

    def identity(self) -> Plain:
        left_out = DRAWS_ALIKE if self.lora and self.lora.dropout else HOW
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return plain({name: value for name, value in fields.items() if name not in left_out})

    @model_validator(mode="after")
    def _final_rate_needs_cosine(self) -> Self:
        if self.final_learning_rate and self.schedule != "cosine":
            raise ValueError(
                f'final_learning_rate = {self.final_learning_rate} needs schedule = "cosine": '
                "a linear one ends at 0, a constant one stays"
            )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate = {self.final_learning_rate} is above "
                f"learning_rate = {self.learning_rate}, the peak"
            )
        return self

    @model_validator(mode="after")
    def _processes_have_work(self) -> Self:
        if self.accelerate and self.global_batch % self.accelerate.num_processes:
            raise ValueError(
                f"accelerate.num_processes = {self.accelerate.num_processes} does not divide "
                f"global_batch = {self.global_batch}, so some would idle: change one of them"
            )
        return self


class Machine(Rule):
    """How this machine trains. With the same values a run repeats bit for bit (CPU, float32)."""

    device: Literal["cpu", "cuda"] = "cpu"
    """`cuda` takes the first visible GPU; with several processes, one each."""
    device_batch: int = Field(default=8, ge=1)
    """Most rows in one forward pass of a process."""
    threads: int = Field(default=1, ge=1)
    """torch threads of each process."""
    save_steps: int = Field(default=20, ge=1)
    """Optimiser steps between checkpoints: what a crash costs at most."""
