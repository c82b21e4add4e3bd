"""The stage that trains: a selection becomes a distilled model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rdpt_core.finetune import training
from rdpt_core.finetune.batches import num_steps
from rdpt_core.finetune.recipe import HOW, Machine, TrainingRecipe
from rdpt_core.finetune.training import TrainingExample
from rdpt_core.models.adapters import is_adapter
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.rendering.special_ids import ends_of
from rdpt_core.tables.rows import Pick, Problem, Trace, TrainingStep
from tasks.models import CHECKPOINT, Model, note, usable
from tasks.stage import Parts, Work, stage


@stage("students", version=3, row=TrainingStep, by_id=("problems", "traces"), own_process=True)
def train(
    selection: Parts[Pick],
    problems: Parts[Problem],
    traces: Parts[Trace],
    model: Model,
    recipe: TrainingRecipe,
    seed: int,
    work: Work,
) -> Iterator[TrainingStep]:
    """Fine-tunes the base model on the picked traces, in a process of its own. The texts are no
    part of the key: a trace id digests its text."""
    examples = _examples(selection, problems, traces, model)
    if model.spec.context is not None:
        check_context(examples, model.spec.context)
    work.expect(num_steps(len(examples), recipe))
    steps = training.train(
        model.folder,
        examples,
        recipe,
        seed,
        student=model.scorer[:12],
        workdir=work.folder / "training",
        out=work.payload,
        machine=_machine(work),
        on_step=work.show_row,
        rope=model.spec.rope,
        ends=sorted(ends_of(model.renderer, model.folder)),
    )
    checkpoint = work.payload / CHECKPOINT
    if not is_adapter(checkpoint):  # which is read as its base is, by the same files
        check_contract(model, checkpoint)
    work.notes |= note(model) | {"carried_out": recipe.model_dump(include=set(HOW), mode="json")}
    yield from steps


def _examples(
    selection: Parts[Pick], problems: Parts[Problem], traces: Parts[Trace], model: Model
) -> list[TrainingExample]:
    """The picked traces, laid by the student's own render contract."""
    picked = {pick.trace_id for picks in selection for pick in picks}
    chosen = [trace for rows in traces for trace in rows if trace.trace_id in picked]
    assert len(chosen) == len(picked), "the selection names traces that are not there"
    wanted = {trace.problem_id for trace in chosen}
    of = {p.problem_id: p for rows in problems for p in rows if p.problem_id in wanted}
    rows = ((t.trace_id, model.renderer.example(of[t.problem_id], t)) for t in chosen)
    return [TrainingExample(name, row.input_ids, row.completion_mask) for name, row in rows]


def check_context(examples: list[TrainingExample], limit: int) -> None:
    """Raises ValueError for examples that the student could not read whole afterwards."""
    longest = max(examples, key=lambda example: len(example.input_ids))
    if len(longest.input_ids) > limit:
        raise ValueError(
            f"{longest.trace_id} has {len(longest.input_ids)} tokens, and the student's `context` "
            f"is {limit}: raise it, or cap the length of eligible candidates"
        )


def check_contract(model: Model, checkpoint: Path) -> None:
    """Scoring and evaluation read the distilled model as fine-tuning wrote it, or not at all."""
    made = read_renderer(model.spec, checkpoint).contract.digest
    if made != model.renderer.contract.digest:
        raise RuntimeError(
            f"the distilled model in {checkpoint} reads prompts unlike its base {model.folder}: "
            "their render contracts differ, so their scores could not be compared"
        )


def _machine(work: Work) -> Machine:
    return Machine(
        device="cuda" if usable(work.device) == "cuda" else "cpu",
        device_batch=work.options.device_batch,
        threads=work.threads,
    )
