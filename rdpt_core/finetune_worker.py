"""The process that fine-tunes: `python -m rdpt_core.finetune_worker JOB PARENT`.

Here are its manners only: one worker per folder, an end with its parent, exit codes that say what
happened. They stand before the libraries are imported, which takes seconds. The training is in
`finetune_trainer.py`. Where the recipe asks for several processes, this one starts them with a
third argument, their rank's mark, and waits (`finetune_launch.py`).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from rdpt_core.finetune import EXIT_INTERRUPTED, EXIT_OUT_OF_MEMORY, Job


def main(job_file: str, parent: str, *launched: str) -> int:
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    job = Job.model_validate_json(Path(job_file).read_bytes())
    rank = int(os.environ["RANK"]) if launched else 0
    with _lock(job.workdir / (f"lock-{rank}" if launched else "lock")):
        if job.launched and not launched:
            sys.stdout = sys.stderr  # the file itself goes on to the processes that train
            from rdpt_core.finetune_launch import launch

            return launch(job, job_file)
        with _own_output() as steps:
            return _fit(job, steps if rank == 0 else None)


def _fit(job: Job, steps: TextIO | None) -> int:
    """`steps` is where they are told; None in all processes but the first."""
    interrupted = threading.Event()

    def tell(step: dict[str, float | int | None]) -> None:
        if steps is not None:
            steps.write(json.dumps(step, allow_nan=False) + "\n")

    from rdpt_core import finetune_trainer
    from rdpt_core.memory import is_out_of_memory

    # Until here there is nothing to save, and the signal simply ends the process.
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    try:
        finetune_trainer.fit(job, tell, interrupted)
    except BaseException as error:
        if not is_out_of_memory(error):
            raise
        print(f"out of memory: {error}", flush=True)
        return EXIT_OUT_OF_MEMORY
    return EXIT_INTERRUPTED if interrupted.is_set() else 0


def _own_output() -> TextIO:
    """Standard output as it was given, for steps alone; what libraries print goes to the log."""
    steps = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return steps


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, however that ended.

    Asked twice a second rather than told by the kernel: the kernel's death signal follows the
    thread that started us, and knows Linux only.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    print("the parent process is gone", flush=True)
    os._exit(EXIT_INTERRUPTED)


def _lock(path: Path, patience_s: float = 30.0) -> TextIO:
    """Held for life: a worker whose parent was killed a moment ago may still be writing here."""
    file = path.open("a+")
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"another process is fine-tuning in {path.parent}") from None
            time.sleep(0.2)
        else:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
