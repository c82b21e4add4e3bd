"""Digests of everything that rdpt computes, on small inputs: run in a separate environment."""

from __future__ import annotations

import json
from pathlib import Path

from rdpt_core.files.hashing import file_hash
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.grading.checking import Check, check
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables import ids
from tests.core.finetune.tiny_students import MACHINE, RECIPE
from tests.core.models import tiny

QUESTIONS = [Check("1/2", "It is \\boxed{0.5}"), Check("x+1", "\\boxed{1+x}")]


def digests(base: Path, folder: Path) -> str:
    """JSON of weights, scores, texts and verdicts. `folder` is written to."""
    tiny.make_qwen(folder / "qwen")
    loaded = load(ModelSpec(path="qwen"), folder, threads=1)
    sampled = HfGenerator(loaded, Sampling(max_new_tokens=24), 5).generate([tiny.problem()], 0)
    scored = list(HfScorer(loaded).score([tiny.problem()], sampled))
    recipe = RECIPE.model_copy(update={"epochs": 1})
    examples = [
        TrainingExample(f"trace-{i}", [5, 6, 7 + i, 8, 1], [0, 0, 1, 1, 1]) for i in range(4)
    ]
    train(base, examples, recipe, 7, "s", folder / "work", folder / "out", MACHINE)
    return json.dumps(
        {
            "texts": ids.digest("texts", [trace.text for trace in sampled]),
            "scores": ids.digest(
                "scores", [[float(p).hex() for p in row.logprobs] for row in scored]
            ),
            "weights": file_hash(folder / "out/checkpoint/model.safetensors"),
            "verdicts": str(check(QUESTIONS, 60)),
        }
    )
