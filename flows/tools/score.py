"""`rdpt score`: the log-probabilities of texts under a model, without a workspace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from flows.runtime import read_runtime
from rdpt_core.defaults import FLOAT_FORMAT, FloatFormat
from rdpt_core.files.reading import TableReader, open_table, refuse
from rdpt_core.files.writing import create_table
from rdpt_core.models.protocols import TextScorer
from rdpt_core.models.spec import ModelSpec
from rdpt_core.tables.columns import to_arrow
from rdpt_core.tables.rows import Problem, TokenScores, Trace
from rdpt_core.text.delimiters import Delimiters, trace_of
from settings.loading import BadSettings
from tasks.models import Model, usable
from tasks.progress import counting, say

GROUP = 128
"""Texts that are packed by length together; their scores are in memory at once."""


def spec_of(
    model: str,
    dtype: FloatFormat,
    revision: str,
    server: str,
    served: str,
) -> ModelSpec:
    """The model that the command line names. Raises BadSettings for a contradiction."""
    if revision and server:
        raise BadSettings(
            "--revision",
            ["goes with a model that is loaded here: leave it out, or leave out --server"],
        )
    if revision and Path(model).is_dir():
        raise BadSettings(
            "--revision", [f"is the commit of a hub id, and {model} is a folder: leave it out"]
        )
    if server and dtype != FLOAT_FORMAT:
        raise BadSettings(
            "--dtype",
            ["goes with a model that is loaded here: leave it out, or leave out --server"],
        )
    if not server and not served:
        return ModelSpec(path=model, dtype=dtype, revision=revision or None)
    if not server:
        raise BadSettings(
            "--served", ["is a model's name on a server: add --server, or leave it out"]
        )
    return ModelSpec(path=model, backend="server", server=server, served=served or None)


def score(file: str, output: str, spec: ModelSpec) -> int:
    """`trace_id, prompt, text` to rows of `scores`, in their order.

    A text that the model cannot score, or one that is missing, has a status and no numbers.
    """
    with create_table(output) as out:
        table = open_table(file)
        table.require("trace_id", "prompt", "text")
        scorer = _scorer(spec)
        out.write(_batch([]))  # a table without rows has columns
        with counting("score", "tokens", quiet=False) as advance:
            for problems, traces in _groups(table):
                out.write(_batch(list(scorer.score(problems, traces, advance))))
    reasons = [why for name in ("reasons", "unread") for why in getattr(scorer, name, {}).values()]
    if reasons:
        say(f"warning: {len(reasons)} texts have no scores; the first: {reasons[0]}")
    return 0


def _batch(rows: Sequence[TokenScores]) -> pa.RecordBatch:
    table = to_arrow(TokenScores, rows)
    return pa.record_batch([c.combine_chunks() for c in table.columns], schema=table.schema)


def _scorer(spec: ModelSpec) -> TextScorer:
    from rdpt_core.models.loading.weights import load  # brings torch
    from rdpt_core.scoring.hf import HfScorer
    from rdpt_core.scoring.server import ServerScorer

    try:
        if spec.backend == "server":
            model = Model(spec, Path(), servers=read_runtime().servers)
            return ServerScorer(model.remote, model.known, alone=True)
        return HfScorer(load(spec, Path(), device=usable("auto")), alone=True)
    except BadSettings:
        raise
    except ValueError as error:
        place = "--server" if spec.backend == "server" else "--model"
        raise BadSettings(place, [str(error)]) from error


def _groups(table: TableReader) -> Iterator[tuple[Sequence[Problem], Sequence[Trace]]]:
    """Some rows at a time. A row without prompt or text has no problem, which scorers call an
    error."""
    rows = enumerate(table.rows())
    while group := list(islice(rows, GROUP)):
        problems, traces = [], []
        for row, values in group:
            key, prompt, text = (values.get(name) for name in ("trace_id", "prompt", "text"))
            if key is None:
                refuse(table, row, "trace_id", key, "is missing: every text needs a name")
            for name, value in (("prompt", prompt), ("text", text)):
                if not isinstance(value, str | None):
                    refuse(table, row, name, value, "is not text")
            if prompt is not None and text is not None:
                problems.append(Problem(str(row), "", "", "", prompt, None))
            traces.append(trace_of(str(key), str(row), text or "", Delimiters()))
        yield problems, traces
