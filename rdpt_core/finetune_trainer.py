"""The training itself: TRL's SFTTrainer on token ids and masks, kept resumable and observable.

Nothing is templated, appended or cut here: the render contract has laid the rows, and the loss is
the mean cross-entropy over the tokens that the mask marks. Everything that a resumed run needs is
in the trainer's checkpoint, the loss curve included, so that a step is neither lost nor told twice.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

import torch
from datasets import Dataset, disable_progress_bars
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from transformers.utils import logging
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from rdpt_core.checkpoints import keep_newest, newest_whole, seal, write_durably
from rdpt_core.finetune import Job, TrainingRecipe
from rdpt_core.models.identity import TEMPLATE, TOKENIZER

Step: TypeAlias = dict[str, float | int | None]

IGNORED = -100
"""The label of a token that is not in the loss."""

_SCHEDULES = {
    "cosine": "cosine_with_min_lr",
    "linear": "linear",
    "constant": "constant_with_warmup",
}


def fit(job: Job, tell: Callable[[Step], None], interrupted: Event) -> None:
    """Trains, or goes on training, and exports unless `interrupted` was set on the way."""
    prepare_process(job)
    rows = Dataset.from_file(str(job.examples))
    trainer = tuner(job, rows, [Watch(job, tell, interrupted)])
    checkpoint = newest_whole(_checkpoints(job), job.run, job.workdir / "quarantine")
    print(f"starts from {checkpoint or job.base}", flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not interrupted.is_set():
        shutil.copyfile(job.workdir / "preview.txt", job.out / "preview.txt")
        export(trainer.model, job.base, job.out / "checkpoint", job.recipe.save_dtype)


def tuner(job: Job, rows: Dataset, callbacks: list[TrainerCallback]) -> Tuner:
    tokenizer = AutoTokenizer.from_pretrained(
        job.base, local_files_only=True, trust_remote_code=False
    )
    trainer = Tuner(
        preview_file=job.workdir / "preview.txt",
        tokenizer=tokenizer,
        model=load_base(job.base),
        args=trainer_arguments(job),
        train_dataset=rows,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def prepare_process(job: Job) -> None:
    if job.machine.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is available here: train with device = cpu")
    torch.set_num_threads(job.machine.threads)
    disable_progress_bars()
    logging.disable_progress_bar()


def load_base(base: Path) -> PreTrainedModel:
    """In float32 whatever is stored: an optimiser's steps vanish in bfloat16 weights."""
    return AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.float32,
        attn_implementation="sdpa",
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )


def trainer_arguments(job: Job) -> SFTConfig:
    recipe, machine = job.recipe, job.machine
    arguments = SFTConfig(
        output_dir=str(_checkpoints(job)),
        seed=job.seed,
        data_seed=job.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=job.device_batch,
        gradient_accumulation_steps=recipe.global_batch // job.device_batch,
        **_optimiser(recipe),
        bf16=recipe.dtype == "bfloat16",
        fp16=False,
        use_cpu=machine.device == "cpu",
        activation_checkpointing=machine.recompute,  # TRL's own default is on
        max_length=None,  # the default cuts at 1,024 tokens without a word
        packing=False,
        completion_only_loss=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=machine.save_steps,
        save_total_limit=None,  # `keep_newest` does this, by number and not by file time
        dataloader_pin_memory=machine.device == "cuda",
        report_to="none",
        disable_tqdm=True,
    )
    # With several visible GPUs the trainer would split each batch over all of them, and so
    # multiply the global batch.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _optimiser(recipe: TrainingRecipe) -> dict[str, Any]:
    floor = {"min_lr": recipe.final_learning_rate} if recipe.schedule == "cosine" else None
    return {
        "optim": "adamw_torch",
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": _SCHEDULES[recipe.schedule],
        "lr_scheduler_kwargs": floor,
        "warmup_steps": recipe.warmup_ratio,  # below 1 it is a share of all steps
        "weight_decay": recipe.weight_decay,
        "adam_beta1": recipe.adam_beta1,
        "adam_beta2": recipe.adam_beta2,
        "adam_epsilon": 1e-8,
        "max_grad_norm": recipe.clip,
    }


def _checkpoints(job: Job) -> Path:
    return job.workdir / "checkpoints"


class Tuner(SFTTrainer):
    """Counts completion tokens, and shows the first batch as the model sees it."""

    def __init__(
        self, preview_file: Path, tokenizer: PreTrainedTokenizerBase, **arguments: Any
    ) -> None:
        super().__init__(processing_class=tokenizer, **arguments)
        self._preview_file, self._reader = preview_file, tokenizer
        self._num_tokens = 0

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        if self.state.global_step == 0 and self._num_tokens == 0:
            write_durably(self._preview_file, preview(inputs, self._reader).encode())
        self._num_tokens += int((inputs["labels"] != IGNORED).sum())
        return super().training_step(model, inputs, *rest, **more)  # type: ignore[no-untyped-call]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            history = self.state.log_history
            before = history[-1]["tokens_seen"] if history else 0
            logs["tokens_seen"] = before + self._num_tokens
            self._num_tokens = 0
        super().log(logs, start_time)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """A checkpoint needs none; the trainer would write one at every save."""


class Watch(TrainerCallback):
    """Tells the steps, seals the checkpoints, and stops when asked to."""

    def __init__(self, job: Job, tell: Callable[[Step], None], interrupted: Event) -> None:
        self._job, self._tell, self._interrupted = job, tell, interrupted

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Of a resumed run the earlier steps are told again, from its checkpoint."""
        for entry in state.log_history:
            self._tell_entry(entry)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell_entry(state.log_history[-1])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._interrupted.is_set():
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = _checkpoints(self._job)
        seal(folder / f"checkpoint-{state.global_step}", self._job.run)
        keep_newest(folder, 2)

    def _tell_entry(self, entry: dict[str, Any]) -> None:
        if "loss" not in entry:  # the summary at the end
            return
        names = ("step", "loss", "learning_rate", "grad_norm", "tokens_seen")
        step = {name: entry[name] for name in names}
        if not (math.isfinite(step["loss"]) and math.isfinite(step["grad_norm"])):
            raise FloatingPointError(
                f"the loss is {step['loss']} and the gradient's norm {step['grad_norm']} at step "
                f"{step['step']}: lower learning_rate, or raise warmup_ratio"
            )
        self._tell(step)


def preview(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, most_rows: int = 8) -> str:
    """The batch in words: each row's stretches of prompt, loss and padding, as they are fed."""
    columns = (batch["input_ids"], batch["labels"], batch["attention_mask"])
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    lines = [
        f"The first {min(len(rows), most_rows)} rows of the first batch ({len(rows)} rows of "
        f"{len(rows[0][0])} tokens). Only the tokens of `loss` are trained on."
    ]
    for number, (ids, labels, attended) in enumerate(rows[:most_rows], start=1):
        lines.append(f"\nrow {number}")
        lines += _stretches(ids, labels, attended, tokenizer)
    return "\n".join(lines) + "\n"


def _stretches(
    ids: list[int], labels: list[int], attended: list[int], tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    kinds = [
        "padding" if not seen else "prompt" if label == IGNORED else "loss"
        for label, seen in zip(labels, attended, strict=True)
    ]
    for kind, group in groupby(zip(kinds, ids, strict=True), key=lambda pair: pair[0]):
        stretch = [token for _, token in group]
        text = tokenizer.decode(stretch if kind != "padding" else stretch[:1])
        yield f"{kind:>7} {len(stretch):5} tokens  {json.dumps(text, ensure_ascii=False)}"


def export(model: Any, base: Path, folder: Path, dtype: str) -> None:
    """A folder that loads anywhere: the new weights, and the base's own tokenizer, template and
    generation settings byte for byte, so that these keep their identity."""
    partial = folder.with_name(folder.name + ".partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    model.to(getattr(torch, dtype)).save_pretrained(partial)
    for written in partial.iterdir():
        if ".safetensors" not in written.name:  # what the trainer set for itself stays behind
            written.unlink()
    for name in (*TOKENIZER, *TEMPLATE, "generation_config.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, partial / name)
    config = json.loads((base / "config.json").read_bytes())
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    partial.rename(folder)


def is_out_of_memory(error: BaseException) -> bool:
    """The CUDA allocator's error, Python's, or the CPU allocator's, which has no type."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
