"""What is no adapter of a base is refused by the name of the file that says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rdpt_core.models.adapters import BASE, CONFIG, WEIGHTS, check_adapter


def adapter(folder: Path) -> Path:
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA"}))
    (folder / WEIGHTS).write_bytes(b"")
    (folder / BASE).write_text(json.dumps({"tensors": "digest"}))
    return folder


def test_an_adapter_belongs_to_its_base(tmp_path: Path) -> None:
    check_adapter(adapter(tmp_path), "digest")
    with pytest.raises(ValueError, match="was trained on another base"):
        check_adapter(tmp_path, "other")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CONFIG, b"[]", "is a JSON list, not an object"),
        (CONFIG, b"{", "is not JSON"),
        (CONFIG, b"\xff", "is not JSON"),
        (BASE, b"null", "is a JSON NoneType, not an object"),
        (BASE, b"{}", "no digest `tensors`"),
        (BASE, b'{"tensors": 1}', "no digest `tensors`"),
    ],
)
def test_a_file_that_is_not_of_its_shape_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (adapter(tmp_path) / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / name))}:? {message}"):
        check_adapter(tmp_path, "digest")
