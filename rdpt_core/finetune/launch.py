"""Several processes for one fine-tuning: what `accelerate launch` does, from a job.

Accelerate's own command is called inside this process, so that it ends with its parent as every
worker does, and the processes that it starts end with it.
"""

from __future__ import annotations

import json
import os
import subprocess

from accelerate.commands.launch import launch_command, launch_command_parser
from pydantic import JsonValue
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from rdpt_core.files.replacing import write_durably
from rdpt_core.finetune.training import EXIT_INTERRUPTED, TrainingJob

FREE_PORT = 0


def launch(job: TrainingJob, job_file: str) -> int:
    """Runs the worker in all processes of `job`; the exit code that tells what happened."""
    config = job.workdir / "accelerate.json"
    write_durably(config, json.dumps(configuration(job), indent=1).encode())
    command = [
        "--config_file",
        str(config),
        "--main_process_port",
        str(FREE_PORT),
        "--module",
        "rdpt_core.finetune.worker",
        job_file,
        str(os.getpid()),
        "launched",
    ]
    try:
        launch_command(launch_command_parser().parse_args(command))
    except SignalException:
        return EXIT_INTERRUPTED
    except ChildFailedError as error:
        # A process that missed another one is asked to stop, too: what happened is that other's.
        codes = {failure.exitcode for failure in error.failures.values()}
        return EXIT_INTERRUPTED if codes == {EXIT_INTERRUPTED} else 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def configuration(job: TrainingJob) -> dict[str, JsonValue]:
    """The file that `accelerate config` writes; the recipe's plugin fields stand in it verbatim."""
    accelerate = job.recipe.accelerate
    assert accelerate is not None
    plugins = accelerate.model_dump(include={"fsdp_config", "deepspeed_config"})
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": next(iter(accelerate.plugins), "MULTI_GPU"),
        "num_processes": accelerate.num_processes,
        "num_machines": 1,
        "machine_rank": 0,
        "use_cpu": job.machine.device == "cpu",
        "mixed_precision": "bf16" if job.recipe.dtype == "bfloat16" else "no",
        **{name: table for name, table in plugins.items() if table},
    }
