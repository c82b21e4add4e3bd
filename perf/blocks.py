"""What a block of logits costs: the product that makes it, and the pass that sums it up.

    .venv/bin/python perf/blocks.py

prints microseconds, the least of many rounds of one thread: the product of hidden states and a
stretch of the head, rdpt's one pass over its logits (`fused_sums`), and the same sums by torch's
own operations. The second is nearly all that lies between rdpt's engine and the bare products. Then
the same product of bfloat16 numbers, by torch and by products.py, which takes its place on a CPU
without bfloat16 units.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from arithmetic import least
from torch import Tensor
from torch.nn.functional import linear

from rdpt_core.models.loading.products import linear_in_float32
from rdpt_core.scoring.statistics import fused_sums, written_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--ids", type=int, default=1024)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    hidden_BD = torch.randn(asked.positions, asked.width)
    weight_TD = torch.randn(asked.ids, asked.width) / asked.width**0.5
    logits_BT = hidden_BD @ weight_TD.T
    target_B1, largest_B1 = logits_BT[:, :1].clone(), logits_BT.amax(1, keepdim=True)

    def summed(sums: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
        return least(lambda: sums(logits_BT, target_B1, largest_B1), asked.rounds)

    half = hidden_BD.bfloat16(), weight_TD.bfloat16()
    product = least(lambda: hidden_BD @ weight_TD.T, asked.rounds)
    print(f"{asked.positions} positions x {asked.ids} ids, width {asked.width}, microseconds:")
    for name, cost in (
        ("product", product),
        ("one pass", summed(fused_sums)),
        ("torch's operations", summed(written_out)),
        ("bfloat16 by torch", least(lambda: linear(*half), asked.rounds)),
        ("bfloat16 by rdpt", least(lambda: linear_in_float32(*half), asked.rounds)),
    ):
        print(f"  {name:<19} {cost * 1e6:8.0f}  {cost / product:5.0%} of the product")


if __name__ == "__main__":
    main()
