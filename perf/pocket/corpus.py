"""What the two models read: endless, numbered examples, each a function of its number alone.

The teacher reads chats of depth 1 to 6. The student can do more than it does: in chats it solves
depth 1 and 2, and leaves longer stories after two steps with what it has by then, save for a few;
whole solutions of longer stories it reads mostly as documents, outside any chat. So a small
number of teacher traces can bring out what is there. It also reads drills, bare calculations,
since whole two-digit numbers make its arithmetic a larger table than the teacher's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from perf.pocket import styles
from rdpt_core.pocket.dice import Dice
from rdpt_core.pocket.problems import WordProblem, problems
from rdpt_core.pocket.relations import LARGEST, RELATIONS, draw_operands

Role = Literal["teacher", "student"]
ROLES: tuple[Role, ...] = ("teacher", "student")
Kind = Literal["chat", "document", "drill"]
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
LATE_PERSISTENCE = 0.15
"""the same for its last examples"""
NUM_CALCULATIONS = 16
"""calculations in a drill"""


@dataclass(frozen=True, slots=True)
class CorpusExample:
    """A question, its worked solution and an answer; a drill has its `thought` alone."""

    question: str
    thought: str
    answer: str
    skeleton: str
    kind: Kind = "chat"


def teacher_examples(early: int, start: int = 0) -> Iterator[CorpusExample]:
    """The first `early` examples are mostly of depth 1 to 3; then all depths take turns."""
    if start < early:
        for index, problem in zip(
            range(start, early), problems("train", SEED, start, EARLY_DEPTHS), strict=False
        ):
            yield _teacher_chat(problem, index)
    first = max(start, early)
    for index, problem in enumerate(problems("train", SEED, first, LATE_DEPTHS), first):
        yield _teacher_chat(problem, index)


def student_examples(late: int, start: int = 0) -> Iterator[CorpusExample]:
    """Six examples in a row are four chats, a document and a drill.

    From number `late` on a second document stands for the drill, documents use both short forms,
    and a little more of the longer chats is solved.
    """
    rounds, past = divmod(start, 6)
    chats = problems("train", SEED + 1, 4 * rounds + min(past, 4), STUDENT_DEPTHS)
    documents = problems("train", SEED + 2, rounds + (past > 4), DOCUMENT_DEPTHS)
    more = problems("train", SEED + 3, rounds, DOCUMENT_DEPTHS)
    index = start
    while True:
        turn, forms = index % 6, styles.SHORT if index >= late else styles.SHORT[:1]
        second = next(more) if turn == 5 else None
        if turn < 4:
            yield _student_chat(
                next(chats), index, LATE_PERSISTENCE if index >= late else PERSISTENCE
            )
        elif turn == 4:
            yield _document(next(documents), index, forms)
        else:
            yield _document(second, index, forms) if second and index >= late else _drill(index)
        index += 1


def _teacher_chat(problem: WordProblem, index: int) -> CorpusExample:
    dice = Dice("style", "teacher", index)
    return _told(problem, styles.teacher_habits(dice), dice, "chat")


def _student_chat(problem: WordProblem, index: int, persistence: float) -> CorpusExample:
    dice = Dice("style", "student", index)
    habits = styles.student_habits(dice)
    return _told(_left_early(problem, persistence, dice), habits, dice, "chat")


def _document(problem: WordProblem, index: int, forms: tuple[str, ...]) -> CorpusExample:
    dice = Dice("style", "document", index)
    return _told(problem, styles.document_habits(dice, forms), dice, "document")


def _told(problem: WordProblem, habits: styles.Habits, dice: Dice, kind: Kind) -> CorpusExample:
    text = styles.thought(problem, habits, dice)
    return CorpusExample(problem.prompt, text, styles.answer(problem), problem.skeleton, kind)


def _left_early(problem: WordProblem, persistence: float, dice: Dice) -> WordProblem:
    """The same story solved for two steps only; the answer is that of the second, and wrong."""
    if problem.depth <= PATIENCE or dice.chance(persistence):
        return problem
    steps = problem.steps[:PATIENCE]
    return replace(problem, steps=steps, answer=steps[-1].result)


def _drill(index: int) -> CorpusExample:
    dice = Dice("drill", index)
    said: list[str] = []
    while len(said) < NUM_CALCULATIONS:
        relation, v = dice.pick(RELATIONS), dice.between(1, LARGEST)
        drawn = draw_operands(relation, v, dice)
        if drawn is not None:
            a, b, result = drawn
            said.append(relation.expression.format(v=v, a=a, b=b) + f" = {result}.")
    return CorpusExample("", " ".join(said), "", "", "drill")


def texts(examples: Sequence[CorpusExample]) -> Iterator[str]:
    """The plain text that a tokenizer is trained on."""
    for example in examples:
        yield from (text for text in (example.question, example.thought, example.answer) if text)
