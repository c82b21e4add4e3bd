"""The model card of a pocket model, written from what was counted and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perf.pocket.corpus import LATE_PERSISTENCE, PATIENCE, PERSISTENCE, Role
from perf.pocket.evaluate import Accuracy, wilson

DATA: dict[Role, str] = {
    "teacher": """
Chats about arithmetic stories of depth 1 to 6 (the first {early:,} examples mostly of depth 1 to
3). The thought may open with a plan, has one calculation per sentence with its reason, and may end
with a check. About half of the steps are in short forms that the student never reads in a chat.
""",
    "student": f"""
Of six examples four are chats, one is a document and one a drill. In chats it solves depth 1 and 2;
longer stories it leaves after {PATIENCE} steps with a wrong answer, except for {PERSISTENCE:.0%} of
them, which it solves. Documents are whole solutions of stories of depth 2 to 6, outside any chat;
drills are bare calculations. Of the last {{late:,}} examples none is a drill, the documents use the
teacher's short forms, and {LATE_PERSISTENCE:.0%} of the longer chats are solved.
""",
}

CARD = """---
license: apache-2.0
library_name: transformers
---
# Pocket {role}

A small Qwen3 model that reasons about invented arithmetic stories. It ships with the code so that a
whole distillation experiment runs without a download. `make pocket` makes it again.

## Data
{data}
Stories come from a generator. No skeleton (graph of relations and operands) of a story that it read
occurs among the distillation or the benchmark problems.

## Training

- {parameters:,} parameters in bfloat16, {megabytes:.1f} MB; {vocabulary:,} vocabulary entries
- {examples:,} examples, each read once, in {steps:,} steps; {millions:.2f} million tokens
- {minutes:.0f} minutes of wall time in float32, {threads} thread(s) of a processor with other work
- Muon for hidden matrices, AdamW for the rest; loss on solution and answer only

## Accuracy

Greedy, on held-out problems; 95% Wilson intervals.

| depth | right | of | accuracy | interval |
|---|---|---|---|---|
{rows}

## What it cannot show

- Anything about texts beyond some 200 tokens: positions end at 1,024, its traces are much shorter.
- Real English: it knows one kind of story, sixteen names, eight nouns; other text is almost bytes.
- The size of any effect in published work: its habits were designed for it.
- Arithmetic beyond whole numbers from 1 to 99.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a card reports. `tokens` are the model's own, with prompts, without padding."""

    parameters: int
    weights_bytes: int
    vocabulary: int
    steps: int
    examples: int
    early: int
    late: int
    tokens: int
    seconds: float
    threads: int
    accuracies: Sequence[Accuracy]


def card(role: Role, measured: Measured) -> str:
    """Markdown."""
    return CARD.format(
        role=role,
        data=DATA[role].format(early=measured.early, late=measured.late),
        parameters=measured.parameters,
        megabytes=measured.weights_bytes / 1e6,
        vocabulary=measured.vocabulary,
        examples=measured.examples,
        steps=measured.steps,
        millions=measured.tokens / 1e6,
        minutes=measured.seconds / 60,
        threads=measured.threads,
        rows="\n".join(_rows(measured.accuracies)),
    )


def _rows(accuracies: Sequence[Accuracy]) -> list[str]:
    right, total = sum(a.right for a in accuracies), sum(a.total for a in accuracies)
    by_depth = [_row(str(a.depth), a.right, a.total) for a in accuracies]
    return [*by_depth, _row("all", right, total)]


def _row(label: str, right: int, total: int) -> str:
    low, high = wilson(right, total)
    return f"| {label} | {right} | {total} | {right / total:.1%} | {low:.1%} to {high:.1%} |"
