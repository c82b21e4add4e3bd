"""The examples of a job as tensors, pass by pass, and as words for a reader.

Shapes: R rows of a pass, L its longest row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from rdpt_core.finetune.batches import Pass, Row

Batch: TypeAlias = dict[str, Tensor]
"""`input_ids`, `labels` and `position_ids`, each of shape [R, L]."""

IGNORED = -100
"""The label of a token that is not in the loss."""


class Rows:
    """Training or held-out examples, mapped into memory; numbered from 0."""

    def __init__(self, file: Path, held_out: bool) -> None:
        table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        chosen = np.flatnonzero(table["held_out"].to_numpy() == held_out)
        self._places: list[int] = chosen.tolist()
        self._ids, self._masks = table["input_ids"], table["completion_mask"]
        names = table["trace_id"].to_pylist()
        self.trace_ids = [names[place] for place in self._places]
        self.num_tokens = _sums(self._masks, count=True)[chosen].tolist()
        """Tokens of each example, prompt included."""
        self.num_trained = _sums(self._masks, count=False)[chosen].tolist()
        """Tokens of each example that count in the loss."""

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, rows: Pass) -> Batch:
        """Examples of one row follow each other, and each starts at position 0: from that the
        model sees that they are apart, and attention does not cross. What pads a row goes on with
        its last example's positions: it is in no loss, and causal attention shows it to nobody.

        A pass without rows becomes two tokens that are in no loss: every process must take part.
        """
        laid = [self._row(row) for row in rows] or [(torch.zeros(2, dtype=torch.long),) * 2]
        ids_RL = pad_sequence([ids for ids, _ in laid], batch_first=True)
        masks_RL = pad_sequence([mask for _, mask in laid], batch_first=True)
        width = ids_RL.shape[1]
        positions_RL = torch.stack([self._positions(row, width) for row in rows or [[]]])
        labels_RL = ids_RL.masked_fill(masks_RL == 0, IGNORED)
        return {"input_ids": ids_RL, "labels": labels_RL, "position_ids": positions_RL}

    def _row(self, row: Row) -> tuple[Tensor, Tensor]:
        columns = [
            torch.cat([_tensor(column[self._places[example]]) for example in row])
            for column in (self._ids, self._masks)
        ]
        return columns[0], columns[1]

    def _positions(self, row: Row, width: int) -> Tensor:
        positions = torch.arange(width)
        start = 0
        for example in row:
            positions[start:] = torch.arange(width - start)
            start += self.num_tokens[example]
        return positions


def _tensor(values: pa.ListScalar) -> Tensor:
    return torch.from_numpy(values.values.to_numpy(zero_copy_only=False).astype(np.int64))


def _sums(masks: pa.ChunkedArray, count: bool) -> np.ndarray:
    """Over the entries of each list: their number, or their sum. No list is empty."""
    found = [np.zeros(0, np.int64)]
    for chunk in masks.chunks:
        starts = chunk.offsets.to_numpy()
        values = chunk.values.to_numpy()
        sums = np.add.reduceat(values, starts[:-1], dtype=np.int64)
        found.append(np.diff(starts).astype(np.int64) if count else sums)
    return np.concatenate(found)


# ---------------------------------------------------------------------------- in words


def preview(rows: Rows, first: Pass, tokenizer: PreTrainedTokenizerBase, most_rows: int = 8) -> str:
    """The first pass in words: stretches of prompt, loss and padding as they are fed."""
    batch = rows.batch(first)
    height, width = batch["input_ids"].shape
    lines = [
        f"The first {min(height, most_rows)} rows of the first batch ({height} rows of {width} "
        "tokens). Only the tokens of `loss` are trained on."
    ]
    for number, row in enumerate(first[:most_rows]):
        length = sum(rows.num_tokens[example] for example in row)
        names = ", ".join(rows.trace_ids[example] for example in row)
        lines.append(f"\nrow {number + 1}: {names}")
        lines += _stretches(
            {name: column[number] for name, column in batch.items()}, length, tokenizer
        )
    return "\n".join(lines) + "\n"


def _stretches(row: Batch, length: int, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """A stretch ends where the kind changes, and where another example starts."""
    example, kinds = 0, []
    for place, (label, position) in enumerate(
        zip(row["labels"].tolist(), row["position_ids"].tolist(), strict=True)
    ):
        example += position == 0
        kind = "padding" if place >= length else "prompt" if label == IGNORED else "loss"
        kinds.append((example, kind))
    pairs = zip(kinds, row["input_ids"].tolist(), strict=True)
    for (_, kind), group in groupby(pairs, key=lambda pair: pair[0]):
        stretch = [token for _, token in group]
        text = tokenizer.decode(stretch if kind != "padding" else stretch[:1])
        yield f"{kind:>7} {len(stretch):5} tokens  {json.dumps(text, ensure_ascii=False)}"
