"""A Bundle as text for an HTML file: JSON for what is small, base64 of gzip for columns and texts.

The same Bundle gives the same characters. Nothing in them can end the script element that they
stand in.
"""

from __future__ import annotations

import base64
import bisect
import dataclasses
import gzip
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdpt_core.report.bundle import FORMAT, Bundle

BLOCK = 1_000_000
"""Bytes of text that the page unpacks at once: some 10 ms. A longer trace is a block of its own."""
LEVEL = 9
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Characters that could end a script element, or a line of JavaScript."""
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    small: str
    """JSON; `columns` names the columns in order, with type and number of elements."""
    columns: str
    """Base64 of the gzipped columns, one after the other."""
    blocks: list[str]
    """The same for the texts."""
    training: str
    """Base64 of gzipped JSON: of what students were trained on, which few readers open."""


def encoded(bundle: Bundle) -> Encoded:
    columns = dict(_columns(bundle))
    starts = _blocks(bundle)
    small = {
        field.name: getattr(bundle, field.name)
        for field in dataclasses.fields(bundle)
        if field.name not in ("traces", "sentences", "text", "training")
    }
    small |= {
        "format": FORMAT,
        "trace_id": bundle.traces.trace_id,
        "extracted": bundle.traces.extracted,
        "finish": bundle.traces.finish,
        "columns": [[name, column.dtype.name, column.size] for name, column in columns.items()],
        "blocks": starts[:-1],
    }
    texts = [bundle.text[a:b] for a, b in itertools.pairwise(starts)]
    packed = packed_base64(b"".join(_bytes(column) for column in columns.values()))
    training = packed_base64(as_json(bundle.training).encode())
    return Encoded(as_json(small), packed, [packed_base64(text) for text in texts], training)


def _columns(bundle: Bundle) -> Iterator[tuple[str, Column]]:
    """Offsets that only grow stand as steps, which compress to a tenth; the page adds them up."""
    traces, sentences = bundle.traces, bundle.sentences
    yield "configuration", traces.configuration.astype(np.uint16)
    yield "question", traces.question.astype(np.uint32)
    yield "sample", traces.sample.astype(np.uint16)
    yield "outcome", traces.outcome.astype(np.uint8)
    yield "num_sentences", np.diff(traces.first_sentence.astype(np.int64)).astype(np.uint32)
    yield "num_bytes", np.diff(traces.first_byte.astype(np.int64)).astype(np.uint32)
    start, stop = sentences.start.astype(np.int64), sentences.stop.astype(np.int64)
    yield "gap", (start - _before(stop, traces.first_sentence)).astype(np.int32)
    yield "length", (stop - start).astype(np.uint32)
    yield "zone", sentences.zone.astype(np.uint8)
    yield "label", sentences.label.astype(np.uint8)
    yield "direction", sentences.direction.astype(np.uint8)
    yield "reason", sentences.reason.astype(np.uint8)
    yield "num_tokens", sentences.num_tokens.astype(np.uint16)
    yield "p", sentences.p.astype(np.float32).reshape(-1)
    yield "margin", sentences.margin.astype(np.float32)


def _before(stop: Column, first_sentence: Column) -> Column:
    """Where the sentence before ends; 0 for the first of a trace."""
    before = np.concatenate([np.zeros(1, np.int64), stop])[: len(stop)]
    first = np.asarray(first_sentence[:-1], dtype=np.int64)
    before[first[first < len(stop)]] = 0
    return before


def _blocks(bundle: Bundle) -> list[int]:
    """Bytes where a block of text begins, each at the beginning of a trace, and the end."""
    first = bundle.traces.first_byte.tolist()
    starts = [0]
    while starts[-1] < len(bundle.text):
        next_one = bisect.bisect_right(first, starts[-1] + BLOCK) - 1
        if first[next_one] <= starts[-1]:
            next_one = bisect.bisect_right(first, starts[-1])
        starts.append(first[next_one])
    return starts


def _bytes(column: Column) -> bytes:
    return column.astype(column.dtype.newbyteorder("<")).tobytes()


def packed_base64(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, LEVEL, mtime=0)).decode("ascii")


def as_json(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)


def _plain(value: Any) -> Any:
    """What JSON has: fields of dataclasses by name, None for a number that is not finite, and the
    replacement character for half of a surrogate pair, which no file in UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
