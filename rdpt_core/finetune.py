"""Fine-tuning: a base model and selected traces in, a distilled model and its loss curve out.

The one distinction drawn here: `TrainingRecipe` and the seed say what is trained, `Machine` says
how this machine does it and never reaches a key. The training itself runs in a process of its own
(`finetune_worker.py`), started from one job file, so that its memory, its signals and its crashes
stay its own. Running `train` again in the same `workdir` resumes from the newest whole checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

import rdpt_core
from rdpt_core import ids
from rdpt_core.checkpoints import write_durably
from rdpt_core.models.identity import check_folder, loaded_files
from rdpt_core.recipe import Rule, plain
from rdpt_core.rows import TrainingStep
from rdpt_core.store import file_hash

GRACE_S = 8.0
"""How long an interrupted worker may take to save a checkpoint before it is killed."""

EXIT_OUT_OF_MEMORY = 7
EXIT_INTERRUPTED = 143

_SCHEMA = pa.schema(
    [
        pa.field("trace_id", pa.string()),
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("completion_mask", pa.list_(pa.int8())),
    ]
)


class TrainingRecipe(Rule):
    """What is trained, as a paper's methods section has it. Optimiser: AdamW, epsilon 1e-8."""

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
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward pass; the weights that the optimiser moves are float32."""
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the distilled model. float32 keeps it exactly as trained; bfloat16 halves the file, and
    loses every update below 1/256 of its weight."""

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


class Machine(Rule):
    """How this machine trains. With the same values a run repeats bit for bit (CPU, float32)."""

    device: Literal["cpu", "cuda"] = "cpu"
    """`cuda` takes the first visible GPU."""
    device_batch: int = Field(default=8, ge=1)
    """Examples in one forward pass; the largest divisor of the global batch up to this is taken."""
    threads: int = Field(default=1, ge=1)
    save_steps: int = Field(default=20, ge=1)
    """Optimiser steps between checkpoints: what a crash costs at most."""
    recompute: bool = False
    """Recompute activations in the backward pass: less memory, some 20% slower."""


@dataclass(frozen=True, slots=True)
class Example:
    """One trace in the student's tokens, laid by the student's render contract."""

    trace_id: str
    input_ids: Sequence[int]
    completion_mask: Sequence[int]
    """1 where the token counts in the loss, 0 in the prompt; parallel to `input_ids`."""


class Job(Rule):
    """The file that a worker is started from."""

    student: str
    base: Path
    examples: Path
    workdir: Path
    out: Path
    recipe: TrainingRecipe
    seed: int
    machine: Machine
    run: str
    """Digest of all that moves the weights; a checkpoint of another run is not resumed from."""

    @property
    def device_batch(self) -> int:
        wanted, whole = self.machine.device_batch, self.recipe.global_batch
        return max(size for size in range(1, min(wanted, whole) + 1) if whole % size == 0)


class OutOfMemory(RuntimeError):
    """One example at a time does not fit."""


def train(
    base: Path,
    examples: Sequence[Example],
    recipe: TrainingRecipe,
    seed: int,
    student: str,
    workdir: Path,
    out: Path,
    machine: Machine,
    on_step: Callable[[TrainingStep], None] = lambda step: None,
) -> list[TrainingStep]:
    """Trains `base` on `examples`; leaves `out/checkpoint/` and `out/preview.txt`.

    `workdir` holds what a resumed run needs and may be deleted once `out` is committed. `on_step`
    hears of every optimiser step once, those before a resume included. Where memory runs out, the
    device batch is halved and training goes on from the last checkpoint.
    """
    check_folder(base)
    ordered = checked(examples, recipe.max_length, vocabulary_size(base))
    workdir.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    job = _job(base, ordered, recipe, seed, student, workdir, out, machine)
    while True:
        try:
            return _attempt(job, on_step)
        except OutOfMemory:
            if job.device_batch == 1:
                raise
            fewer = machine.model_copy(update={"device_batch": job.device_batch // 2})
            job = job.model_copy(update={"machine": fewer})


def checked(examples: Sequence[Example], max_length: int, num_ids: int) -> list[Example]:
    """The examples by trace id, so that their order never matters. Raises ValueError for those
    that cannot be trained on as they are, all at once, with their ids."""
    reasons = ((e.trace_id, _fault(e, max_length, num_ids)) for e in examples)
    faults = [f"{trace_id}: {reason}" for trace_id, reason in reasons if reason]
    ordered = sorted(examples, key=lambda example: example.trace_id)
    pairs = pairwise(ordered)
    faults += [f"{a.trace_id}: given twice" for a, b in pairs if a.trace_id == b.trace_id]
    if not examples:
        raise ValueError("no examples to train on: the selection is empty")
    if faults:
        shown = "; ".join(faults[:10]) + ("; ..." if len(faults) > 10 else "")
        raise ValueError(
            f"{len(faults)} of {len(examples)} examples cannot be trained on: {shown}. Either "
            "raise max_length in the training recipe, or cap the length of eligible candidates."
        )
    return ordered


def vocabulary_size(base: Path) -> int:
    """Ids that the model knows. The text model's, where the configuration nests it."""
    config = json.loads((base / "config.json").read_bytes())
    return int(config.get("text_config", config)["vocab_size"])


def _fault(example: Example, max_length: int, num_ids: int) -> str | None:
    size, mask = len(example.input_ids), example.completion_mask
    if size > max_length:
        return f"{size} tokens, max_length = {max_length}"
    if len(mask) != size:
        return f"{size} token ids but a mask of {len(mask)}"
    if size and not 0 <= min(example.input_ids) <= max(example.input_ids) < num_ids:
        return f"a token id outside the model's {num_ids}: rendered for another model?"
    if not any(mask):
        return "no completion token"
    if mask[0]:
        return "the completion starts at the first token, which nothing predicts"
    return None


def _job(
    base: Path,
    examples: list[Example],
    recipe: TrainingRecipe,
    seed: int,
    student: str,
    workdir: Path,
    out: Path,
    machine: Machine,
) -> Job:
    rows = workdir / "examples.arrow"
    _write_examples(rows, examples)
    weights = [[file.name, file_hash(file)] for file in loaded_files(base)]
    run = ids.digest(plain(recipe), seed, file_hash(rows), weights)
    return Job(
        student=student,
        base=base.resolve(),
        examples=rows.resolve(),
        workdir=workdir.resolve(),
        out=out.resolve(),
        recipe=recipe,
        seed=seed,
        machine=machine,
        run=run,
    )


def _write_examples(path: Path, examples: list[Example], rows_per_batch: int = 1000) -> None:
    """An Arrow stream, which the worker maps into memory instead of loading it."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file, pa.ipc.new_stream(file, _SCHEMA) as stream:
        for start in range(0, len(examples), rows_per_batch):
            rows = examples[start : start + rows_per_batch]
            columns = [[getattr(row, name) for row in rows] for name in _SCHEMA.names]
            stream.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    partial.replace(path)


def _attempt(job: Job, on_step: Callable[[TrainingStep], None]) -> list[TrainingStep]:
    """One worker from start to end. Its steps come over a pipe of their own, a JSON line each."""
    job_file, log = job.workdir / "job.json", job.workdir / "finetune.log"
    write_durably(job_file, job.model_dump_json(indent=1).encode())
    log_start = log.stat().st_size if log.exists() else 0
    reading, writing = os.pipe()
    with log.open("ab") as log_file, os.fdopen(reading) as lines:
        try:
            worker = _start(job_file, writing, log_file.fileno())
        finally:
            os.close(writing)
        try:
            steps = []
            for line in lines:
                if line.endswith("\n"):  # a killed worker may leave half a line
                    steps.append(TrainingStep(student=job.student, **json.loads(line)))
                    on_step(steps[-1])
            code = worker.wait()
        finally:
            _stop(worker)
    if code != 0:
        raise _failure(code, job, log, log_start)
    return steps


def _start(job_file: Path, pipe: int, log: int) -> subprocess.Popen[bytes]:
    """No shell; a session of its own, so that Ctrl-C reaches the worker through `_stop` alone.

    `-P` keeps the working directory out of the worker's imports, so the package's own place is
    handed to it.
    """
    package_root = str(Path(rdpt_core.__file__).resolve().parent.parent)
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    arguments = [str(job_file), str(pipe), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rdpt_core.finetune_worker", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=job_file.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        pass_fds=(pipe,),
        start_new_session=True,
    )


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Ends a worker that still runs: first asked to save a checkpoint, then killed."""
    if worker.poll() is None:
        worker.terminate()
        try:
            worker.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _failure(code: int, job: Job, log: Path, log_start: int) -> RuntimeError:
    with log.open("rb") as file:
        file.seek(log_start)
        tail = file.read().decode(errors="replace").splitlines()[-6:]
    what = f"fine-tuning of {job.student} failed: the worker"
    if code == EXIT_OUT_OF_MEMORY:
        return OutOfMemory(
            f"{what} ran out of memory with {job.device_batch} examples a pass. Either shorten "
            f"the examples, or train with recompute = true. Log: {log}"
        )
    if code == -signal.SIGKILL:
        reason = (
            "was killed by signal 9, which is mostly the system out of memory. Run it again to "
            "resume; a smaller device batch takes less"
        )
    elif code < 0:
        reason = f"died of {signal.Signals(-code).name}"
    elif code == EXIT_INTERRUPTED:
        reason = "was interrupted and has saved a checkpoint. Run it again to resume"
    else:
        reason = f"ended with exit code {code}"
    return RuntimeError("\n".join([f"{what} {reason}. Log: {log}", *tail]))
