"""A file that brings more about traces by their ids."""

from __future__ import annotations

from pathlib import Path

from tests.core.sources import public_sets as public
from tests.core.sources.test_public_schemas import read, write


def test_a_companion_brings_the_tokens_of_its_ids(tmp_path: Path) -> None:
    name = write(tmp_path, "set.jsonl", public.rows(public.superior))
    for file in ("tokens.jsonl", "tokens.parquet"):
        rows = [public.logprobs(n) for n in (5, 3, 1, 2, 9)]  # in another order, and one is absent
        companion = {"path": write(tmp_path, file, rows)}
        block, account = read(tmp_path, name, companion=companion)
        tokens = {t.source_id: t.token_ids for t in block.traces[0]}
        assert {key: None if ids is None else ids.tolist() for key, ids in tokens.items()} == {
            "u1": [1, 2],
            "u2": [2, 3],
            "u3": [3, 4],
            "u4": None,
            "u5": [5, 6],
        }
        assert (account["token_ids", "used"], account["token_ids", "missing"]) == (4, 1)
