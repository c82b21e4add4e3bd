"""Which fine-tuning recipe the pocket study uses: tried on problems that no benchmark holds.

    .venv/bin/rdpt run pocket
    .venv/bin/python perf/recipe.py [--json FILE] [--only NAME ...] [--seeds 0 1]

The criterion, written down before anything was tried: of the recipes below, the one with which the
`random` arm of the pocket experiment has the best accuracy over depths 1 to 6 (greedy, mean over
seeds), among those that leave the student at least as good as it was on depths 1 and 2 together.
Nothing is asked about any other arm, so no recipe can be chosen because it favours one.

The development problems continue the stream that the study distils on: 480 stories after its own,
80 of each depth. A skeleton occurs once in that stream, and never in the benchmark's.
Each student is written to FILE when it was measured, and not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from flows.configurations import Configuration
from flows.workspace import Opened, named, open_asked
from perf.pocket.evaluate import completions, stated_answer
from rdpt_core.finetune import training
from rdpt_core.finetune.recipe import Lora, Machine, TrainingRecipe
from rdpt_core.finetune.training import TrainingExample
from rdpt_core.pocket.problems import WordProblem, problems
from rdpt_core.tables.rows import Pick, Problem, Trace
from settings.runtime import Runtime
from tasks.plan import Plan
from tasks.stage import Parts

ARM = "random"
NUMBER = 480
EASY = (1, 2)
"""Depths that the student solves before any training."""


def recipes() -> dict[str, TrainingRecipe]:
    full = {
        f"all weights, {rate:g}, {epochs} epochs, batch {batch}": TrainingRecipe(
            learning_rate=rate, epochs=epochs, global_batch=batch, packing=True
        )
        for rate, epochs, batch in [
            (1e-3, 3, 16),
            (5e-4, 3, 16),
            (5e-4, 6, 16),
            (2e-4, 3, 16),
            (2e-4, 6, 16),
            (1e-3, 6, 16),
            (1e-3, 6, 32),
            (1e-3, 6, 64),
            (2e-3, 6, 64),
            (5e-4, 6, 32),
        ]
    }
    low_rank = {
        f"rank {rank}, {rate:g}, {epochs} epochs, batch {batch}": TrainingRecipe(
            learning_rate=rate,
            epochs=epochs,
            global_batch=batch,
            packing=True,
            lora=Lora(rank=rank, alpha=2 * rank),
        )
        for rank, rate, epochs, batch in [
            (16, 1e-3, 3, 16),
            (16, 2e-3, 3, 16),
            (16, 2e-3, 6, 16),
            (16, 4e-3, 3, 16),
            (64, 2e-3, 3, 16),
            (16, 2e-3, 6, 64),
            (16, 4e-3, 6, 64),
        ]
    }
    return full | low_rank


def development(first: int) -> list[WordProblem]:
    return list(itertools.islice(problems("distill", 0, first), NUMBER))


def by_depth(folder: Path, asked: list[WordProblem]) -> dict[str, float]:
    """Accuracy of a model folder, greedy, in float32; depth to share of right answers."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    written = completions(model, tokenizer, asked)
    right: dict[str, list[bool]] = {}
    for problem, text in zip(asked, written, strict=True):
        right.setdefault(str(problem.depth), []).append(stated_answer(text) == problem.answer)
    return {depth: sum(each) / len(each) for depth, each in right.items()}


def examples(opened: Opened, arm: Configuration) -> list[TrainingExample]:
    """What the arm trains on, rendered for its student."""
    plan = Plan(opened.store)

    def rows(row: type[Any]) -> list[Any]:
        table = arm.find(row.TABLE, "train")
        assert table is not None
        found = plan.state(table)
        assert found.complete, f"{row.TABLE} is not complete: rdpt run {opened.file}"
        return [one for part in Parts(opened.store, row, found.parts) for one in part]

    picked = {pick.trace_id for pick in rows(Pick)}
    of = {problem.problem_id: problem for problem in rows(Problem)}
    (student,) = opened.experiment.students
    renderer = opened.study.model(student.spec).renderer
    chosen = [trace for trace in rows(Trace) if trace.trace_id in picked]
    rendered = [(t.trace_id, renderer.example(of[t.problem_id], t)) for t in chosen]
    return [TrainingExample(name, row.input_ids, row.completion_mask) for name, row in rendered]


def measured(
    base: Path,
    rows: list[TrainingExample],
    recipe: TrainingRecipe,
    seed: int,
    asked: list[WordProblem],
    machine: Machine,
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        training.train(base, rows, recipe, seed, "student", Path(folder) / "work", out, machine)
        return by_depth(out / "checkpoint", asked)


def mean(found: dict[str, float], depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> float:
    return sum(found[str(depth)] for depth in depths) / len(depths)


def line(name: str, seed: str, found: dict[str, float]) -> str:
    shares = " ".join(f"{found[str(depth)]:6.3f}" for depth in range(1, 7))
    return f"{name:42} {seed:>4} {shares} {mean(found, EASY):6.3f} {mean(found):6.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--experiment", default="pocket", help="an experiment that has run")
    parser.add_argument("--json", type=Path, default=Path("perf/results/recipe.json"))
    parser.add_argument("--only", nargs="+", help="names of recipes; all of them by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    machine = Machine(device_batch=4, threads=asked.threads)
    opened = open_asked(asked.experiment, Runtime())
    source = opened.experiment.problems
    assert source is not None
    assert source.limit is not None
    rows, stories = examples(opened, named(opened, ARM)), development(source.limit)
    (student,) = opened.experiment.students
    base = opened.study.model(student.spec).folder
    kept: dict[str, dict[str, float]] = (
        json.loads(asked.json.read_text()) if asked.json.exists() else {}
    )
    print(f"{'recipe':42} seed " + " ".join(f"depth{d}" for d in range(1, 7)) + "    1+2    all")
    tried = recipes()
    runs = [(name, seed) for seed in asked.seeds for name in asked.only or tried]
    for name, seed in [("undistilled student", None), *runs]:
        key = name if seed is None else f"{name}, seed {seed}"
        if key not in kept:
            if seed is None:
                kept[key] = by_depth(base, stories)
            else:
                kept[key] = measured(base, rows, tried[name], seed, stories, machine)
            asked.json.write_text(json.dumps(kept, indent=1) + "\n")
        print(line(name, "" if seed is None else str(seed), kept[key]), flush=True)


if __name__ == "__main__":
    main()
