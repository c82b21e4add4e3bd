"""Records of JSON that somebody else wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.sources.test_problems import jsonl, read


@pytest.mark.fault("F30")
def test_a_byte_order_mark_windows_line_ends_and_odd_characters(tmp_path: Path) -> None:
    prompt = "a\x00b\u2028c\u202ed é😀 \r\n"
    line = json.dumps({"problem": prompt, "answer": "1"}, ensure_ascii=False).encode()
    (tmp_path / "set.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line)
    (block,) = read(tmp_path)
    assert [problem.prompt for problem in block.problems] == [prompt]
    assert (block.rejects, block.num_duplicates) == ((), 1)


@pytest.mark.fault("F31")
@pytest.mark.parametrize("raw", [b'{"problem": "a\\ud800b"}', b'{"problem": "a\xed\xa0\x80b"}'])
def test_a_lone_surrogate_is_replaced_counted_and_its_row_kept(tmp_path: Path, raw: bytes) -> None:
    jsonl(tmp_path, [raw, b'{"problem": "\\ud83d\\ude00"}'])
    (block,) = read(tmp_path)
    assert [problem.prompt for problem in block.problems] == ["a\ufffdb", "😀"]
    (kept,) = block.rejects
    assert (kept.raw, kept.reason) == (raw, "used, with U+FFFD for 1 lone surrogates")
