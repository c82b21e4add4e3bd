"""rdpt's engine on a GPU beside a plain loop on the same GPU. No number of it exists yet: it was
written and tried on a CPU in small, and waits for a machine.

    .venv/bin/python perf/gpu.py --peak-tflops 989 --json perf/results/gpu.json       # an H100
    .venv/bin/python perf/gpu.py --device cpu --small                                 # does it run

An 8B-shaped Qwen3 with random bfloat16 weights reads traces of up to 32,768 tokens. Per method:
tokens per second, the share of the peak that the model's own floating-point operations make up
(2 per weight and token, and attention's), and the peak of memory. A method that runs out of memory
has no numbers.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from arithmetic import flops
from transformers import Qwen3Config, Qwen3ForCausalLM

from rdpt_core.machine.memory import is_out_of_memory
from rdpt_core.models.loading.head import Head
from rdpt_core.scoring.forward import PACK_TOKENS, Forward, TokenSequence

Work = list[list[int]]
LARGE = {
    "vocab_size": 151_936,
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
SMALL = LARGE | {
    "vocab_size": 8192,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
LENGTHS, SMALL_LENGTHS = (1024, 2048, 4096, 8192, 16_384, 32_768), (100, 500, 5000)


@dataclass(frozen=True)
class Bench:
    model: Any
    config: Qwen3Config
    device: torch.device

    def plain(self, work: Work) -> None:
        for ids in work:
            ids_L = torch.tensor(ids, device=self.device)
            logits = self.model(ids_L[None]).logits[0, :-1].float().log_softmax(-1)
            logits.gather(1, ids_L[1:, None])

    def engine(self, work: Work) -> None:
        head = Head(self.model.get_output_embeddings().weight.detach())
        forward = Forward(self.model.get_decoder(), head, PACK_TOKENS)
        for _ in forward.run({index: TokenSequence(ids, 1) for index, ids in enumerate(work)}):
            pass

    @torch.inference_mode()
    def measured(self, method: Callable[[Work], None], work: Work, rounds: int) -> Any:
        try:
            method(work[:1])
            seconds = sorted(self._timed(method, work) for _ in range(rounds))[rounds // 2]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        on_gpu = self.device.type == "cuda"
        return {
            "seconds": seconds,
            "tokens_per_s": sum(map(len, work)) / seconds,
            "flops_per_s": flops(self.config, [*map(len, work)]) / seconds,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
        }

    def _timed(self, method: Callable[[Work], None], work: Work) -> float:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        begun = time.perf_counter()
        method(work)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def made(small: bool, device: torch.device) -> Bench:
    config = Qwen3Config(
        **(SMALL if small else LARGE),
        max_position_embeddings=40_960,
        tie_word_embeddings=False,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32 if small else torch.bfloat16)
    with device:
        return Bench(Qwen3ForCausalLM(config).eval(), config, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="of bfloat16 products, dense")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    bench = made(asked.small, torch.device(asked.device))
    dice = random.Random(0)
    lengths = SMALL_LENGTHS if asked.small else LENGTHS
    work = [[dice.randrange(bench.config.vocab_size) for _ in range(size)] for size in lengths]
    found = {
        name: bench.measured(method, work, asked.rounds)
        for name, method in (("engine", bench.engine), ("plain", bench.plain))
    }
    for name, one in found.items():
        if one and asked.peak_tflops:
            one["model_flops_utilisation"] = one["flops_per_s"] / (asked.peak_tflops * 1e12)
        print(name, "out of memory" if one is None else one)
    if asked.json:
        asked.json.write_text(json.dumps({"lengths": lengths, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
