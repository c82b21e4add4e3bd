"""The verb that picks traces out of somebody's own table."""

from __future__ import annotations

from pydantic import Field

from flows.commands.tools import Tool
from rdpt_core.defaults import BETA


class Select(Tool):
    """Rank the candidate traces of each problem: one row a sentence in, one row a candidate out.

    rdpt select labelled.parquet -o picks.jsonl
    rdpt select labelled.csv --selector random --match-tokens teacher_count --seed 3 -o -
    rdpt select sentence_scores.parquet --teacher 5f0c --student 91ab --selector rsr -o picks.csv

    Rows have problem_id, trace_id, position, num_tokens (the student's) and
    what the selector needs: label or p_teacher and p_student, sum_entropy,
    sum_rank100; or they are those of sentence_scores with problem_id. Rank 1
    is the pick; a candidate that lacks a score has no rank.
    """

    selector: str = Field(default="teacher_count", description="as in an experiment file")
    match_tokens: str = Field(
        default="", description="match this selector's token total to within 1%"
    )
    beta: float = Field(
        default=BETA,
        gt=0,
        lt=1,
        description="a sentence is *teacher* if p_teacher - p_student exceeds this",
    )
    seed: int = Field(default=0, ge=0, description="random seed")
    teacher: str = Field(
        default="", description="the teacher's scorer, where rows are those of sentence_scores"
    )
    student: str = Field(default="", description="the student's scorer, likewise")

    def act(self) -> int:
        from flows import selecting

        selector = selecting.selector_of(self.selector, self.match_tokens or None)
        scorers = selecting.scorers_of(self.teacher or None, self.student or None)
        return selecting.rank(self.file, self.output, selector, self.beta, self.seed, scorers)
