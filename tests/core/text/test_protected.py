"""What no cut may fall into: formulas, code, fences."""

from __future__ import annotations

import pytest

from tests.core.text.test_segmentation import sentences


def test_a_block_of_code_is_one_piece() -> None:
    code = "```python\nx = 1. \n\nprint(x)? \n```\n"
    assert sentences(f"It runs.\n{code}Done.") == ["It runs.\n", code, "Done."]


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "~~~~"])
def test_a_fence_ends_with_its_own_mark(fence: str) -> None:
    code = f"{fence}\na = 1. B = 2.\n\n# Done. Next.\n{fence}\n"
    assert sentences(f"It runs.\n{code}Done.") == ["It runs.\n", code, "Done."]
