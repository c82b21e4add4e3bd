"""Contents of a catalogue survive as a note, and those of experiments merge."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from rdpt_core.store.contents import (
    CONTENTS_NOTE,
    ConfigurationRow,
    Contents,
    PartUse,
    ScorerRow,
    merged,
    plain,
    with_past,
)


def test_contents_survive_being_written_down() -> None:
    row = ConfigurationRow("c", "n", "e", None, "s", None, None, 3)
    scorer = ScorerRow("s", "m", None, "w", "t", "c", "float32", "exact", None, "hf")
    uses = [
        PartUse(name, "test", "b", "t", part, None, None, at)
        for name in ("c", "d")
        for part, at in (("p", (0, 0)), ("q", (0, 1)), ("p", (1, 0)))
    ]
    contents = Contents((row,), (scorer,), (*uses, replace(uses[0], role="teacher")))
    written = json.loads(json.dumps(plain(contents)))
    assert [len(parts) for parts in written["tables"]] == [3, 1], "once for both configurations"
    assert CONTENTS_NOTE.validate_python(written) == contents
    assert merged([contents, contents]) == contents


def test_contents_of_an_earlier_release_have_no_coordinates_until_they_are_written_again() -> None:
    row = ConfigurationRow("c", "n", "e", None, "s", None, None, 3)
    use = PartUse("c", "test", "b", "t", "p", None)
    earlier = {name: value for name, value in asdict(use).items() if name != "coordinate"}
    written = {"configurations": [asdict(row)], "scorers": [], "uses": [earlier]}
    past = CONTENTS_NOTE.validate_python(json.loads(json.dumps(written)))
    assert past == Contents((row,), (), (use,))
    now = replace(past, uses=(replace(use, coordinate=(2, 1)),))
    assert with_past(now, past).uses == now.uses, "a part of both stands where it is now"


def test_what_a_note_cannot_mean_is_refused() -> None:
    place = ["c", "test", None, "t", None, None]
    for uses in ([[*place, 1]], [[*place]], [None], 3):
        with pytest.raises(ValueError, match="uses"):
            CONTENTS_NOTE.validate_python(
                {"configurations": [], "scorers": [], "tables": [[["p", [0]]]], "uses": uses}
            )
