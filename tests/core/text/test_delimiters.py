"""Delimiters that an import names."""

from __future__ import annotations

import pytest

from rdpt_core.tables.rows import ZoneKind
from rdpt_core.text.delimiters import named_delimiters


def test_imports_name_their_delimiters() -> None:
    sky = (
        "<|begin_of_thought|>\n\nSo.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n42\n<|end_of_solution|>"
    )
    zones = named_delimiters("<|begin_of_thought|>").zones(sky)
    assert [sky[zone.start : zone.stop] for zone in zones if zone.kind is not ZoneKind.TAG] == [
        "So.",
        "42",
    ]
    zones = named_delimiters("<reasoning>").zones("<reasoning>So.</reasoning>42")
    assert [zone.kind.value for zone in zones] == ["tag", "thought", "tag", "answer"]
    with pytest.raises(ValueError, match="not known: either one of"):
        named_delimiters("thinking")
