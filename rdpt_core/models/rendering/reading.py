"""How one model reads: the layout of a trace or why there is none, its limit, its ends of turn.

Only a model's small files are needed here, no weights.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from rdpt_core.models.identity import ENDS
from rdpt_core.models.refusals import read_object
from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.tables.rows import Problem, ScoreStatus, Trace

PROBE = Problem("", "", "", "", "How much is 1 and 1?", None)


def layout_of(
    renderer: Renderer,
    author: str,
    limit: int,
    problem: Problem | None,
    trace: Trace,
    alone: bool = False,
    reasons: dict[str, str] | None = None,
) -> Layout | ScoreStatus:
    """What of a trace a model reads whose longest sequence is `limit` tokens.

    `author` is the model's own signature: its traces are laid by the ids that it sampled. `alone`
    lays a text after its prompt as it stands, whatever its zones. `reasons` gets, by trace id, why
    a trace is an error.
    """
    told = {} if reasons is None else reasons
    if problem is None:
        told[trace.trace_id] = f"trace {trace.trace_id}: its problem is missing"
        return ScoreStatus.ERROR
    try:
        if alone:
            layout = renderer.lay_alone(problem, trace)
        else:
            layout = renderer.lay(problem, trace, sampled=trace.author == author)
    except ValueError as error:
        told[trace.trace_id] = f"trace {trace.trace_id}: {error}"
        return ScoreStatus.ERROR
    if not layout.prompt_ids:
        told[trace.trace_id] = f"trace {trace.trace_id}: its prompt has no tokens"
        return ScoreStatus.ERROR
    return layout.fit(limit) or ScoreStatus.TOO_LONG


def own_limit(folder: Path) -> int | None:
    """The longest sequence that config.json states, also of a model whose text part is one of
    several; None where nothing is stated."""
    config, text = _config(folder)
    limit = text.get("max_position_embeddings", config.get("max_position_embeddings"))
    return int(limit) if limit is not None else None


def stated_rows(folder: Path) -> int | None:
    """Ids that the weights know, as config.json states them; None where it does not."""
    rows = _config(folder)[1].get("vocab_size")
    return int(rows) if rows is not None else None


def _config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """config.json, and the part of it that is about text; empty where there is none."""
    path = folder / "config.json"
    config = read_object(path) if path.exists() else {}
    return config, config.get("text_config", config)


def ends_of(renderer: Renderer, folder: Path) -> frozenset[int]:
    """Ids that end the model's turn when it samples one: the end of turn of its template, the
    tokenizer's, and those of the generation settings."""
    vocabulary, path = renderer.vocabulary, folder / ENDS
    stated = read_object(path).get("eos_token_id") if path.exists() else None
    ids = [renderer.contract.end, vocabulary.id_of(vocabulary.special.get("eos_token"))]
    ids += stated if isinstance(stated, list) else [stated]
    return frozenset(int(token_id) for token_id in ids if token_id is not None)


def check_rows(renderer: Renderer, num_rows: int) -> None:
    """Raises ValueError where a prompt, a delimiter or an end of turn needs an id that the weights
    lack: the tokenizer got tokens, and the embeddings were not resized."""
    contract, vocabulary = renderer.contract, renderer.vocabulary
    delimiters = (contract.open, contract.close, contract.answer_open)
    used = {*renderer.prompt_ids(PROBE), *chain(*map(vocabulary.parse, delimiters))}
    if contract.end is not None:
        used.add(contract.end)
    lacking = sorted(token_id for token_id in used if token_id >= num_rows)
    if lacking:
        named = ", ".join(f"{i} ({vocabulary.bytes_of(i).decode()!r})" for i in lacking)
        raise ValueError(
            f"its tokenizer writes prompts or delimiters with ids {named}, and its weights end at "
            f"id {num_rows - 1}: either its embeddings were not resized when tokens were added "
            "(model.resize_token_embeddings), or the two are not of one model"
        )
