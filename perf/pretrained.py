"""rdpt's scores of real English under a real pre-trained model, beside a plain forward pass.

    .venv/bin/python perf/pretrained.py MODEL TEXTS.jsonl [--gguf FILE] [--keys question answer]

MODEL is a folder, TEXTS.jsonl holds texts under one or more keys, which are joined by a line break.
Each text is read after the tokenizer's own beginning, without a template. Prints nats per token,
the largest difference of one token, and both rates (one thread, CPU time).
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.scoring.forward import PACK_TOKENS, Forward, TokenSequence

Logprobs = list[NDArray[np.float64]]


def texts(file: Path, keys: list[str], number: int) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, number)]
    return ["\n".join(str(row[key]) for key in keys) for row in rows]


def ours(loaded: LoadedModel, work: list[list[int]]) -> Logprobs:
    forward = Forward(loaded.decoder, loaded.head, PACK_TOKENS)
    found = {
        one.index: one.statistics
        for one in forward.run({index: TokenSequence(ids, 1) for index, ids in enumerate(work)})
    }
    kept = [found[index] for index in range(len(work))]
    return [one.logprobs.astype(np.float64) for one in kept if one is not None]


@torch.inference_mode()
def plain(loaded: LoadedModel, work: list[list[int]]) -> Logprobs:
    found = []
    for ids in work:
        logprobs = loaded.model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
        found.append(logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].double().numpy())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--gguf")
    parser.add_argument("--keys", nargs="+", default=["question", "answer"])
    parser.add_argument("--number", type=int, default=40)
    asked = parser.parse_args()
    spec = ModelSpec(path=str(asked.model.resolve()), gguf=asked.gguf)
    loaded = load(spec, Path(), threads=1)
    vocabulary = loaded.renderer.vocabulary
    work = [
        vocabulary.parse(text, add_special=True)
        for text in texts(asked.texts, asked.keys, asked.number)
    ]
    seconds, found = [], []
    for method in (ours, plain):
        method(loaded, work[:1])
        begun = time.process_time()
        found.append(np.concatenate(method(loaded, work)))
        seconds.append(time.process_time() - begun)
    num_tokens = len(found[0])
    print(
        f"{num_tokens:,} tokens of {len(work)} texts: {-found[0].mean():.4f} nats a token, "
        f"plain forward {-found[1].mean():.4f}, largest difference "
        f"{np.abs(found[0] - found[1]).max():.1e}"
    )
    print(
        "tokens per CPU-second: rdpt {:,.0f}, plain {:,.0f}".format(
            *(num_tokens / one for one in seconds)
        )
    )


if __name__ == "__main__":
    main()
