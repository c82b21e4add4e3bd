"""Verbs that do one step of the method on somebody's own files."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg

from flows.commands.verb import Verb
from rdpt_core.defaults import ALPHA, BETA, DELIMITERS, GRADER, SEGMENTER

FORMATS = ".jsonl, .csv or .parquet; - is standard"


class Tool(Verb):
    """A file in, a file out."""

    file: CliPositionalArg[str] = Field(description=f"{FORMATS} input as JSONL")
    output: str = Field(
        validation_alias=AliasChoices("o", "output"), description=f"{FORMATS} output as JSONL"
    )


class Segment(Tool):
    """Cut texts into sentences: rows of `trace_id, text` in, one row a sentence out.

    rdpt segment traces.jsonl -o sentences.parquet
    rdpt segment traces.csv --segmenter lines --delimiters none -o -
    """

    segmenter: Literal["maths", "regex", "lines"] = Field(
        default=SEGMENTER, description="maths knows LaTeX, code and decimals"
    )
    delimiters: str = Field(default=DELIMITERS, description="opening tag of the thought, or none")

    def act(self) -> int:
        from flows import tools

        return tools.segment(self.file, self.output, self.segmenter, self.delimiters)


class Score(Tool):
    """Log-probabilities of texts, token by token: rows of `trace_id, prompt, text` in.

    rdpt score traces.jsonl --model models/student -o scores.parquet
    head -5 traces.jsonl | rdpt score - --model Qwen/Qwen3-0.6B --dtype bfloat16 -o -
    rdpt score traces.jsonl --model Qwen/Qwen3-32B --server lab -o scores.parquet
    """

    model: str = Field(description="a local folder, or a hub id; with --server, of its tokenizer")
    dtype: Literal["float32", "bfloat16"] = Field(default="float32", description="of the weights")
    revision: str = Field(default="", description="commit of a hub id, 40 hex digits")
    server: str = Field(
        default="", description="one of RDPT_SERVERS, which has the model: no weights are loaded"
    )
    served: str = Field(default="", description="the model's name there, if not that of --model")

    def act(self) -> int:
        from flows import scoring

        asked = (self.model, self.dtype, self.revision, self.server, self.served)
        spec = scoring.spec_of(*asked)
        return scoring.score(self.file, self.output, spec)


class Label(Tool):
    """Say where sentences come from, by their probabilities `p_teacher, p_student[, p_distilled]`.

    rdpt label probabilities.csv -o labelled.csv
    rdpt label probabilities.parquet --alpha 0.1 --beta 0.05 -o -
    """

    alpha: float = Field(
        default=ALPHA,
        gt=0,
        lt=1,
        description="a sentence is *shared* if the three probabilities differ by at most this",
    )
    beta: float = Field(
        default=BETA,
        gt=0,
        lt=1,
        description="a sentence is *teacher* if p_teacher - p_student exceeds this",
    )

    def act(self) -> int:
        from flows import tools

        return tools.label(self.file, self.output, self.alpha, self.beta)


class GradeAnswers(Tool):
    """Compare whole model outputs, `pred`, with the right answers, `gold`.

    rdpt grade answers.jsonl -o verdicts.jsonl
    rdpt grade answers.csv --grader choice -o - | grep wrong
    """

    grader: Literal["math", "choice", "exact"] = Field(
        default=GRADER, description="how answers are compared"
    )
    delimiters: str = Field(
        default=DELIMITERS, description="opening tag of the thought, which is not graded; or none"
    )

    def act(self) -> int:
        from flows import tools

        return tools.grade(self.file, self.output, self.grader, self.delimiters)
