"""A page read back, as its script reads it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Page:
    html: str

    def script(self, name: str) -> str:
        found = re.search(rf'<script [^>]*id="{name}">(.*?)</script>', self.html, re.DOTALL)
        assert found is not None, name
        return found[1]

    @cached_property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.script("data"))
        return found

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        buffer, at = gzip.decompress(base64.b64decode(self.script("columns"))), 0
        found = {}
        for name, kind, size in self.data["columns"]:
            found[name] = np.frombuffer(buffer, np.dtype(kind).newbyteorder("<"), size, at)
            at += found[name].nbytes
        return found

    @cached_property
    def text(self) -> bytes:
        blocks = range(len(self.data["blocks"]))
        return b"".join(
            gzip.decompress(base64.b64decode(self.script(f"block-{n}"))) for n in blocks
        )
