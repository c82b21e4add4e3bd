"""How far rdpt's scores are from a float64 reference, on the pocket models and their own texts.

    .venv/bin/python perf/errors.py [--traces 8] [--json perf/results/errors.json]

The reference is transformers' own forward in float64, a trace at a time, with float64 log-softmax.
Of bfloat16 weights the same numbers are held in float64, so what is left is what sums in bfloat16
cost. Rows: a model, the dtype that it computes in, and the path.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rdpt_core
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import Problem, Trace

MODELS = Path(rdpt_core.__file__).parent / "pocket" / "models"
PROBLEM = (
    "Ann has {n} apples. She buys {n} more each day for 3 days. How many apples does she have?"
)


@torch.inference_mode()
def reference(loaded: LoadedModel, problem: Problem, trace: Trace) -> np.ndarray[Any, Any]:
    """Float64 log-probabilities of the text's tokens, delimiters left out."""
    layout = loaded.renderer.lay(problem, trace, sampled=trace.author == loaded.identity.author)
    model = loaded.model.double()
    logits = model(input_ids=torch.tensor([layout.input_ids]), use_cache=False).logits[0]
    logits = logits[:, : loaded.renderer.contract.num_ids].log_softmax(-1)
    start = len(layout.prompt_ids)
    ids = torch.tensor(layout.input_ids[start:])
    found = logits[start - 1 : -1].gather(1, ids[:, None])[:, 0].numpy()
    text = [bool(piece.lengths) for piece in layout.pieces for _ in piece.token_ids]
    return found[: len(text)][np.array(text, bool)]


def measure(name: str, dtype: str, path: str, count: int) -> dict[str, Any]:
    spec = ModelSpec.model_validate({"path": name, "dtype": dtype})
    writer = load(ModelSpec(path=name), MODELS, threads=2)
    problems = [
        Problem(f"p{n}", "", "", "", PROBLEM.format(n=n), None) for n in range(2, 2 + count)
    ]
    traces = HfGenerator(writer, Sampling(max_new_tokens=160), 0).generate(problems, 0)
    scored = load(spec, MODELS, threads=2, numerics=path)  # type: ignore[arg-type]
    rows = list(HfScorer(scored).score(problems, traces))
    wanted = [
        reference(load(spec, MODELS, threads=2), p, t)
        for p, t in zip(problems, traces, strict=True)
    ]
    error = np.concatenate(
        [
            np.abs(row.logprobs[~np.isnan(row.logprobs)] - truth)
            for row, truth in zip(rows, wanted, strict=True)
        ]
    )
    return {
        "model": name,
        "dtype": dtype,
        "path": path,
        "tokens": len(error),
        "mean": float(error.mean()),
        "p99": float(np.quantile(error, 0.99)),
        "max": float(error.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--traces", type=int, default=8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = []
    print("model    dtype     path      tokens   mean     p99      max   (nats)")
    for name in ("teacher", "student"):
        for dtype in ("float32", "bfloat16"):
            for path in ("exact", "compiled"):
                one = measure(name, dtype, path, asked.traces)
                found.append(one)
                print(
                    f"{name:<8} {dtype:<9} {path:<9} {one['tokens']:>6} "
                    f"{one['mean']:.1e}  {one['p99']:.1e}  {one['max']:.1e}"
                )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
