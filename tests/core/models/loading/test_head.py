"""The output layer: logits in float32, of all ids or some."""

from __future__ import annotations

import pytest
import torch

from rdpt_core.models.loading.head import Head

torch.manual_seed(0)
WEIGHT_VD, HIDDEN_ND, BIAS_V = torch.randn(11, 8), torch.randn(5, 8), torch.randn(11)


@pytest.mark.parametrize("bias_V", [None, BIAS_V])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_logits_are_the_product_in_float64(
    bias_V: torch.Tensor | None, softcap: float | None
) -> None:
    wanted_NV = HIDDEN_ND.double() @ WEIGHT_VD.double().T
    wanted_NV = wanted_NV if bias_V is None else wanted_NV + bias_V.double()
    wanted_NV = wanted_NV if softcap is None else softcap * torch.tanh(wanted_NV / softcap)
    head = Head(WEIGHT_VD, bias_V, softcap)
    assert torch.allclose(head(HIDDEN_ND).double(), wanted_NV, atol=1e-5)
    assert torch.allclose(
        head.stretch(3, 9).logits(HIDDEN_ND).double(), wanted_NV[:, 3:9], atol=1e-5
    )
    ids_N = torch.tensor([0, 10, 4, 4, 7])
    assert torch.allclose(head.of(ids_N, HIDDEN_ND).double(), wanted_NV[range(5), ids_N], atol=1e-5)


def test_logits_of_bfloat16_weights_are_float32_and_not_rounded_on_the_way() -> None:
    weight_VD, hidden_ND = WEIGHT_VD.bfloat16(), HIDDEN_ND.bfloat16()
    found_NV = Head(weight_VD)(hidden_ND)
    assert found_NV.dtype == torch.float32
    assert torch.allclose(found_NV.double(), hidden_ND.double() @ weight_VD.double().T, atol=1e-5)
    assert not torch.equal(found_NV, found_NV.bfloat16().float())
