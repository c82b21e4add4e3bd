"""Answers of SGLang."""

from __future__ import annotations

from typing import Any

import pytest

from rdpt_core.models.serving.answers import Garbage
from rdpt_core.models.serving.dialects import Prompt
from rdpt_core.models.serving.sglang import Sglang


@pytest.mark.fault("F23")
@pytest.mark.parametrize("tops", [5, [5], [[5]], [[[0.0]]], {"a": 1}])
def test_f23_candidates_of_sglang_that_are_none_are_garbage(tops: Any) -> None:
    meta = {
        "finish_reason": {"type": "stop"},
        "output_token_logprobs": [[-1.0, 3, None]],
        "input_token_logprobs": [[None, 3, None]],
        "output_top_logprobs": tops,
        "input_top_logprobs": tops,
    }
    answer = {"text": "so", "meta_info": meta}
    with pytest.raises(Garbage):
        Sglang("").read_text(answer, Prompt([], ""))
    with pytest.raises(Garbage):
        Sglang("").read_scores(answer, [3])
