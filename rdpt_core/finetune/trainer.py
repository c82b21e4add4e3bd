"""The training itself: TRL's SFTTrainer on passes that are laid down before, kept resumable.

Nothing is templated, appended or cut here: the render contract has laid the examples, and the loss
is the mean cross-entropy over the tokens that the mask marks. Everything that a resumed run needs
is in the trainer's checkpoint, the loss curve included, so that a step is neither lost nor told
twice. The same code runs in each of several processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Event
from typing import Any, TypeAlias

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from torch import distributed
from torch.utils.data import Sampler, SequentialSampler
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from transformers.utils import logging
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from rdpt_core.finetune.batches import BatchPlan, Pass, plan
from rdpt_core.finetune.checkpoints import keep_newest, newest_whole, seal
from rdpt_core.finetune.export import export, load_base
from rdpt_core.finetune.recipe import Lora, TrainingRecipe
from rdpt_core.finetune.rows import Batch, Rows, preview
from rdpt_core.finetune.training import TrainingJob

Step: TypeAlias = dict[str, float | int | None]

ROUTERS = {"gate", "router", "shared_expert_gate"}
"""Names of the layer that chooses experts: of Qwen, Mixtral and DeepSeek; of gpt-oss; of Qwen's
shared expert."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Settings of a model's configuration that say that it has experts."""

_SCHEDULES = {
    "cosine": "cosine_with_min_lr",
    "linear": "linear",
    "constant": "constant_with_warmup",
}


def fit(job: TrainingJob, tell: Callable[[Step], None], interrupted: Event) -> None:
    """Trains, or resumes training, and exports unless `interrupted` was set on the way."""
    prepare_process(job)
    trainer = tuner(job, [Watch(job, tell, interrupted)])
    first = trainer.is_world_process_zero()
    with trainer.args.main_process_first():  # the others find what it has put in order
        folder = job.workdir / "checkpoints"
        checkpoint = newest_whole(folder, job.run, job.workdir / "quarantine")
    print(f"starts from {checkpoint or job.base}", flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if anywhere(interrupted.is_set()):
        interrupted.set()
        return
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # every process takes part
    if first:
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        export(job, model, state, job.out / "checkpoint")
        text = preview(trainer.rows, trainer.plan.passes[0], trainer.tokenizer)
        (job.out / "preview.txt").write_text(text)


def tuner(job: TrainingJob, callbacks: list[TrainerCallback]) -> Tuner:
    tokenizer = AutoTokenizer.from_pretrained(
        job.base, local_files_only=True, trust_remote_code=False
    )
    model = load_base(job.base, job.rope)
    if job.recipe.packing:
        check_rows_apart(model)
    rows, held_out = (Rows(job.examples, held_out=held) for held in (False, True))
    laid = plan(
        rows.trace_ids, rows.num_tokens, held_out.num_tokens, job.recipe, job.seed, job.machine
    )
    trainer = Tuner(
        tokenizer,
        rows,
        held_out,
        laid,
        model=model,
        args=trainer_arguments(job, laid),
        peft_config=_lora(job.recipe.lora) if job.recipe.lora else None,
        callbacks=callbacks,
    )
    if job.recipe.lora and job.recipe.lora.targets == "all-linear":
        leave_routers(trainer.model)
    sharding = job.recipe.accelerate and job.recipe.accelerate.fsdp_config
    if sharding and job.machine.device == "cpu":
        shard_on_cpu(trainer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def prepare_process(job: TrainingJob) -> None:
    if job.machine.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is available here: train with device = cpu")
    torch.set_num_threads(job.machine.threads)
    disable_progress_bars()
    logging.disable_progress_bar()


@torch.inference_mode()
def check_rows_apart(model: Any) -> None:
    """Raises ValueError for an architecture in which packed examples see each other, such as one
    with a recurrent state that knows no positions."""
    ids, num = torch.arange(16) % model.config.get_text_config().vocab_size, 8
    positions = torch.arange(num).repeat(2)
    model.eval()
    behind = model(input_ids=ids[None], position_ids=positions[None], use_cache=False).logits
    alone = model(input_ids=ids[None, num:], use_cache=False).logits
    if not torch.allclose(behind[:, num:], alone, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"{type(model).__name__} does not keep packed examples apart: set packing = false in "
            "[training]"
        )


def trainer_arguments(job: TrainingJob, laid: BatchPlan) -> SFTConfig:
    recipe, machine = job.recipe, job.machine
    arguments = SFTConfig(
        output_dir=str(job.workdir / "checkpoints"),
        seed=job.seed,
        num_train_epochs=1,  # the plan holds all epochs
        per_device_train_batch_size=1,  # of passes
        gradient_accumulation_steps=laid.rounds,
        **_optimiser(recipe),
        bf16=recipe.dtype == "bfloat16",
        fp16=False,
        use_cpu=machine.device == "cpu",
        activation_checkpointing=recipe.gradient_checkpointing,  # TRL's own default is on
        max_length=None,  # the default cuts at 1,024 tokens without a word
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=machine.save_steps,
        save_total_limit=None,  # `keep_newest` does this, by number and not by file time
        dataloader_pin_memory=machine.device == "cuda",
        report_to="none",
        disable_tqdm=True,
    )
    # With several visible GPUs and one process the trainer would split each batch over all of
    # them, and so multiply the global batch.
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


def _lora(lora: Lora) -> LoraConfig:
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )


def leave_routers(model: Any) -> None:
    """Holds the update of each router at zero, where it begins: which expert reads a token is part
    of what the base is. peft counts routers among all linear layers of a sparse model, also where
    they are told apart by name only."""
    text = model.config.get_text_config()
    if not any(getattr(text, name, None) for name in EXPERTS):
        return
    for name, weight in model.named_parameters():
        if "lora_" in name and not ROUTERS.isdisjoint(name.split(".")):
            weight.requires_grad_(False)


def shard_on_cpu(trainer: Tuner) -> None:
    """Makes accelerate shard where it otherwise would not: on a CPU it drops FSDP without a word,
    though torch's fully_shard (version 2) works over gloo."""
    plugin = FullyShardedDataParallelPlugin()  # reads the settings of `accelerate launch`
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    trainer.is_fsdp_enabled = True


class Tuner(SFTTrainer):
    """Feeds the passes of a plan in their order, and says with each step what it was made of."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Rows,
        held_out: Rows,
        laid: BatchPlan,
        **arguments: Any,
    ) -> None:
        self.tokenizer, self.rows, self.plan, self._held_out = tokenizer, rows, laid, held_out
        super().__init__(
            processing_class=tokenizer,
            train_dataset=Dataset.from_dict({"rows": laid.passes}),
            data_collator=self._collate,
            **arguments,
        )

    def _collate(self, passes: list[dict[str, Pass]]) -> Batch:
        (one,) = passes
        return self.rows.batch(one["rows"])

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return SequentialSampler(range(len(self.plan.passes)))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to a step's loss its tokens and, after an epoch, the loss on what is held out."""
        if "loss" in logs:
            done = self.state.global_step
            examples = self.plan.steps[done - 1]
            before = self.state.log_history[-1]["tokens_seen"] if done > 1 else 0
            logs["num_fed"] = sum(self.rows.num_tokens[i] for i in examples)
            logs["num_trained"] = sum(self.rows.num_trained[i] for i in examples)
            logs["tokens_seen"] = before + logs["num_trained"]
            if len(self._held_out) and done % self.plan.steps_per_epoch == 0:
                logs["held_out_loss"] = self._held_out_loss()
        super().log(logs, start_time)

    def _held_out_loss(self) -> float:
        """Nats per token of the held-out completions, over all of them and all processes."""
        num_tokens = torch.tensor(sum(self._held_out.num_trained), device=self.args.device)
        rank, num_processes = self.accelerator.process_index, self.accelerator.num_processes
        self.model_wrapped.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            losses = [
                self._loss(self._held_out.batch(one), num_tokens)
                for one in self.plan.held_out[rank::num_processes]
            ]
        self.model_wrapped.train()
        self._metrics["eval"].clear()
        # The trainer multiplies each process's loss by their number, for the mean of gradients.
        loss: torch.Tensor = self.accelerator.reduce(torch.stack(losses).sum(), "mean")
        return loss.item()

    def _loss(self, batch: Batch, num_tokens: torch.Tensor) -> torch.Tensor:
        inputs = self._prepare_inputs(batch)
        loss: torch.Tensor = self.compute_loss(  # type: ignore[no-untyped-call]
            self.model_wrapped, inputs, num_items_in_batch=num_tokens
        )
        return loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """A checkpoint needs none; the trainer would write one at every save."""


class Watch(TrainerCallback):
    """Tells the steps, seals the checkpoints, and stops when asked to."""

    def __init__(self, job: TrainingJob, tell: Callable[[Step], None], interrupted: Event) -> None:
        self._job, self._tell, self._interrupted = job, tell, interrupted

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Reports the earlier steps of a resumed run again, from its checkpoint."""
        for entry in state.log_history:
            self._tell_entry(entry)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell_entry(state.log_history[-1])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if anywhere(self._interrupted.is_set()):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if distributed.is_initialized():
            distributed.barrier()  # each process writes files of its own
        if state.is_world_process_zero:
            folder = self._job.workdir / "checkpoints"
            seal(folder / f"checkpoint-{state.global_step}", self._job.run)
            keep_newest(folder, 2)

    def _tell_entry(self, entry: dict[str, Any]) -> None:
        if "loss" not in entry:  # the summary at the end
            return
        names = (
            "step",
            "loss",
            "learning_rate",
            "grad_norm",
            "tokens_seen",
            "num_fed",
            "num_trained",
        )
        step = {name: entry[name] for name in names}
        step["held_out_loss"] = entry.get("held_out_loss")
        if not (math.isfinite(step["loss"]) and math.isfinite(step["grad_norm"])):
            raise FloatingPointError(
                f"the loss is {step['loss']} and the gradient's norm {step['grad_norm']} at step "
                f"{step['step']}: lower learning_rate, or raise warmup_ratio"
            )
        self._tell(step)


def anywhere(flag: bool) -> bool:
    """True if the flag is set in any process: they stop at the same step, or wait for ever."""
    if not distributed.is_initialized():
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    found = torch.tensor(int(flag), device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found.item())
