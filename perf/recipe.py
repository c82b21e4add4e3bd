"""Which fine-tuning recipe the pocket study uses: tried on problems that no benchmark holds.

    .venv/bin/rdpt run pocket
    .venv/bin/python perf/recipe.py explore [--json FILE] [--only NAME ...] [--seeds 0 1]
    .venv/bin/python perf/recipe.py confirm --only NAME ... [--seeds 2 3 4]

The criterion, written down before anything was tried: of the recipes below, the one with which the
`random` arm of the pocket experiment has the best accuracy over depths 1 to 6 (greedy, mean over
seeds), among those that leave the student at least as good as it was on depths 1 and 2 together.
Nothing is asked about any other arm, so no recipe can be chosen because it favours one.

How it is applied, written down before any recipe was confirmed:

- *Exploring*, with seed 0: 480 stories that continue the stream that the study distils on, 80 of
  each depth. Two kinds are confirmed: the three best over all depths of those with .90 or more on
  depths 1 and 2, and the two best on depths 1 and 2 of those with .60 or more over all depths. So
  is the recipe in use, to compare with.
- *Confirming*, with seeds 2, 3 and 4: other stories of the same split, with no skeleton of the
  exploring stories or of the study's own; some 1,900 of depths 1 and 2 and 400 of depths 3 to 6.
- The difference to the undistilled student on depths 1 and 2 is the mean of the two depths'
  differences, paired by story, mean over the seeds. A recipe *keeps* the student's skill where
  that difference is 0 or more. It *may keep* it where the 95% interval holds 0. The interval
  covers stories and not seeds: it is the narrower one, and seeds that differ let no recipe in.
- Of the recipes that keep it, the best over all depths is chosen. Without any, the best over all
  depths of those that may keep it, unless it is clearly worse over all depths than the recipe in
  use (95% interval of the paired difference below 0). Otherwise the recipe in use stays.

A skeleton occurs once in a stream, and never in the benchmark's.
Each student is written to FILE when it was measured, and not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from rdpt_core.statistics.intervals import Ratio, difference_limits, linearised
from rdpt_core.tables.rows import Pick, Problem, Trace
from settings.runtime import Runtime
from tasks.arguments import Parts
from tasks.plan import Plan

ARM = "random"
IN_USE = "rank 16, 0.002, 3 epochs, batch 16"
UNDISTILLED = "undistilled student"
EXPLORING = 480
EASY, ALL = (1, 2), (1, 2, 3, 4, 5, 6)
"""Depths that the student solves before any training, and all of them."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")

Answers = dict[str, str]
"""Depth to one digit per story, 1 where the answer is right."""
Shares = dict[str, float]
"""Depth to share of right answers."""
Kept = dict[str, dict[str, Answers]]
"""Name of a recipe to seed to answers: what confirming leaves. Exploring leaves shares."""


def all_weights(rate: float, epochs: int, batch: int) -> TrainingRecipe:
    return TrainingRecipe(learning_rate=rate, epochs=epochs, global_batch=batch, packing=True)


def low_rank(rank: int, rate: float, epochs: int, batch: int, **lora: Any) -> TrainingRecipe:
    recipe = all_weights(rate, epochs, batch)
    return recipe.model_copy(update={"lora": Lora(rank=rank, alpha=2 * rank, **lora)})


def recipes() -> dict[str, TrainingRecipe]:
    full = {
        f"all weights, {rate:g}, {epochs} epochs, batch {batch}": all_weights(rate, epochs, batch)
        for rate, epochs, batch in [
            (1e-3, 3, 16),
            (5e-4, 3, 16),
            (5e-4, 6, 16),
            (2e-4, 3, 16),
            (1e-3, 6, 32),
            (1e-3, 6, 64),
            (2e-3, 6, 64),
        ]
    }
    adapters = {
        f"rank {rank}, {rate:g}, {epochs} epochs, batch {batch}": low_rank(
            rank, rate, epochs, batch
        )
        for rank, rate, epochs, batch in [
            (16, 1e-3, 3, 16),
            (16, 2e-3, 3, 16),
            (16, 2e-3, 6, 16),
            (16, 4e-3, 3, 16),
            (64, 2e-3, 3, 16),
            (16, 2e-3, 6, 64),
            (16, 4e-3, 6, 64),
            (16, 8e-3, 6, 64),
            (16, 8e-3, 3, 64),
            (16, 16e-3, 3, 64),
            (16, 4e-3, 4, 64),
            (16, 4e-3, 4, 32),
            (16, 4e-3, 3, 32),
            (8, 8e-3, 4, 32),
            (32, 4e-3, 6, 64),
            (8, 8e-3, 6, 64),
        ]
    }
    attention = low_rank(16, 4e-3, 4, 32, targets=ATTENTION)
    return full | adapters | {"rank 16, 0.004, 4 epochs, batch 32, attention": attention}


def exploring(first: int) -> list[WordProblem]:
    """The stories after the `first` ones of the stream, which are the study's."""
    return list(itertools.islice(problems("distill", 0, first), EXPLORING))


def confirming(first: int) -> list[WordProblem]:
    """Stories whose skeletons are not among the study's or the exploring ones. There are some 500
    skeletons of depth 1, so depth 2 has three stories to one."""
    seen = {story.skeleton for story in itertools.islice(problems("distill", 0), first + EXPLORING)}
    easy = itertools.islice(problems("distill", 1, depths=(1, 2, 2, 2)), 2_000)
    hard = itertools.islice(problems("distill", 1, depths=(3, 4, 5, 6)), 400)
    return [story for story in itertools.chain(easy, hard) if story.skeleton not in seen]


# ---------------------------------------------------------------- one student


@dataclass(frozen=True, slots=True)
class Trial:
    """What every recipe is tried on."""

    base: Path
    examples: list[TrainingExample]
    stories: list[WordProblem]
    machine: Machine

    def measure(self, recipe: TrainingRecipe | None, seed: int) -> Answers:
        """Answers of the student that the recipe makes; of the undistilled one without recipe."""
        if recipe is None:
            return answers(self.base, self.stories)
        with tempfile.TemporaryDirectory() as folder:
            work, out = Path(folder) / "work", Path(folder) / "out"
            training.train(
                self.base, self.examples, recipe, seed, "student", work, out, self.machine
            )
            return answers(out / "checkpoint", self.stories)


def answers(folder: Path, stories: list[WordProblem]) -> Answers:
    """Greedy answers of a model folder, in float32."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    right: Answers = {}
    for story, text in zip(stories, completions(model, tokenizer, stories), strict=True):
        digit = str(int(stated_answer(text) == story.answer))
        right[str(story.depth)] = right.get(str(story.depth), "") + digit
    return right


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


# ---------------------------------------------------------------- figures


def shares(right: Answers) -> Shares:
    return {depth: digits.count("1") / len(digits) for depth, digits in right.items()}


def row(name: str, runs: Sequence[Shares]) -> str:
    by_depth = {depth: np.mean([run[str(depth)] for run in runs]) for depth in ALL}
    figures = [*by_depth.values(), *(np.mean([by_depth[d] for d in many]) for many in (EASY, ALL))]
    return f"{name:50} {len(runs):5} " + " ".join(f"{figure:6.3f}" for figure in figures)


HEADER = f"{'recipe':50} seeds " + " ".join([*(f"depth{d}" for d in ALL), "   1+2", "   all"])


def difference(name: str, other: str, kept: Kept, depths: Sequence[int]) -> str:
    """Difference and 95% interval, paired by story; it does not cover seeds."""
    one, two = (accuracy(list(kept[recipe].values()), depths) for recipe in (name, other))
    limits = difference_limits(one, two)
    value, low, high = (x.item() for x in (one.value - two.value, limits.low, limits.high))
    return f"  {value:+.3f} [{low:+.3f}, {high:+.3f}]"


def accuracy(runs: Sequence[Answers], depths: Sequence[int]) -> Ratio:
    """Mean over depths, each counting alike, and over the runs of a recipe."""
    tops, bottoms = [], []
    for depth in depths:
        right = np.mean([[int(digit) for digit in run[str(depth)]] for run in runs], axis=0)
        tops.append(right / len(right))
        bottoms.append(np.full(len(right), 1 / len(right)))
    return linearised(np.concatenate(tops)[:, None], np.concatenate(bottoms)[:, None])


def compared(name: str, kept: Kept) -> list[str]:
    """To the undistilled student on depths 1 and 2, and over all depths to the recipe in use."""
    sides = [(UNDISTILLED, EASY), (IN_USE, ALL)]
    return [difference(name, other, kept, depths) for other, depths in sides if other in kept]


# ---------------------------------------------------------------- the command


def read(file: Path) -> Any:
    return json.loads(file.read_text()) if file.exists() else {}


def record(file: Path, name: str, seed: str, found: Answers | Shares) -> None:
    """Reads the file again, so that two processes may share the work."""
    kept = read(file)
    kept.setdefault(name, {})[seed] = found
    file.write_text(json.dumps(kept, indent=1) + "\n")


def trial(experiment: str, explores: bool, threads: int) -> Trial:
    opened = open_asked(experiment, Runtime())
    source = opened.experiment.problems
    assert source is not None
    assert source.limit is not None
    (student,) = opened.experiment.students
    return Trial(
        opened.study.model(student.spec).folder,
        examples(opened, named(opened, ARM)),
        (exploring if explores else confirming)(source.limit),
        Machine(device_batch=4, threads=threads),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("step", choices=["explore", "confirm"])
    parser.add_argument("--experiment", default="pocket", help="an experiment that has run")
    parser.add_argument("--json", type=Path, help="default perf/results/recipe_STEP.json")
    parser.add_argument("--only", nargs="+", help="names of recipes; all of them by default")
    parser.add_argument("--seeds", nargs="+", help="default 0 to explore, 2 3 4 to confirm")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    explores = asked.step == "explore"
    file = asked.json or Path(f"perf/results/recipe_{asked.step}.json")
    tried, on = recipes(), trial(asked.experiment, explores, asked.threads)
    seeds = asked.seeds or (["0"] if explores else ["2", "3", "4"])
    print(HEADER)
    for name in [UNDISTILLED, *(asked.only or tried)]:
        for seed in seeds if name in tried else [""]:
            if seed not in read(file).get(name, {}):
                right = on.measure(tried.get(name), int(seed or 0))
                record(file, name, seed, shares(right) if explores else right)
        kept = read(file)
        runs = list(kept[name].values())
        if explores:
            print(row(name, runs), flush=True)
        else:
            print(row(name, [shares(run) for run in runs]), *compared(name, kept), flush=True)


if __name__ == "__main__":
    main()
