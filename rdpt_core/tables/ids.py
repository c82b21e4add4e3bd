"""Derived ids: digests of what things are, so that an id never means two things."""

from __future__ import annotations

import hashlib
import json


def digest(*parts: object) -> str:
    """32 hex digits over strings, numbers, None and lists of these, in order.

    The parts are written as one JSON array, so ("a", "bc") and ("ab", "c") differ.
    """
    text = json.dumps(parts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def problem_id(source: str, prompt: str) -> str:
    return digest("problem", source, prompt)


def sampled_trace_id(problem: str, author: str, sampling: str, index: int, text: str) -> str:
    """Id of a sampled trace; `sampling` is the digest of all other inputs of the sampler."""
    return digest("trace", problem, author, sampling, index, text)


def imported_trace_id(problem: str, author: str, text: str, copy: int) -> str:
    """Id of an imported trace; `copy` numbers identical texts of one author for one problem: 0, 1,
    ..."""
    return digest("import", problem, author, text, copy)


def sample_seed(experiment_seed: int, problem: str, index: int) -> int:
    """Seed of one sample, 63 bits; independent of batch, order and everything else."""
    return int(digest("seed", experiment_seed, problem, index)[:16], 16) >> 1
