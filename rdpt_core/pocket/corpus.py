"""What the two models read: endless, numbered examples, each a function of its number alone.

The teacher reads chats of depth 1 to 6. The student can do more than it does: in chats it solves depth 1 and 2, and
leaves longer stories after two steps with what it has by then, save for a few; whole solutions of longer stories it
reads mostly as documents, outside any chat. So a small number of teacher traces can bring out what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rdpt_core.pocket import styles
from rdpt_core.pocket.dice import Dice
from rdpt_core.pocket.problems import WordProblem, problems

Role = Literal["teacher", "student"]
SEED = 1
EARLY_DEPTHS = (1, 2, 3, 1, 2, 3, 4)
LATE_DEPTHS = (1, 2, 3, 4, 5, 6)
STUDENT_DEPTHS = (1, 2, 3, 2, 1, 4, 2, 1, 5, 2, 1, 6)
"""depths of the student's chats"""
DOCUMENT_DEPTHS = (2, 3, 4, 5, 6)
PATIENCE = 2
"""steps after which the student leaves a chat's story"""
PERSISTENCE = 0.08
"""share of its longer chats that the student solves all the same"""


@dataclass(frozen=True, slots=True)
class Example:
    """A question, its worked solution and an answer, as a chat or as a document."""

    question: str
    thought: str
    answer: str
    skeleton: str
    chat: bool = True


def teacher_examples(early: int, start: int = 0) -> Iterator[Example]:
    """The first `early` examples are mostly of depth 1 to 3; then all depths take turns."""
    if start < early:
        for index, problem in zip(
            range(start, early), problems("train", SEED, start, EARLY_DEPTHS), strict=False
        ):
            yield _chat(problem, "teacher", index)
    first = max(start, early)
    for index, problem in enumerate(problems("train", SEED, first, LATE_DEPTHS), first):
        yield _chat(problem, "teacher", index)


def student_examples(start: int = 0) -> Iterator[Example]:
    """Two chats, then a document, and so on."""
    chats = problems("train", SEED + 1, start - start // 3, STUDENT_DEPTHS)
    documents = problems("train", SEED + 2, start // 3, DOCUMENT_DEPTHS)
    index = start
    while True:
        yield (
            _document(next(documents), index)
            if index % 3 == 2
            else _chat(next(chats), "student", index)
        )
        index += 1


def _chat(problem: WordProblem, role: Role, index: int) -> Example:
    dice = Dice("style", role, index)
    if role == "teacher":
        habits, told = styles.teacher_habits(dice), problem
    else:
        habits, told = styles.student_habits(dice), _left_early(problem, dice)
    return Example(
        problem.prompt, styles.thought(told, habits, dice), styles.answer(told), problem.skeleton
    )


def _left_early(problem: WordProblem, dice: Dice) -> WordProblem:
    """The same story, its solution cut after two steps; the answer is then that of the second step, and wrong."""
    if problem.depth <= PATIENCE or dice.chance(PERSISTENCE):
        return problem
    steps = problem.steps[:PATIENCE]
    return replace(problem, steps=steps, answer=steps[-1].result)


def _document(problem: WordProblem, index: int) -> Example:
    dice = Dice("style", "document", index)
    text = styles.thought(problem, styles.document_habits(dice), dice)
    return Example(problem.prompt, text, styles.answer(problem), problem.skeleton, chat=False)


def texts(examples: Sequence[Example]) -> Iterator[str]:
    """The plain text that a tokenizer is trained on."""
    for example in examples:
        yield from (example.question, example.thought, example.answer)
