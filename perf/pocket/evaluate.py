"""Greedy accuracy by depth on held-out problems, with Wilson intervals."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from scipy.stats import binomtest
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from rdpt_core.pocket.problems import WordProblem, problems
from tasks.progress import counting

SEED = 480
NUM_PROBLEMS = 480
MAX_NEW_TOKENS = 384
_ANSWER = re.compile(r"</think>\s*The answer is (\d+)\.$")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right answers of one depth."""

    depth: int
    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95% score interval of a share, for example (0.60, 0.86) for 30 of 40."""
    interval = binomtest(right, total).proportion_ci(method="wilson")
    return interval.low, interval.high


def accuracies(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, num_problems: int = NUM_PROBLEMS
) -> list[Accuracy]:
    """On the first problems of one `bench` stream, so depths are equally many."""
    asked = list(itertools.islice(problems("bench", SEED), num_problems))
    written = completions(model, tokenizer, asked)
    right = [
        stated_answer(text) == problem.answer for problem, text in zip(asked, written, strict=True)
    ]
    by_depth: dict[int, list[bool]] = {}
    for problem, ok in zip(asked, right, strict=True):
        by_depth.setdefault(problem.depth, []).append(ok)
    return [Accuracy(depth, sum(oks), len(oks)) for depth, oks in sorted(by_depth.items())]


def stated_answer(completion: str) -> int | None:
    """The number of the answer sentence; a completion that is not finished states none."""
    found = _ANSWER.search(completion)
    return int(found[1]) if found else None


@torch.inference_mode()
def completions(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    asked: Sequence[WordProblem],
    batch_size: int = 80,
) -> list[str]:
    """Greedy; problems of one depth are side by side, so that a batch ends at about one time."""
    model.eval()
    out = [""] * len(asked)
    order = sorted(range(len(asked)), key=lambda i: (asked[i].depth, i))
    with counting("evaluate", "problems", len(order), quiet=False) as advance:
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            chats = [[{"role": "user", "content": asked[i].prompt}] for i in rows]
            prompts = tokenizer.apply_chat_template(
                chats, add_generation_prompt=True, tokenize=False
            )
            inputs = tokenizer(
                prompts,
                padding=True,
                padding_side="left",
                add_special_tokens=False,
                return_tensors="pt",
            ).to(model.device)
            ids = cast(Any, model).generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                temperature=None,
                max_new_tokens=MAX_NEW_TOKENS,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            for i, row in zip(rows, ids[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                out[i] = _finished(row, tokenizer)
            advance(len(rows))
    return out


def _finished(ids: list[int], tokenizer: PreTrainedTokenizerFast) -> str:
    """The text before the end of turn; one that never ended gets a mark, and so no answer."""
    if tokenizer.eos_token_id not in ids:
        return f"{tokenizer.decode(ids)} ..."
    return str(tokenizer.decode(ids[: ids.index(tokenizer.eos_token_id)]))
