"""Words around numbers."""

from __future__ import annotations

import pytest

from rdpt_core.report.words import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 parts"), (1, "1 part"), (2, "2 parts")])
def test_one_is_singular_and_any_other_number_plural(number: int, said: str) -> None:
    assert counted(iter(range(number)), "part") == said
