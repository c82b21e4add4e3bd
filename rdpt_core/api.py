"""The public names: the steps of rdpt for an importer with texts and rows in hand.

    from rdpt_core import grade, label, load_scorer, read, score, segment, select
    from rdpt_core import curves, label, load_experiment

The functions of the first line take plain values and return rows or arrays; none needs a workspace
but `read`. The same steps on files are `rdpt segment`, `rdpt score`, `rdpt label`, `rdpt grade`,
`rdpt select`. Those of the second are for notebooks: an experiment as data frames, its sentences
labelled with other thresholds, and position curves (docs/tutorials/notebook.ipynb).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.defaults import (
    ALPHA,
    BETA,
    DELIMITERS,
    FLOAT_FORMAT,
    GRADER,
    SEGMENTER,
    AnswerGrader,
    FloatFormat,
    Segmenter,
)
from rdpt_core.files.reading import TableReader, to_batch
from rdpt_core.grading import verdicts
from rdpt_core.models.protocols import TextScorer
from rdpt_core.models.spec import ModelSpec
from rdpt_core.provenance import labels
from rdpt_core.selection import picks
from rdpt_core.selection.candidate_tables import NEEDS, read_candidates
from rdpt_core.selection.picks import Selector
from rdpt_core.sources.golds import gold_text
from rdpt_core.store.parts import Store
from rdpt_core.tables.columns import schema
from rdpt_core.tables.rows import ROWS, Grade, Label, Pick, Problem, TokenScores, ZoneKind
from rdpt_core.text import segmentation
from rdpt_core.text.delimiters import Delimiters, named_delimiters, trace_of

if TYPE_CHECKING:
    from rdpt_core.report.frames import Frame, Frames


class TextSentence(NamedTuple):
    """A sentence, or the tag between two zones."""

    zone: ZoneKind
    text: str


def segment(
    text: str, segmenter: Segmenter = SEGMENTER, delimiters: str = DELIMITERS
) -> list[TextSentence]:
    """The sentences of a text, which join to it.

    >>> for zone, sentence in segment("<think>2 + 2 is 4. So 4.</think>The answer is 4."):
    ...     print(zone.value, repr(sentence))
    tag '<think>'
    thought '2 + 2 is 4. '
    thought 'So 4.'
    tag '</think>'
    answer 'The answer is 4.'
    """
    trace, raw = trace_of("", "", text, named_delimiters(delimiters)), text.encode()
    rows = segmentation.segment(trace, segmentation.SegmentRule(name=segmenter))
    return [TextSentence(row.zone, raw[row.start : row.stop].decode()) for row in rows]


def load_scorer(
    model: str | Path,
    dtype: FloatFormat = FLOAT_FORMAT,
    device: str = "cpu",
    revision: str | None = None,
) -> TextScorer:
    """A model, loaded once, for several calls of `score`: a local folder or a hub id.

    >>> from rdpt_core.pocket import MODELS
    >>> scorer = load_scorer(MODELS / "student")
    >>> [row.status.value for row in score(["What is 1 + 1?"], ["It is 2."], scorer)]
    ['ok']
    """
    from rdpt_core.models.loading.weights import load  # brings torch
    from rdpt_core.scoring.hf import HfScorer

    spec = ModelSpec(path=str(model), dtype=dtype, revision=revision)
    return HfScorer(load(spec, Path(), device=device), alone=True)


def score(
    prompts: Sequence[str], texts: Sequence[str], model: str | Path | TextScorer
) -> list[TokenScores]:
    """Log-probabilities (natural, nats) of texts after their prompts, one row per text, in order.

    `model` is a scorer, a local folder or a hub id. The model's chat template renders the prompt;
    the text follows as it stands.

    >>> from rdpt_core.pocket import MODELS
    >>> (row,) = score(["What is 1 + 1?"], ["It is 2."], MODELS / "student")
    >>> int(row.token_bytes.sum()), bool((row.logprobs < 0).all())
    (8, True)
    """
    scorer = load_scorer(model) if isinstance(model, str | Path) else model
    numbered = list(enumerate(zip(prompts, texts, strict=True)))
    problems = [Problem(str(i), "", "", "", prompt, None) for i, (prompt, _) in numbered]
    traces = [trace_of(str(i), str(i), text, Delimiters()) for i, (_, text) in numbered]
    return list(scorer.score(problems, traces))


def grade(
    outputs: Sequence[str],
    golds: Sequence[Any],
    grader: AnswerGrader = GRADER,
    delimiters: str = DELIMITERS,
) -> list[Grade]:
    """Verdicts on whole model outputs, each compared with its right answer.

    >>> for row in grade(["<think>6 + 1</think>It is 7.", "It is 8."], ["7", 7]):
    ...     print(row.outcome.value, row.extracted)
    correct 7
    wrong 8
    """
    tags = named_delimiters(delimiters)
    numbered = list(enumerate(zip(outputs, golds, strict=True)))
    problems = [Problem(str(i), "", "", "", "", gold_text(gold)) for i, (_, gold) in numbered]
    traces = [trace_of(str(i), str(i), output, tags) for i, (output, _) in numbered]
    return list(verdicts.grade(problems, traces, verdicts.GradeRule(grader=grader)))


def label(
    p_teacher: Sequence[float],
    p_student: Sequence[float],
    p_distilled: Sequence[float] | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
) -> list[Label | None]:
    """Where sentences come from, by the probabilities that the models give them.

    Three-way without `p_distilled`, else four-way; None where a probability is NaN.

    >>> [found.value for found in label([0.9, 0.5], [0.3, 0.5])]
    ['teacher', 'common']
    >>> [found.value for found in label([0.5, 0.2], [0.5, 0.2], [0.5, 0.9])]
    ['shared', 'boosted']

    Columns of a data frame do as well: `label(s["p_teacher"], s["p_student"], beta=0.2)`.
    """
    found = labels.label(
        np.asarray(p_teacher, float),
        np.asarray(p_student, float),
        None if p_distilled is None else np.asarray(p_distilled, float),
        labels.LabelRule(alpha=alpha, beta=beta),
    )
    return [None if code == labels.MISSING else labels.LABELS[code] for code in found.label]


def select(
    rows: Sequence[Mapping[str, Any]],
    selector: str = "teacher_count",
    beta: float = BETA,
    seed: int = 0,
) -> list[Pick]:
    """The best candidate trace of each problem, from one row per sentence.

    A row has `problem_id`, `trace_id`, `position`, `num_tokens` (the student's) and what the
    selector needs: `label`, or `p_teacher` and `p_student`; `sum_entropy`; `sum_rank100`.

    >>> rows = [
    ...     dict(problem_id="p", trace_id="a", position=0, num_tokens=5, label="teacher"),
    ...     dict(problem_id="p", trace_id="b", position=0, num_tokens=5, label="student"),
    ... ]
    >>> [pick.trace_id for pick in select(rows)]
    ['a']
    """
    chosen = Selector(name=selector)
    rule = labels.LabelRule(beta=beta)
    found = read_candidates(_Rows(rows), NEEDS[chosen.name], rule, None)
    return picks.select(found, chosen, seed)


class _Rows(TableReader):
    """Rows in memory, read as a file of them is."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("rows", list(dict.fromkeys(name for row in rows for name in row)))
        self._rows = [dict(row) for row in rows]

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        yield to_batch(self._rows, [n for n in self.names if columns is None or n in columns])


def read(workspace: str | Path, table: str) -> pa.Table:
    """All committed rows of a table of a workspace, such as `provenance`, as an Arrow table.

    `rdpt sql` reads the rows of one configuration. Raises Damaged for a part that does not hold.

    >>> read("workspace", "grades").to_pylist()
    [{'trace_id': 't', 'outcome': 'correct', 'extracted': '7'}]
    """
    row = next((row for row in ROWS if table == row.TABLE), None)
    if row is None:
        raise ValueError(f"no table is named {table!r}")
    store = Store(Path(workspace) / "store", read_only=True)
    files = [store.sound_file(record.part) for record in store.records(table)]
    parts = [pq.read_table(file, schema=schema(row)) for file in files]
    return pa.concat_tables([schema(row).empty_table(), *parts])


def load_experiment(
    source: str | Path, experiment: str | None = None, side: Literal["test", "train"] = "test"
) -> Frames:
    """An experiment as data frames: `configurations`, `results`, `traces` and `sentences`.

    `source` is a file of `rdpt export NAME -o NAME.duckdb`, or a workspace; `experiment` is needed
    where it holds several. `test` are the answers on the benchmarks, `train` the candidates. pandas
    frames where pandas is installed, Arrow tables otherwise.

    >>> pocket = load_experiment("pocket.duckdb")
    >>> pocket.sentences[["position", "sentence", "label"]].to_dict("records")
    [{'position': 0, 'sentence': 'So 7.', 'label': 'teacher'}]
    """
    from rdpt_core.report.frames import load_frames  # brings DuckDB

    return load_frames(Path(source), experiment, side)


def curves(sentences: Frame, min_traces: int = 10) -> Frame:
    """Position curves of a frame of sentences, such as that of `load_experiment`: the share of each
    class among the k-th sentences, of correct and incorrect traces apart, with 95% bands that
    resample questions. Positions with fewer than `min_traces` are left out.

    It reads the columns `configuration`, `benchmark`, `problem_id`, `trace_id`, `position`,
    `outcome` and `label`; replace the last by that of `label` to see other thresholds.

    >>> found = curves(load_experiment("pocket.duckdb").sentences, min_traces=1)
    >>> found[found["share"] > 0][["label", "side", "position", "share"]].to_dict("records")
    [{'label': 'teacher', 'side': 'correct', 'position': 1, 'share': 1.0}]
    """
    from rdpt_core.report.frames import curve_frame  # brings DuckDB

    return curve_frame(sentences, min_traces)
