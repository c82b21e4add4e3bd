"""Where the probability of the blank before a word is counted.

Tokens of most vocabularies hold the blank before their word, so the probability that a word ends
is spent on the first token of the next one (Pimentel and Meister 2024, arXiv 2406.14561; Oh and
Schuler 2024, arXiv 2406.10851). Across a sentence's edge this matters: the blank's byte is the
last of a sentence, its probability is in the next one, and how much that is differs between
vocabularies.

Counted with the token before, the chance that any blank comes is drawn from the token that begins
with it, which keeps its probability given a blank. What a text has in all stays the same.

Shapes: V ids of the tokenizer, N completion ids of a layout.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.scoring.entries import Statistics
from rdpt_core.tables.rows import ZoneKind


@lru_cache(maxsize=2)
def blank_ids(vocabulary: Vocabulary, num_ids: int) -> NDArray[np.bool_]:
    """True for ids that begin with whitespace, shape [V]; control tokens do not.

    Kept, since all parts of a table are scored with one tokenizer, and a large one takes tenths of
    a second.
    """
    return np.array(
        [
            not vocabulary.is_control(token_id) and _begins_blank(vocabulary, token_id)
            for token_id in range(num_ids)
        ]
    )


def _begins_blank(vocabulary: Vocabulary, token_id: int) -> bool:
    try:
        token = vocabulary.bytes_of(token_id)
    except KeyError:  # an entry that is not of the byte alphabet, and so of no text
        return False
    return token.decode(errors="ignore")[:1].isspace()


def counted_before(found: Statistics, layout: Layout, blank_V: NDArray[np.bool_]) -> Statistics:
    """The statistics with each leading blank's log-probability moved to the token before.

    The first token of a thought or an answer has none before it and keeps its own. Needs
    `blank_logprobs`; entropies, ranks and squares stay those of the position.
    """
    assert found.blank_logprobs is not None
    leads_N = blank_V[layout.completion_ids] & _follows_text(layout)
    # A blank that comes is at least as probable as this one: rounding must not say otherwise.
    blanks_N = np.maximum(found.blank_logprobs, found.logprobs)
    moved_N = np.where(leads_N, blanks_N, np.float32(0))
    logprobs_N = found.logprobs - moved_N
    logprobs_N[:-1] += moved_N[1:]
    return replace(found, logprobs=logprobs_N)


def _follows_text(layout: Layout) -> NDArray[np.bool_]:
    """Per completion id, whether it stands behind another one of its own thought or answer."""
    follows = [
        index > 0 and piece.kind is not ZoneKind.TAG
        for piece in layout.pieces
        for index, _ in enumerate(piece.token_ids)
    ]
    return np.array(follows + [False] * len(layout.end_ids), bool)
