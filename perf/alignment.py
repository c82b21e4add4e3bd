"""What finding the bytes behind each token costs, beside the tokenizer alone.

    python perf/alignment.py FOLDER

FOLDER holds `tokenizers/NAME/` and `traces/*.jsonl` (`trace`). Printed per tokenizer: MB/s of the
tokenizer alone, rdpt's own work (control tokens ruled out, token bytes joined and compared) as a
share of its time, how that work grows per byte when a text is doubled twice, and how often the
tokenizer's own offsets are not the bytes of the token.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import Vocabulary


class Aligned(NamedTuple):
    num_tokens: int
    megabytes_per_second: float
    share: float
    per_byte_of_longer: float
    """Time per byte of texts four times as long, over that of the texts."""
    apart: int
    """Tokens whose offsets are not their bytes."""
    overlapping: int
    """Tokens whose offsets begin before those of the token before end."""
    merged: int
    """Traces that begin with other ids when encoded together with a line end before them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizers", nargs="*")
    asked = parser.parse_args()
    texts = list(read_traces(asked.folder))
    num_bytes = sum(len(text.encode()) for text in texts)
    print(f"{len(texts):,} traces, {sum(map(len, texts)):,} characters, {num_bytes:,} bytes")
    found = [path.name for path in sorted((asked.folder / "tokenizers").iterdir()) if path.is_dir()]
    for name in asked.tokenizers or found:
        one = measure(asked.folder / "tokenizers" / name, texts)
        print(
            f"{name:<18} {one.num_tokens:>10,} tokens  {one.megabytes_per_second:5.2f} MB/s alone  "
            f"alignment {one.share:6.1%}  per byte x4: {one.per_byte_of_longer:4.2f}  "
            f"offsets apart {one.apart:,}, overlapping {one.overlapping:,}  "
            f"merged with a line end {one.merged:,}",
            flush=True,
        )


def read_traces(folder: Path) -> list[str]:
    files = sorted((folder / "traces").glob("*.jsonl"))
    lines = (line for path in files for line in path.read_text(encoding="utf-8").split("\n"))
    return [json.loads(line)["trace"] for line in lines if line]


def measure(folder: Path, texts: list[str]) -> Aligned:
    known, alone = read_vocabulary(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole, found = _timed(lambda: [alone.encode(text, add_special_tokens=False) for text in texts])
    ids = [known.encode(text) for text in texts]
    raws = [text.encode() for text in texts]
    _aligned(known, ids[:50], raws[:50])  # the bytes of tokens are looked up once
    ours, _ = _timed(lambda: _aligned(known, ids, raws))
    lengths = [known.lengths(one.ids, raw) for one, raw in zip(found, raws, strict=True)]
    apart = [_offsets(*of) for of in zip(texts, found, lengths, strict=True)]
    behind = [known.encode("\n" + text) for text in texts]
    return Aligned(
        num_tokens=sum(map(len, ids)),
        megabytes_per_second=sum(map(len, raws)) / 1e6 / whole,
        share=ours / whole,
        per_byte_of_longer=_growth(known, texts),
        apart=sum(one for one, _ in apart),
        overlapping=sum(two for _, two in apart),
        merged=sum(two[-len(one) :] != one for one, two in zip(ids, behind, strict=True)),
    )


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def _aligned(known: Vocabulary, ids: list[list[int]], raws: list[bytes]) -> list[list[int] | None]:
    for one in ids:
        assert not [token_id for token_id in one if known.is_control(token_id)]
    return [known.lengths(one, raw) for one, raw in zip(ids, raws, strict=True)]


def _growth(known: Vocabulary, texts: list[str]) -> float:
    longest = sorted(texts, key=len)[-30:]
    times = []
    for times_longer in (1, 4):
        longer = [text * times_longer for text in longest]
        ids, raws = [known.encode(text) for text in longer], [text.encode() for text in longer]
        runs = [_timed(lambda: _aligned(known, ids, raws))[0] for _ in range(3)]  # noqa: B023
        times.append(min(runs) / times_longer)
    return times[1] / times[0]


def _offsets(text: str, one: Any, lengths: list[int] | None) -> tuple[int, int]:
    """Tokens whose characters, as the tokenizer tells them, are not those of their bytes, and those
    that overlap the one before. A text with a control token in it has no lengths of that kind."""
    if lengths is None:
        return 0, 0
    edges = np.concatenate(([0], np.cumsum([len(char.encode()) for char in text]))).astype(int)
    told = edges[np.array(one.offsets, int).reshape(-1, 2)]
    stops = np.cumsum(lengths).astype(int)
    apart = (told[:, 0] != stops - lengths) | (told[:, 1] != stops)
    return int(apart.sum()), int((told[1:, 0] < told[:-1, 1]).sum())


if __name__ == "__main__":
    main()
