"""Tests by its texts that a server samples from the model's own distribution.

A server may ignore what a request states, or add a penalty of its own. Its log-probabilities of
the candidates say how likely each choice was, so that what it chose can be held against chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rdpt_core.models.serving.dialects import Completion

UNLIKELY = 1e-6
"""Chance, for a server that samples right, below which it is refused."""
LIKELY = 1e-3
"""Chance above which two equal texts of a certain model prove nothing."""
DEVIATIONS = 5.0
"""Standard deviations: the same chance."""
CLEAR = 0.5
"""Nats by which no rounding passes over the likeliest token."""
FEW = 2
"""Greedy tokens that may do so."""
FEWEST = 20
"""Tokens, for a share to say something."""
TIE = 1e-3
"""Nats within which two candidates are alike."""
RESTART = "start it so that requests decide (vLLM: --generation-config vllm)"


def sampling_fault(
    greedy: Sequence[Completion], pairs: Sequence[tuple[Completion, Completion]]
) -> str | None:
    """Why a server's texts are not samples of its model; None where nothing speaks against them.

    `pairs` are texts of one prompt each, at temperature 1 under two seeds.
    """
    if _equal_by_more_than_chance(pairs):
        return f"two seeds give the same texts at temperature 1: {RESTART}"
    if sum(value < top[0] - CLEAR for one in greedy for value, top in _choices(one)) > FEW:
        return f"greedy texts pass over the likeliest token (a penalty, a temperature): {RESTART}"
    tokens = [(value, top) for pair in pairs for one in pair for value, top in _choices(one)]
    limit = _rank_limit(tokens)
    if limit is not None:
        return f"it samples from the {limit} likeliest tokens alone: {RESTART}"
    deviations = _deviations(tokens)
    if abs(deviations) > DEVIATIONS:
        side = "likelier" if deviations < 0 else "less likely"
        return (
            f"it samples {side} tokens than its own probabilities say (a temperature, top_p, "
            f"min_p or a penalty of its own): {RESTART}"
        )
    return None


def _equal_by_more_than_chance(pairs: Sequence[tuple[Completion, Completion]]) -> bool:
    written = [(a, b) for a, b in pairs if a.text or b.text]
    if not written or any(a.text != b.text for a, b in written):
        return False
    told = [sum(a.logprobs) for a, _ in written if a.logprobs]
    return not told or sum(told) < math.log(LIKELY)


def _choices(done: Completion) -> list[tuple[float, list[float]]]:
    """Each token's log-probability, with those of the likeliest candidates, best first. A server
    tells the token itself beside them, so the last of its candidates may be one too many."""
    if done.logprobs is None or len(done.best) != len(done.logprobs):
        return []
    asked = min((len(top) for top in done.best), default=0)
    tops = [sorted(top.values(), reverse=True)[:asked] for top in done.best]
    return list(zip(done.logprobs, tops, strict=True)) if asked > 1 else []


def _rank_limit(tokens: Sequence[tuple[float, list[float]]]) -> int | None:
    """The rank that no token exceeds, where chance would have exceeded it."""
    if len(tokens) < FEWEST:
        return None
    ranks = [sum(other > value + TIE for other in top) + 1 for value, top in tokens]
    most = max(ranks)
    if any(most > len(top) for _, top in tokens):
        return None
    inside = sum(math.log(min(1.0, sum(map(math.exp, top[:most])))) for _, top in tokens)
    return most if inside < math.log(UNLIKELY) else None


def _deviations(tokens: Sequence[tuple[float, list[float]]]) -> float:
    """How far the tokens stand from the middle of their distributions, in standard deviations.

    The mass before a token, with half of its own, has the mean 1/2 under every distribution if the
    token is a sample of it; what is not among the candidates counts as one.
    """
    total = variance = 0.0
    for value, top in tokens:
        p = [math.exp(v) for v in top]
        rest = max(0.0, 1.0 - sum(p))
        middles = [_middle(v, top) for v in top]
        within = value >= top[-1] - TIE
        total += (_middle(value, top) if within else 1.0 - rest / 2) - 0.5
        variance += rest * (0.5 - rest / 2) ** 2
        variance += sum(a * (m - 0.5) ** 2 for a, m in zip(p, middles, strict=True))
    return total / math.sqrt(variance) if len(tokens) >= FEWEST and variance > 0 else 0.0


def _middle(value: float, top: Sequence[float]) -> float:
    """The mass of likelier candidates, and half of that of equal ones (bfloat16 has many)."""
    before = sum(math.exp(v) for v in top if v > value + TIE)
    return before + sum(math.exp(v) for v in top if abs(v - value) <= TIE) / 2
