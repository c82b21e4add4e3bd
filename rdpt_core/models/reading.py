"""The layout of a trace under one model, or the status of one that it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

from rdpt_core.models.layout import Layout
from rdpt_core.models.render import Renderer
from rdpt_core.rows import Problem, ScoreStatus, Trace


def layout_of(
    renderer: Renderer,
    author: str,
    limit: int,
    problem: Problem | None,
    trace: Trace,
    alone: bool = False,
) -> Layout | ScoreStatus:
    """What of a trace a model reads whose longest sequence is `limit` tokens.

    `author` is the model's own signature: its traces are laid by the ids that it sampled. `alone`
    lays a text after its prompt as it stands, whatever its zones.
    """
    if problem is None:
        return ScoreStatus.ERROR
    try:
        if alone:
            layout = renderer.lay_alone(problem, trace)
        else:
            layout = renderer.lay(problem, trace, sampled=trace.author == author)
    except ValueError:
        return ScoreStatus.ERROR
    if not layout.prompt_ids:
        return ScoreStatus.ERROR
    return layout.fit(limit) or ScoreStatus.TOO_LONG


def own_limit(folder: Path) -> int | None:
    """The longest sequence that config.json states, also of a model whose text part is one of
    several; None where nothing is stated."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = config.get("text_config", config)
    limit = text.get("max_position_embeddings", config.get("max_position_embeddings"))
    return int(limit) if limit is not None else None
