"""The process that fine-tunes: `python -m rdpt_core.finetune.worker JOB PARENT`.

Here are its manners only: one worker per folder, an end with its parent, and an account of what
happened: steps and errors go to the parent over standard output, what libraries print to the log.
They stand before the libraries are imported, which takes seconds. The training is in
`finetune_trainer.py`. Where the recipe asks for several processes, this one starts them with a
third argument, their rank's mark, and waits (`finetune_launch.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rdpt_core.finetune.disk import training_room
from rdpt_core.finetune.training import EXIT_INTERRUPTED, TrainingJob
from rdpt_core.machine.memory import is_out_of_memory
from rdpt_core.machine.resources import OutOfMemory, no_room
from rdpt_core.machine.worker_errors import fault_line
from rdpt_core.store.locks import exclusive

EXIT_FAILED = 1


def main(job_file: str, parent: str, *launched: str) -> int:
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    account = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    try:
        job = TrainingJob.model_validate_json(Path(job_file).read_bytes())
        return _run(job, job_file, bool(launched), account)
    except BaseException as error:
        with contextlib.suppress(OSError):  # where the disk is full, the log cannot grow either
            traceback.print_exception(error)
        account.write(fault_line(_classed(error, Path(job_file))) + "\n")
        return EXIT_FAILED


def _run(job: TrainingJob, job_file: str, launched: bool, account: TextIO) -> int:
    rank = int(os.environ["RANK"]) if launched else 0
    with _alone(job.workdir / (f"lock-{rank}" if launched else "lock")):
        if job.launched and not launched:
            sys.stdout = sys.stderr  # the file itself is passed to the processes that train
            from rdpt_core.finetune.launch import launch

            return launch(job, job_file)
        os.dup2(2, 1)
        return _fit(job, account if rank == 0 else None)


def _fit(job: TrainingJob, steps: TextIO | None) -> int:
    """`steps` is where they are told; None in all processes but the first."""
    interrupted = threading.Event()

    def tell(step: dict[str, float | int | None]) -> None:
        if steps is not None:
            steps.write(json.dumps(step, allow_nan=False) + "\n")

    from rdpt_core.finetune import trainer

    # Until here there is nothing to save, and the signal simply ends the process.
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    trainer.fit(job, tell, interrupted)
    return EXIT_INTERRUPTED if interrupted.is_set() else 0


def _classed(error: BaseException, job_file: Path) -> BaseException:
    """An error of the disk or of memory as one, whatever the library that met it makes of it."""
    full = no_room(error, job_file.parent)
    if full is not None:
        with contextlib.suppress(OSError, ValueError):
            job = TrainingJob.model_validate_json(job_file.read_bytes())
            full.needed = training_room(job.base, job.recipe).checkpoint
        return full
    return OutOfMemory(str(error)) if is_out_of_memory(error) else error


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, however that ended.

    Asked twice a second rather than told by the kernel: the kernel's death signal follows the
    thread that started us, and knows Linux only.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    with contextlib.suppress(OSError):
        print("the parent process is gone", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


@contextlib.contextmanager
def _alone(path: Path, patience: float = 30.0) -> Iterator[None]:
    """A worker whose parent was killed a moment ago may still be writing here."""
    with exclusive(path, patience) as mine:
        if not mine:
            raise RuntimeError(f"another process is fine-tuning in {path.parent}")
        path.write_text(f"{os.getpid()}\n")
        yield


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
