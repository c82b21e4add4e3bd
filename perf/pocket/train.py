"""The training loop of both models: resumable, as a step's data follow from its number alone."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from perf.pocket.architecture import new_model
from perf.pocket.corpus import CorpusExample, Role, student_examples, teacher_examples
from perf.pocket.muon import Muon
from perf.pocket.vocabulary import chat_prompt, completion, token_ids
from tasks.progress import counting, say

Row = tuple[list[int], list[bool]]
"""token ids, and which of them are learned"""
IGNORE = -100
MIN_SAVE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class PretrainingRecipe:
    """How long and how fast a model learns. A micro-batch holds stories of like length."""

    steps: int
    examples: int
    """examples per step"""
    micro: int
    """micro-batches per step"""
    early: int = 0
    """the teacher's first examples, which are mostly short"""
    late: int = 0
    """the student's last steps, on a mixture of their own, with rates that start over lower"""
    late_peak: float = 0.3
    warmup: int = 40
    decay_from: float = 0.45
    """fraction of the steps before `late` after which the rates fall to zero in a line"""
    muon_lr: float = 0.02
    adam_lr: float = 3e-3


RECIPES: dict[Role, PretrainingRecipe] = {
    "teacher": PretrainingRecipe(steps=1400, examples=36, micro=4, early=6000),
    "student": PretrainingRecipe(steps=2400, examples=24, micro=2, late=400, decay_from=0.35),
}


@dataclass(slots=True)
class TrainingProgress:
    """What a checkpoint counts; `tokens` are those that went through the model, without padding."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Training:
    """A model, its optimisers and how far they are; `folder` keeps the checkpoint."""

    def __init__(
        self,
        role: Role,
        tokenizer: PreTrainedTokenizerFast,
        folder: Path,
        recipe: PretrainingRecipe,
    ) -> None:
        self.role, self.tokenizer, self.recipe = role, tokenizer, recipe
        self.checkpoint = folder / f"{role}.pt"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = new_model(role, tokenizer)
        torch.nn.Module.to(self.model, self.device)
        hidden = [
            p for name, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in name
        ]
        rest = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(hidden, lr=recipe.muon_lr),
            torch.optim.AdamW(rest, lr=recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.progress = TrainingProgress()
        if self.checkpoint.exists():
            self._restore()

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.progress = TrainingProgress(**state["progress"])

    def save(self) -> None:
        """Written beside and renamed, so that a kill leaves the previous checkpoint whole."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "progress": {
                "step": self.progress.step,
                "tokens": self.progress.tokens,
                "seconds": self.progress.seconds,
            },
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)

    def run(self, minutes: float | None = None) -> bool:
        """Trains to the end, or for so many minutes; True when the last step is done."""
        self.model.train()
        began = saved = time.monotonic()
        before = self.progress.seconds
        left = self.recipe.steps - self.progress.step
        with counting(self.role, "steps", left, quiet=False) as advance:
            for batch in self._batches(self.progress.step):
                self._set_rates()
                loss = self._step(batch)
                now = time.monotonic()
                self.progress.seconds = before + now - began
                advance(1)
                if now - saved > MIN_SAVE_SECONDS:
                    self.save()
                    saved = now
                    tokens = f"{self.progress.tokens / 1e6:.2f}M tokens"
                    say(f"{self.role}: step {self.progress.step}, {tokens}, loss {loss:.4f}")
                if minutes is not None and now - began > 60 * minutes:
                    break
        self.save()
        return self.progress.step >= self.recipe.steps

    def _batches(self, step: int) -> Iterator[list[CorpusExample]]:
        first = step * self.recipe.examples
        stream = (
            teacher_examples(self.recipe.early, first)
            if self.role == "teacher"
            else student_examples(
                (self.recipe.steps - self.recipe.late) * self.recipe.examples, first
            )
        )
        for _ in range(step, self.recipe.steps):
            yield list(itertools.islice(stream, self.recipe.examples))

    def _set_rates(self) -> None:
        factor = rate_factor(self.progress.step, self.recipe)
        for optimiser, peak in zip(
            self.optimisers, (self.recipe.muon_lr, self.recipe.adam_lr), strict=True
        ):
            for group in optimiser.param_groups:
                group["lr"] = peak * factor

    def _step(self, examples: list[CorpusExample]) -> float:
        rows = sorted(
            (rendered(e, self.role, self.tokenizer) for e in examples), key=lambda row: len(row[0])
        )
        num_targets = sum(sum(learned) for _, learned in rows)
        size = -(-len(rows) // self.recipe.micro)
        total = 0.0
        for at in range(0, len(rows), size):
            ids_BT, labels_BT = (t.to(self.device) for t in padded(rows[at : at + size]))
            loss = completion_loss(self.model, ids_BT, labels_BT) / num_targets
            loss.backward()
            total += loss.item()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.progress.step += 1
        self.progress.tokens += sum(len(ids) for ids, _ in rows)
        return total


def rate_factor(step: int, recipe: PretrainingRecipe) -> float:
    """Share of the peak rates at a step: warmup, plateau, a line to zero, then the late line."""
    main = recipe.steps - recipe.late
    if step >= main:
        return recipe.late_peak * (recipe.steps - step) / recipe.late
    decay = min(1.0, (1 - step / main) / (1 - recipe.decay_from))
    return decay * min(1.0, (step + 1) / recipe.warmup)


def rendered(example: CorpusExample, role: Role, tokenizer: PreTrainedTokenizerFast) -> Row:
    """Token ids and loss mask: solution and answer of a chat or document, results of a drill."""
    if example.kind == "drill":
        ids = token_ids(tokenizer.bos_token + example.thought, tokenizer)
        return ids, _results([str(tokenizer.decode([token])) for token in ids])
    if example.kind == "chat":
        prompt = chat_prompt(example.question, tokenizer)
        written = completion(role, example.thought, example.answer, tokenizer.eos_token)
    else:
        prompt = f"{tokenizer.bos_token}{example.question}\n"
        written = f"{example.thought}\n{example.answer}{tokenizer.bos_token}"
    start, rest = token_ids(prompt, tokenizer), token_ids(written, tokenizer)
    return start + rest, [False] * len(start) + [True] * len(rest)


def _results(tokens: list[str]) -> list[bool]:
    """True from each equals sign to the full stop; operands are chance and teach nothing."""
    learned, after = [], False
    for token in tokens:
        learned.append(after)
        after = "=" in token or (after and "." not in token)
    return learned


def padded(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and labels; causal attention never looks at padding, so needs no mask."""
    length = max(len(ids) for ids, _ in rows)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.long)
    labels_BT = torch.full((len(rows), length), IGNORE)
    for i, (ids, learned) in enumerate(rows):
        ids_BT[i, : len(ids)] = torch.tensor(ids)
        labels_BT[i, : len(ids)] = torch.where(torch.tensor(learned), ids_BT[i, : len(ids)], IGNORE)
    return ids_BT, labels_BT


def completion_loss(model: Qwen3ForCausalLM, ids_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """The summed cross-entropy; only learned positions go through the output layer."""
    hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    targets_BT = labels_BT[:, 1:]
    learned_BT = targets_BT != IGNORE
    logits_KV = model.lm_head(hidden_BTD[:, :-1][learned_BT])
    return F.cross_entropy(logits_KV, targets_BT[learned_BT], reduction="sum")
