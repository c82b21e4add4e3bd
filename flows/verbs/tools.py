"""One step of the method on the user's own files: a file in, a file out."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg

from flows.commands.verb import Verb
from rdpt_core.defaults import (
    ALPHA,
    BETA,
    DELIMITERS,
    FLOAT_FORMAT,
    GRADER,
    SEGMENTER,
    SELECTORS,
    AnswerGrader,
    FloatFormat,
    Segmenter,
    Threshold,
)

FORMATS = ".jsonl, .csv or .parquet; - for JSONL on standard"


class Tool(Verb):
    """A file in, a file out."""

    file: CliPositionalArg[str] = Field(description=f"input: {FORMATS} input")
    output: str = Field(
        validation_alias=AliasChoices("o", "output"), description=f"output: {FORMATS} output"
    )


class Segment(Tool):
    """Split texts into sentences. Input: `trace_id, text`. Output: a row per sentence.

    rdpt segment traces.jsonl -o sentences.parquet
    rdpt segment traces.csv --segmenter lines --delimiters none -o -
    """

    segmenter: Segmenter = Field(
        default=SEGMENTER, description="how sentences end; maths respects LaTeX, code and decimals"
    )
    delimiters: str = Field(default=DELIMITERS, description="opening tag of the thought, or none")

    def act(self) -> int:
        from flows.tools.segment import segment

        return segment(self.file, self.output, self.segmenter, self.delimiters)


class Score(Tool):
    """Score texts with a model. Input: `trace_id, prompt, text`. Output: log-probabilities.

    rdpt score traces.jsonl --model models/student -o scores.parquet
    rdpt score - --model Qwen/Qwen3-0.6B --dtype bfloat16 -o - < traces.jsonl
    rdpt score traces.csv --model Qwen/Qwen3-32B --server lab -o scores.csv
    """

    model: str = Field(description="folder or hub id of the model; with --server, of its tokenizer")
    dtype: FloatFormat = Field(default=FLOAT_FORMAT, description="number format of the weights")
    revision: str = Field(default="", description="commit of a hub id, 40 hex digits")
    server: str = Field(
        default="", description="name in RDPT_SERVERS of a server that has the model"
    )
    served: str = Field(
        default="", description="the model's name on the server (default: that of --model)"
    )

    def act(self) -> int:
        from flows.tools.score import score, spec_of

        asked = (self.model, self.dtype, self.revision, self.server, self.served)
        return score(self.file, self.output, spec_of(*asked))


class LabelSentences(Tool):
    """Label sentences by their probabilities `p_teacher, p_student[, p_distilled]`.

    rdpt label probabilities.csv -o labelled.csv
    rdpt label probabilities.parquet --alpha 0.1 --beta 0.05 -o -
    """

    alpha: Threshold = Field(
        default=ALPHA,
        description="a sentence is *shared* if the three probabilities differ by at most this",
    )
    beta: Threshold = Field(
        default=BETA,
        description="a sentence is *teacher* if p_teacher - p_student exceeds this",
    )

    def act(self) -> int:
        from flows.tools.label import label

        return label(self.file, self.output, self.alpha, self.beta)


class GradeAnswers(Tool):
    """Grade complete model outputs, `pred`, against correct answers, `gold`.

    rdpt grade answers.jsonl -o verdicts.jsonl
    rdpt grade answers.csv --grader choice -o - | grep wrong
    """

    grader: AnswerGrader = Field(default=GRADER, description="comparison of answers")
    delimiters: str = Field(
        default=DELIMITERS, description="opening tag of the thought, which is not graded, or none"
    )

    def act(self) -> int:
        from flows.tools.grade import grade

        return grade(self.file, self.output, self.grader, self.delimiters)


class Select(Tool):
    """Rank the candidate traces of each problem. Output: a row per candidate.

    rdpt select labelled.parquet -o picks.jsonl
    rdpt select labelled.csv --selector random --seed 3 -o -
    rdpt select scores.parquet --teacher 5f0c --student 91ab -o picks.csv

    Input: a row per sentence with problem_id, trace_id, position, num_tokens
    (in the student's tokens) and what the selector needs: label, or
    p_teacher and p_student; sum_entropy; sum_rank100. Rows of the table
    sentence_scores with problem_id work too. The pick has rank 1; a candidate
    without a score has no rank.
    """

    selector: str = Field(default="teacher_count", description=f"selector: {', '.join(SELECTORS)}")
    match_tokens: str = Field(
        default="", description="match this selector's token total to within 1%"
    )
    beta: Threshold = Field(
        default=BETA,
        description="a sentence is *teacher* if p_teacher - p_student exceeds this",
    )
    seed: int = Field(default=0, ge=0, description="random seed")
    teacher: str = Field(
        default="", description="id of the teacher's scorer, for rows of sentence_scores"
    )
    student: str = Field(
        default="", description="id of the student's scorer, for rows of sentence_scores"
    )

    def act(self) -> int:
        from flows.tools.select import rank, scorers_of, selector_of

        selector = selector_of(self.selector, self.match_tokens or None)
        scorers = scorers_of(self.teacher or None, self.student or None)
        return rank(self.file, self.output, selector, self.beta, self.seed, scorers)
