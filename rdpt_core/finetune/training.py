"""Fine-tuning: a base model and selected traces in, a distilled model and its loss curve out.

The training itself runs in a process of its own (`worker.py`, several of them where the
recipe says so), started from one job file, so that its memory, its signals and its crashes stay its
own. Running `train` again in the same `workdir` resumes from the newest whole checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from rdpt_core.files.hashing import file_hash
from rdpt_core.files.replacing import replacing, write_durably
from rdpt_core.finetune.batches import held_out
from rdpt_core.finetune.checkpoints import fault, seal
from rdpt_core.finetune.recipe import Machine, TrainingRecipe
from rdpt_core.machine.children import start_python
from rdpt_core.machine.resources import OutOfMemory
from rdpt_core.machine.worker_errors import FAULT, raised
from rdpt_core.models.files import loaded_files
from rdpt_core.models.refusals import check_folder
from rdpt_core.models.spec import Rope
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule, plain
from rdpt_core.tables.rows import TrainingStep

GRACE_S = 8.0
"""How long an interrupted worker may take to save a checkpoint before it is killed."""

EXIT_INTERRUPTED = 143

FINISHED, STEPS = "finished.json", "steps.json"
"""In `workdir`: the hashes of all that a finished training left in `out`, and its curve."""

_SCHEMA = pa.schema(
    [
        pa.field("trace_id", pa.string()),
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("completion_mask", pa.list_(pa.int8())),
        pa.field("held_out", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One trace in the student's tokens, laid by the student's render contract."""

    trace_id: str
    input_ids: Sequence[int]
    completion_mask: Sequence[int]
    """1 where the token counts in the loss, 0 in the prompt; parallel to `input_ids`."""


class TrainingJob(Rule):
    """The file that a worker is started from."""

    student: str
    base: Path
    examples: Path
    workdir: Path
    out: Path
    recipe: TrainingRecipe
    seed: int
    machine: Machine
    rope: Rope | None = None
    """How the base's positions are stretched, in training and in what it leaves."""
    ends: tuple[int, ...] = ()
    """Ids that end a turn, for the generation settings of what it leaves; none keeps the base's."""
    run: str
    """Digest of all that moves the weights, and of how they are sharded; a checkpoint of another
    run is not resumed from."""

    @property
    def result(self) -> str:
        """Digest of all that moves what the training leaves: also of what is written with the
        weights."""
        return ids.digest(self.run, list(self.ends), self.student)

    @property
    def launched(self) -> bool:
        """True if accelerate starts the processes that train."""
        accelerate = self.recipe.accelerate
        return bool(accelerate and (accelerate.num_processes > 1 or accelerate.plugins))


def train(
    base: Path,
    examples: Sequence[TrainingExample],
    recipe: TrainingRecipe,
    seed: int,
    student: str,
    workdir: Path,
    out: Path,
    machine: Machine,
    on_step: Callable[[TrainingStep], None] = lambda step: None,
    rope: Rope | None = None,
    ends: Sequence[int] = (),
) -> list[TrainingStep]:
    """Trains `base` on `examples`; leaves `out/checkpoint/` and `out/preview.txt`.

    `workdir` holds what a resumed run needs and may be deleted once `out` is committed: a training
    that had finished is not repeated. `on_step` hears of every optimiser step once, those before a
    resume included. Where memory runs out, the device batch is halved and training resumes from the
    last checkpoint. Raises what the worker raised, by its class (`worker_errors.py`).
    """
    check_folder(base)
    ordered = checked(examples, recipe.max_length, vocabulary_size(base))
    workdir.mkdir(parents=True, exist_ok=True)
    job = prepare(base, ordered, recipe, seed, student, workdir, out, machine, rope, ends)
    steps = _finished_steps(job)
    if steps is None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        steps = _trained(job, on_step)
        write_durably(job.workdir / STEPS, json.dumps([asdict(step) for step in steps]).encode())
        seal(job.out, job.result, job.workdir / FINISHED)
    else:
        for step in steps:
            on_step(step)
    return steps


def _finished_steps(job: TrainingJob) -> list[TrainingStep] | None:
    """The steps of a training whose model lies in `out`, complete and as it was left; else None."""
    if fault(job.out, job.result, job.workdir / FINISHED) is not None:
        return None
    try:
        return [TrainingStep(**step) for step in json.loads((job.workdir / STEPS).read_bytes())]
    except (OSError, ValueError, TypeError):  # the last checkpoint knows them as well
        return None


def _trained(job: TrainingJob, on_step: Callable[[TrainingStep], None]) -> list[TrainingStep]:
    """One worker after another, each with half the rows a pass, until one has memory enough."""
    while True:
        try:
            return _attempt(job, on_step)
        except OutOfMemory:
            rows = min(job.machine.device_batch, job.recipe.global_batch)
            if rows == 1:
                raise
            fewer = job.machine.model_copy(update={"device_batch": rows // 2})
            job = job.model_copy(update={"machine": fewer})


def checked(
    examples: Sequence[TrainingExample], max_length: int, num_ids: int
) -> list[TrainingExample]:
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


def _fault(example: TrainingExample, max_length: int, num_ids: int) -> str | None:
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


def prepare(
    base: Path,
    examples: list[TrainingExample],
    recipe: TrainingRecipe,
    seed: int,
    student: str,
    workdir: Path,
    out: Path,
    machine: Machine,
    rope: Rope | None = None,
    ends: Sequence[int] = (),
) -> TrainingJob:
    """Lays down in `workdir` what a worker needs; `examples` as `checked` gives them."""
    rows = workdir / "examples.arrow"
    _write_examples(rows, examples, held_out([e.trace_id for e in examples], recipe.held_out, seed))
    weights = [[file.name, file_hash(file)] for file in loaded_files(base)]
    moves = [recipe.identity(), plain(recipe.accelerate), seed, file_hash(rows), weights]
    run = ids.digest(*moves, *([plain(rope)] if rope else []))
    return TrainingJob(
        student=student,
        base=base.resolve(),
        examples=rows.resolve(),
        workdir=workdir.resolve(),
        out=out.resolve(),
        recipe=recipe,
        seed=seed,
        machine=machine,
        rope=rope,
        ends=tuple(ends),
        run=run,
    )


def _write_examples(
    path: Path, examples: list[TrainingExample], held: set[str], rows_per_batch: int = 1000
) -> None:
    """An Arrow stream, which the worker maps into memory instead of loading it."""
    with (
        replacing(path, durable=False) as new,
        new.open("wb") as file,
        pa.ipc.new_stream(file, _SCHEMA) as stream,
    ):
        for start in range(0, len(examples), rows_per_batch):
            rows = examples[start : start + rows_per_batch]
            columns = [[getattr(row, name) for row in rows] for name in _SCHEMA.names[:-1]]
            columns.append([row.trace_id in held for row in rows])
            stream.write_batch(pa.record_batch(columns, schema=_SCHEMA))


def _attempt(job: TrainingJob, on_step: Callable[[TrainingStep], None]) -> list[TrainingStep]:
    """One worker from start to end. Its steps, and the error that it fails with, come over its
    standard output, a JSON line each."""
    job_file, log = job.workdir / "job.json", job.workdir / "finetune.log"
    write_durably(job_file, job.model_dump_json(indent=1).encode())
    log_start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as log_file, _start(job_file, log_file.fileno()) as worker:
        try:
            steps, faults = [], []
            for line in worker.stdout or ():
                if not line.endswith(b"\n"):  # a killed worker may leave half a line
                    continue
                told = json.loads(line)
                if FAULT in told:
                    faults.append(told[FAULT])
                    continue
                steps.append(TrainingStep(student=job.student, **told))
                on_step(steps[-1])
            code = worker.wait()
        finally:
            _stop(worker)
    if code != 0:
        raise _failure(code, faults, job, log, log_start)
    return steps


def _start(job_file: Path, log: int) -> subprocess.Popen[bytes]:
    program = ("-m", "rdpt_core.finetune.worker", str(job_file), str(os.getpid()))
    return start_python(*program, stdin=subprocess.DEVNULL, stderr=log, cwd=job_file.parent)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Ends a worker that still runs: first asked to save a checkpoint, then killed."""
    if worker.poll() is None:
        worker.terminate()
        try:
            worker.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _failure(
    code: int, faults: Sequence[dict[str, Any]], job: TrainingJob, log: Path, log_start: int
) -> Exception:
    what = f"fine-tuning of {job.student} failed"
    # Where several processes failed, most of them only missed the one whose error has a class.
    named = sorted(faults, key=lambda fault: not fault["kind"])[:1]
    for found in named:
        if found["kind"] == OutOfMemory.__name__:
            return OutOfMemory(
                f"{what}: out of memory with {job.machine.device_batch} rows a pass. Either "
                "shorten the examples, or set gradient_checkpointing = true in [training]. "
                f"Log: {log}"
            )
        return raised(found, what, f". Log: {log}")
    with log.open("rb") as file:
        file.seek(log_start)
        tail = file.read().decode(errors="replace").splitlines()[-6:]
    return RuntimeError("\n".join([f"{what}: the worker {_ended(code)}. Log: {log}", *tail]))


def _ended(code: int) -> str:
    """How a worker ended that left no error behind."""
    if code == -signal.SIGKILL:
        return (
            "was killed by signal 9, which is mostly the system out of memory. Run it again to "
            "resume; a smaller device batch takes less"
        )
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    if code == EXIT_INTERRUPTED:
        return "was interrupted and has saved a checkpoint. Run it again to resume"
    return f"ended with exit code {code}"
