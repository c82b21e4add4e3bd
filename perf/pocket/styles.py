"""How the teacher and the student write down a solution: two styles that overlap on purpose.

Shared: a full statement of a step, a restated amount, `Next.`. Teacher only: a plan, a short form
of a step with its reason, a check. Student only (the teacher writes it seldom): a bare equation.
The short forms the student knows from documents, never from its own chats. The full
statement is the longest form, so a trace with many teacher sentences is not simply a long one;
and every trace draws its own habits, so the candidates of one question differ in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpt_core.pocket.dice import Dice
from rdpt_core.pocket.problems import Step, WordProblem

ANSWER = "The answer is {answer}."
FULL = "{statement}, so {o} has {calculation} {n}."
RESTATED = "{o} has {r} {n}."
OPENING = "{s} has {v} {n}."
PAUSE = "Next."
TERSE = "{o} = {calculation}."
SHORT = ("{o}: {reason}, {calculation}.", "Take {reason} for {o}, {calculation}.")
PLAN = ("Plan: from {s} to {o}.", "Start at {s} and go on to {o}.")
CHECK = "Check: {inverse}."


@dataclass(frozen=True, slots=True)
class Habits:
    """Rates per step or, for `plan`, `opening` and `check`, per trace."""

    short: float
    terse: float
    restate: float
    pause: float
    short_forms: tuple[str, ...] = SHORT
    plan: float = 0.0
    opening: float = 0.0
    check: float = 0.0


def teacher_habits(dice: Dice) -> Habits:
    return Habits(
        short=dice.pick((0.15, 0.5, 0.85)),
        terse=dice.pick((0.0, 0.0, 0.2)),
        restate=dice.pick((0.0, 0.0, 0.3, 0.7)),
        pause=dice.pick((0.0, 0.0, 0.0, 0.5)),
        plan=0.4,
        opening=0.4,
        check=0.35,
    )


def student_habits(dice: Dice) -> Habits:
    return Habits(
        short=0.0,
        terse=dice.pick((0.0, 0.5, 1.0)),
        restate=dice.pick((0.0, 0.0, 0.3, 0.7)),
        pause=dice.pick((0.0, 0.0, 0.0, 0.5)),
        opening=0.4,
    )


def document_habits(dice: Dice, short_forms: tuple[str, ...]) -> Habits:
    """Plain worked solutions, which the student reads outside any chat."""
    return Habits(
        short=dice.pick((0.0, 0.0, 0.5)),
        short_forms=short_forms,
        terse=0.0,
        restate=dice.pick((0.0, 0.0, 0.3, 0.7)),
        pause=dice.pick((0.0, 0.0, 0.0, 0.5)),
        opening=0.4,
    )


def thought(problem: WordProblem, habits: Habits, dice: Dice) -> str:
    """The reasoning in one line, sentence after sentence."""
    steps, sentences = problem.steps, []
    if dice.chance(habits.plan):
        ends = {"s": steps[0].source, "o": steps[-1].owner}
        sentences.append(dice.pick(PLAN).format(**ends))
    if dice.chance(habits.opening):
        sentences.append(steps[0].fill(OPENING, problem.noun))
    for i, step in enumerate(steps):
        if i > 0 and dice.chance(habits.pause):
            sentences.append(PAUSE)
        sentences.append(_step(step, problem.noun, habits, dice))
        if dice.chance(habits.restate):
            sentences.append(step.fill(RESTATED, problem.noun))
    if steps[-1].relation.inverse and dice.chance(habits.check):
        sentences.append(CHECK.format(inverse=steps[-1].fill(steps[-1].relation.inverse)))
    return " ".join(sentences)


def _step(step: Step, noun: str, habits: Habits, dice: Dice) -> str:
    form = FULL
    if dice.chance(habits.terse):
        form = TERSE
    elif dice.chance(habits.short):
        form = dice.pick(habits.short_forms)
    return form.format(
        o=step.owner,
        n=noun,
        statement=step.fill(step.relation.statement, noun),
        reason=step.fill(step.relation.reason, noun),
        calculation=step.calculation,
    )


def answer(problem: WordProblem) -> str:
    return ANSWER.format(answer=problem.answer)
