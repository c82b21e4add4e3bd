"""How much arithmetic scoring is, and how much of it a core can do: the floor under every method.

    .venv/bin/python perf/arithmetic.py perf/results/scoring.json

prints, for what scoring.py wrote down on this machine, the operations of one pass per second that
each method came to, beside the most that one large product reaches here. What lies between the two
is softmax, norms, memory and waiting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import Qwen3Config
from workload import Shape, traces

SIDE = 2048
"""Side of the square matrices whose product measures the peak."""


def flops(config: Qwen3Config, lengths: Sequence[int]) -> float:
    """Floating-point operations of one pass over sequences of these lengths: two per weight of a
    product and token, the head's included, and of causal attention `2 L^2 heads head_dim` a layer
    for scores and sums together. An embedding is looked up, which is none."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    projections = 2 * config.hidden_size * (queries + keys)
    layer = projections + 3 * config.hidden_size * config.intermediate_size
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    attention = 2 * config.num_hidden_layers * queries
    return float(sum(2 * weights * length + attention * length**2 for length in lengths))


def peak(dtype: torch.dtype, rounds: int = 10) -> float:
    """Operations per second of the fastest of some large products, on the threads there are."""
    one, other = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / least(lambda: one @ other, rounds)


def least(do: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of some rounds, after one that does not count."""
    do()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("json", type=Path, help="as scoring.py wrote it")
    asked = parser.parse_args()
    found = json.loads(asked.json.read_text())
    torch.set_num_threads(1)
    shape, rounds = Shape(**found["shape"]), found["rounds"]
    lengths = [*map(len, traces(found["num_traces"], shape.vocabulary))]
    # Whoever has no units for bfloat16 is free to multiply float32 numbers instead.
    most = max(map(peak, {torch.float32, getattr(torch, found["dtype"])}))
    work = flops(shape.config(), lengths)
    print(
        f"one pass: {work / 1e9:,.0f} GFLOP; most in one product: {most / 1e9:.0f} GFLOP/s, "
        f"so no less than {work / most:.0f} s"
    )
    for name, some in rounds.items():
        seconds = statistics.median(one["cpu_s"] for one in some)
        print(
            f"  {name:<15} {seconds:6.0f} s  {work / seconds / 1e9:6.1f} GFLOP/s  "
            f"{work / seconds / most:5.0%} of it"
        )


if __name__ == "__main__":
    main()
