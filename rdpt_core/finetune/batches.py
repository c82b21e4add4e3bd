"""Which examples make which step, and how a step is cut into forward passes.

The one distinction drawn here: the recipe and the seed say which examples a step holds; the machine
cuts a step into passes. The loss of a step is a mean over all its tokens, so the cut moves no more
than the order of a sum. Everything is laid down before training starts: a resumed run, or one of
several processes, reads the same plan.

An example is a number here: its place in the list of training examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rdpt_core.finetune.recipe import Machine, TrainingRecipe
from rdpt_core.scoring.packing import packed
from rdpt_core.tables import ids

Row: TypeAlias = list[int]
"""The examples that follow each other in one row of a pass; one of them without packing."""
Pass: TypeAlias = list[Row]
"""The rows of one forward pass of one process; may be empty."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The passes of a whole training, in the order in which a sampler deals them out.

    Every step has `rounds * processes` passes, so pass i belongs to process i % processes.
    """

    steps: list[list[int]]
    steps_per_epoch: int
    rounds: int
    """Passes of each process in one step."""
    passes: list[Pass]
    held_out: list[Pass]
    """Passes over the held-out examples, with numbers of their own; dealt out in the same way."""


def held_out(trace_ids: Sequence[str], share: float, seed: int) -> set[str]:
    """The traces to measure on. One at least where `share` is above 0.

    Raises ValueError where nothing would be left to train on.
    """
    num = num_held_out(len(trace_ids), share)
    if num and num >= len(trace_ids):
        raise ValueError(
            f"held_out = {share} of {len(trace_ids)} selected traces leaves none to train on: "
            "select more, or hold out less"
        )
    return set(sorted(trace_ids, key=lambda name: ids.digest("held out", seed, name))[:num])


def num_held_out(num_examples: int, share: float) -> int:
    return max(1, round(share * num_examples)) if share else 0


def num_steps(num_examples: int, recipe: TrainingRecipe) -> int:
    """Optimiser steps of a training, without its batches."""
    num = num_examples - num_held_out(num_examples, recipe.held_out)
    return int(recipe.epochs * -(-num // recipe.global_batch))


def plan(
    trace_ids: Sequence[str],
    lengths: Sequence[int],
    held_out_lengths: Sequence[int],
    recipe: TrainingRecipe,
    seed: int,
    machine: Machine,
) -> BatchPlan:
    """`trace_ids` and `lengths` (tokens) are those of the examples to train on."""
    processes = recipe.accelerate.num_processes if recipe.accelerate else 1
    together = machine.device_batch * processes
    capacity = max(lengths) if recipe.packing else 0
    steps = [
        step
        for epoch in range(recipe.epochs)
        for step in _epoch(trace_ids, recipe.global_batch, seed, epoch)
    ]
    rows = [packed(step, lengths, capacity) for step in steps]
    # As many rounds in every step as the fullest needs: all processes then stop together.
    rounds = -(-max(map(len, rows)) // together)
    passes = [one for step in rows for one in _cut(step, rounds * processes)]
    held = packed(range(len(held_out_lengths)), held_out_lengths, capacity)
    measured = list(_cut(held, -(-len(held) // together) * processes))
    return BatchPlan(steps, len(steps) // recipe.epochs, rounds, passes, measured)


def _epoch(
    trace_ids: Sequence[str], global_batch: int, seed: int, epoch: int
) -> Iterator[list[int]]:
    """Every example once, in an order that no library's generator can change."""
    numbers = range(len(trace_ids))
    order = sorted(numbers, key=lambda i: ids.digest("order", seed, epoch, trace_ids[i]))
    for start in range(0, len(order), global_batch):
        yield order[start : start + global_batch]


def _cut(rows: list[Row], num_passes: int) -> Iterator[Pass]:
    """Neighbours in length stay together, which saves padding; sizes differ by one at most."""
    size, larger = divmod(len(rows), max(1, num_passes))
    start = 0
    for number in range(num_passes):
        stop = start + size + (number < larger)
        yield rows[start:stop]
        start = stop
