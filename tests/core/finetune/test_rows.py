"""Rows of a training as tensors."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM

from rdpt_core.finetune.rows import Rows, preview
from rdpt_core.scoring.packing import packed
from tests.core.finetune.test_trainer import Bench, _losses_by_example, bench
from tests.core.finetune.tiny_students import base, examples

__all__ = ["base", "bench", "examples"]


def test_an_example_has_the_loss_that_it_has_alone_whatever_it_is_packed_with(
    bench: Bench,
) -> None:
    """In float32, token by token; and the row before does reach it where positions run on."""
    rows = Rows(bench.job("rows").examples, held_out=False)
    model = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    laid = packed(range(len(rows)), rows.num_tokens, 64)
    assert max(map(len, laid)) > 1
    together = _losses_by_example(model, rows, laid)
    alone = _losses_by_example(model, rows, [[i] for i in range(len(rows))])
    assert together.keys() == alone.keys()
    for example, expected in alone.items():
        assert torch.allclose(together[example], expected, rtol=0, atol=1e-5)
    leaking = _losses_by_example(model, rows, laid, restart=False)
    assert any((leaking[i] - alone[i]).abs().max() > 1e-3 for i in alone)


def test_the_preview_of_a_packed_row_shows_each_example_of_it(bench: Bench) -> None:
    from transformers import AutoTokenizer

    rows = Rows(bench.job("rows").examples, held_out=False)
    text = preview(rows, [[3, 1], [0]], AutoTokenizer.from_pretrained(bench.base))
    first, second = text.split("\nrow ")[1:]
    assert first.startswith("1: trace-3, trace-1\n")
    kinds = [line.split()[0] for line in first.splitlines()[1:]]
    assert kinds == ["prompt", "loss", "prompt", "loss"]
    assert [line.split()[0] for line in second.splitlines()[1:]] == ["prompt", "loss", "padding"]
    assert '"How much is 3 and 3?\\n"' in first
    assert '"How much is 1 and 1?\\n"' in first
