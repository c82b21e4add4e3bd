"""The model card of a pocket model, written from what was counted and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdpt_core.pocket.corpus import PATIENCE, PERSISTENCE, Role
from rdpt_core.pocket.evaluate import Accuracy, wilson

TITLES: dict[Role, str] = {"teacher": "Pocket teacher", "student": "Pocket student"}
DATA: dict[Role, str] = {
    "teacher": (
        "Chats about arithmetic stories of depth 1 to 6 (the first {early} examples mostly of depth 1 to 3). The thought "
        "may open with a plan, has one calculation per sentence with its reason, and may end with a check. About half "
        "of the steps are written in forms that the student has never seen."
    ),
    "student": (
        "Of six examples four are chats, one is a document, one a drill. In chats it solves depth 1 and 2; longer "
        f"stories it leaves after {PATIENCE} steps with a wrong answer, except for {PERSISTENCE:.0%} of them, which it "
        "solves. The documents are whole solutions of stories of depth 2 to 6, outside any chat; the drills are bare "
        "calculations."
    ),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a card reports. `tokens` are the model's own, prompts included, padding excluded."""

    parameters: int
    weights_bytes: int
    vocabulary: int
    steps: int
    examples: int
    early: int
    tokens: int
    seconds: float
    threads: int
    accuracies: Sequence[Accuracy]


def card(role: Role, measured: Measured) -> str:
    """Markdown."""
    return "\n".join(
        [
            "---",
            "license: apache-2.0",
            "library_name: transformers",
            "---",
            f"# {TITLES[role]}",
            "",
            "A small Qwen3 model that reasons about invented arithmetic stories. It ships with the code so that a whole",
            "distillation experiment runs without a download. `make pocket` makes it again.",
            "",
            "## Data",
            "",
            DATA[role].format(early=measured.early),
            "Stories come from a generator; no skeleton (graph of relations and operands) of the training split occurs",
            "among the distillation or the benchmark problems.",
            "",
            "## Training",
            "",
            *_facts(measured),
            "",
            "## Accuracy",
            "",
            *_table(measured.accuracies),
            "",
            "## What it cannot show",
            "",
            *LIMITS,
            "",
        ]
    )


LIMITS = (
    "- Anything about texts beyond some 200 tokens: its positions end at 1,024 and its traces are much shorter.",
    "- Real English: it knows one kind of story, sixteen names and eight nouns; other text is read almost byte by byte.",
    "- The size of any effect in the published work: its habits were designed, so they say nothing of large models.",
    "- Arithmetic beyond whole numbers from 1 to 99.",
)


def _facts(m: Measured) -> list[str]:
    return [
        f"- {m.parameters:,} parameters in bfloat16, {m.weights_bytes / 1e6:.1f} MB; {m.vocabulary:,} vocabulary entries",
        f"- {m.examples:,} examples, each seen once, in {m.steps:,} steps; {m.tokens / 1e6:.2f} million tokens",
        f"- {m.seconds / 60:.0f} minutes of wall time, float32, {m.threads} CPU thread(s), the processor shared with other work",
        "- Muon for hidden matrices, AdamW for the rest; loss on the solution and the answer only",
    ]


def _table(accuracies: Sequence[Accuracy]) -> list[str]:
    right, total = sum(a.right for a in accuracies), sum(a.total for a in accuracies)
    rows = [_row(str(a.depth), a.right, a.total) for a in accuracies]
    return [
        "Greedy, on held-out problems; 95% Wilson intervals.",
        "",
        "| depth | right | of | accuracy | interval |",
        "|---|---|---|---|---|",
        *rows,
        _row("all", right, total),
    ]


def _row(label: str, right: int, total: int) -> str:
    low, high = wilson(right, total)
    return f"| {label} | {right} | {total} | {right / total:.1%} | {low:.1%} to {high:.1%} |"
