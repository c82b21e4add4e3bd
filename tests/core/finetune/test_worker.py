"""The process that trains: how it fails and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rdpt_core.finetune import training
from rdpt_core.finetune.recipe import Machine
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.machine.resources import OutOfMemory
from rdpt_core.tables.rows import TrainingStep
from tests.core.finetune.test_training import OnStep, run
from tests.core.finetune.tiny_students import MACHINE, RECIPE, base, examples

__all__ = ["base", "examples", "run"]


@pytest.mark.fault("F26")
def test_a_failing_worker_says_what_happened_and_where_its_log_is(
    run: Callable[..., list[TrainingStep]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "write_durably", lambda path, _: path.write_bytes(b"{}"))
    with pytest.raises(ValueError, match="fine-tuning of student-a failed") as error:
        run(tmp_path)
    assert "Field required" in str(error.value)
    assert str(tmp_path / "work/finetune.log") in str(error.value)


@pytest.mark.fault("F07")
def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when the parent is killed, of which it cannot tell anybody."""
    job = training.TrainingJob(
        student="s",
        base=tmp_path,
        examples=tmp_path,
        workdir=tmp_path,
        out=tmp_path,
        recipe=RECIPE,
        seed=1,
        machine=MACHINE,
        run="r",
    )
    (tmp_path / "job.json").write_text(job.model_dump_json())
    start = (
        "import pathlib, time, rdpt_core.finetune.training as f; "
        f"f._start(pathlib.Path({str(tmp_path / 'job.json')!r}), 2); "
        "print('started', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", start], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    parent.kill()
    # The worker holds the other ends of these pipes: they close when it ends.
    _, log = parent.communicate(timeout=20)
    assert "the parent process is gone" in log


@pytest.mark.fault("F25")
def test_memory_that_runs_out_halves_the_device_batch(
    base: Path, examples: list[TrainingExample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def attempt(job: training.TrainingJob, on_step: OnStep) -> list[TrainingStep]:
        tried.append(job.machine.device_batch)
        raise OutOfMemory("no room")

    monkeypatch.setattr(training, "_attempt", attempt)
    recipe = RECIPE.model_copy(update={"global_batch": 12})
    machine = Machine(device_batch=64)
    with pytest.raises(OutOfMemory):
        train(base, examples, recipe, 7, "s", tmp_path / "work", tmp_path / "out", machine)
    assert tried == [64, 6, 3, 1]
