"""The plan of a fine-tuning: which examples make a step, and how a step is cut into passes."""

from __future__ import annotations

from itertools import chain

import pytest

from rdpt_core.finetune.batches import BatchPlan, held_out, plan
from rdpt_core.finetune.recipe import Accelerate, Machine, TrainingRecipe

NAMES = [f"trace-{number}" for number in range(50)]
LENGTHS = [10 + 7 * number % 61 for number in range(50)]


def laid(
    seed: int = 7, packing: bool = False, processes: int = 1, device_batch: int = 4
) -> BatchPlan:
    recipe = TrainingRecipe(
        epochs=3,
        global_batch=16,
        packing=packing,
        accelerate=Accelerate(num_processes=processes),
    )
    machine = Machine(device_batch=device_batch)
    return plan(NAMES, LENGTHS, [20, 30, 10], recipe, seed, machine)


def test_an_epoch_holds_every_example_once_in_an_order_of_its_own() -> None:
    found = laid()
    epochs = [list(chain(*found.steps[start : start + 4])) for start in (0, 4, 8)]
    assert found.steps_per_epoch == 4
    assert [len(step) for step in found.steps[:4]] == [16, 16, 16, 2]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert found == laid()
    assert found.steps != laid(seed=8).steps


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(("processes", "device_batch"), [(1, 4), (1, 5), (2, 4), (4, 16), (2, 1)])
def test_the_machine_cuts_the_steps_and_changes_none(
    packing: bool, processes: int, device_batch: int
) -> None:
    found = laid(packing=packing, processes=processes, device_batch=device_batch)
    assert found.steps == laid().steps
    per_step = found.rounds * processes
    assert len(found.passes) == per_step * len(found.steps), "all processes stop together"
    for number, step in enumerate(found.steps):
        passes = found.passes[number * per_step : (number + 1) * per_step]
        assert sorted(chain(*chain(*passes))) == sorted(step)
        assert max(map(len, passes)) <= device_batch
        rows = list(chain(*passes))
        assert packing or all(len(row) == 1 for row in rows)
        assert max(sum(LENGTHS[i] for i in row) for row in rows) <= max(LENGTHS)
    assert sorted(chain(*chain(*found.held_out))) == [0, 1, 2]
    assert len(found.held_out) % processes == 0


def test_neighbours_in_length_share_a_pass() -> None:
    """16 random lengths in passes of 4: sorting saves most of the padding."""
    found = laid()
    fed = sum(len(one) * max(LENGTHS[row[0]] for row in one) for one in found.passes if one)
    unsorted = sum(
        len(some) * max(LENGTHS[i] for i in some)
        for step in found.steps
        for some in (step[start : start + 4] for start in range(0, len(step), 4))
    )
    tokens = 3 * sum(LENGTHS)
    assert fed / tokens < 1.2 < unsorted / tokens


def test_what_is_held_out_follows_the_seed_and_leaves_something_to_learn_from() -> None:
    assert held_out(NAMES, 0.0, 7) == set()
    assert len(held_out(NAMES, 0.1, 7)) == 5
    assert len(held_out(NAMES[:3], 0.01, 7)) == 1
    assert held_out(NAMES, 0.1, 7) == held_out(NAMES[::-1], 0.1, 7)
    assert held_out(NAMES, 0.1, 7) != held_out(NAMES, 0.1, 8)
    with pytest.raises(ValueError, match="leaves none to train on"):
        held_out(NAMES[:1], 0.5, 7)
