"""Linear layers of bfloat16 numbers that are multiplied in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from rdpt_core.models.hf import HfScorer, load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.rows import TokenScores
from rdpt_core.scoring import paths, products
from rdpt_core.scoring.products import InFloat32, linear_in_float32, quick_products
from tests.core.models import tiny


@pytest.mark.parametrize("bias", [True, False])
def test_only_the_sum_is_rounded(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most by half of a bfloat16 number's last place, 2^-8 of it, however it is cut."""
    torch.manual_seed(0)
    monkeypatch.setattr(products, "POSITIONS", 3)
    monkeypatch.setattr(products, "OUTPUTS", 5)
    input, weight, added = torch.randn(2, 4, 70), torch.randn(12, 70), torch.randn(12)
    some = [one.bfloat16() for one in (input, weight, added)[: 3 if bias else 2]]
    found = linear_in_float32(*some)
    wanted = linear(*[one.double() for one in some])
    assert found.dtype == torch.bfloat16
    assert found.shape == (2, 4, 12)
    np.testing.assert_allclose(found.double(), wanted, rtol=2**-8, atol=1e-5)


def test_other_numbers_and_other_operations_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(products, "linear_in_float32", lambda *_, **__: calls.append(0))
    one, other = torch.randn(4, 6), torch.randn(5, 6)
    with InFloat32():
        linear(one, other)
        one.bfloat16() @ other.bfloat16().T
        with pytest.raises(RuntimeError, match="same dtype"):
            linear(one.bfloat16(), other)
        assert not calls
        linear(input=one.bfloat16(), weight=other.bfloat16())
    assert calls


def test_it_is_for_cpus_without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    half, whole = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    elsewhere = half.to("meta")
    for units in (False, True):
        monkeypatch.setattr(products, "has_units", lambda units=units: units)
        assert isinstance(quick_products(half), InFloat32) is not units
        assert not isinstance(quick_products(whole), InFloat32)
        assert not isinstance(quick_products(elsewhere), InFloat32)


@pytest.mark.parametrize(("flags", "units"), [("avx2", False), ("avx2 amx_bf16", True), ("", True)])
def test_a_cpu_says_whether_it_has_units(
    flags: str, units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "cpu_flags", lambda: frozenset(flags.split()))
    assert paths.has_units.__wrapped__() is units


def test_a_model_scores_as_with_units(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(ModelSpec(path="qwen", dtype="bfloat16"), models, threads=1)
    calls: list[int] = []
    rows: list[TokenScores] = []
    quick = products.linear_in_float32

    def counted(*args: torch.Tensor) -> torch.Tensor:
        calls.append(len(args))
        result: torch.Tensor = quick(*args)
        return result

    monkeypatch.setattr(products, "linear_in_float32", counted)
    for units in (True, False):
        monkeypatch.setattr(products, "has_units", lambda units=units: units)
        trace = tiny.trace(tiny.THINKING, tiny.problem())
        rows += HfScorer(loaded).score([tiny.problem()], [trace])
        assert bool(calls) is not units
    np.testing.assert_allclose(rows[0].logprobs, rows[1].logprobs, atol=0.05)
