"""Ids that end a model's turn, and the check that its weights hold every id that a prompt needs.

Only a model's small files are needed here, no weights.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from rdpt_core.models.files import ENDS, read_object
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.tables.rows import Problem

PROBE = Problem("", "", "", "", "How much is 1 and 1?", None)


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
