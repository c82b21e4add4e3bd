"""A row of scores: its entries cover the bytes of the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdpt_core.tables.rows import FinishReason, ScoreStatus
from tests.core.models import tiny
from tests.core.scoring.test_hf import NAMES, model, score, traces


@pytest.mark.parametrize("name", NAMES)
def test_entries_cover_the_bytes_and_tags_have_no_number(models: Path, name: str) -> None:
    for trace, row in zip(traces(), score(model(models, name), traces()), strict=True):
        assert row.status is ScoreStatus.OK
        assert row.verbatim
        assert row.retokenized
        assert row.token_bytes.sum() == row.scored_stop == len(trace.text.encode())
        stops = np.cumsum(row.token_bytes)
        tags = [zone for zone in trace.zones if zone.kind.value == "tag"]
        gaps = np.flatnonzero(np.isnan(row.logprobs))
        assert [(int(stops[gap]) - int(row.token_bytes[gap]), int(stops[gap])) for gap in gaps] == [
            (tag.start, tag.stop) for tag in tags
        ]
        assert not row.ranks[gaps].any()
        assert (row.ranks[~np.isnan(row.logprobs)] > 0).all()


def test_delimiters_of_the_prompt_count_nowhere(models: Path) -> None:
    trace = tiny.trace(tiny.THINKING, tiny.problem())
    qwen, llama = (score(model(models, name), [trace])[0] for name in NAMES)
    vocabulary = model(models, "llama").renderer.vocabulary
    assert qwen.num_tag_tokens == 6  # <think> \n | \n </think> \n\n and the newlines' pieces
    assert llama.num_tag_tokens == len(vocabulary.encode("\n</think>\n\n"))
    assert qwen.end_logprob is None, "nobody knows whether an imported trace ended"


def test_a_long_entry_is_written_as_several(models: Path) -> None:
    text = "<think>" + " " * 600 + "So." + "\n</think>\n42"
    row = score(model(models, "qwen"), [tiny.trace(text, tiny.problem())])[0]
    assert row.token_bytes[:3].tolist() == [255, 255, 97]
    assert np.isnan(row.logprobs[:3]).all()
    assert row.token_bytes.sum() == len(text)


def test_an_empty_trace_is_scored_as_nothing(models: Path) -> None:
    ended, cut = (
        tiny.trace("", tiny.problem(), end) for end in (FinishReason.STOP, FinishReason.LENGTH)
    )
    rows = score(model(models, "qwen"), [ended, cut])
    assert [row.status for row in rows] == [ScoreStatus.OK] * 2
    assert rows[0].end_logprob is not None
    assert rows[1].end_logprob is None
    assert all(len(row.token_bytes) == 0 for row in rows)
