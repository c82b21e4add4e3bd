"""Tokens that are sampled per CPU-second, by dtype and rows of a batch.

    .venv/bin/python perf/sampling.py
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 .venv/bin/python perf/sampling.py

The pocket teacher, one thread, problems of the pocket lab: in float32, in bfloat16 by torch's own
products, and in bfloat16 by products.py. The last two are those of a CPU without bfloat16 units
where the CPU has none; on another one the second line keeps torch's libraries from using them.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rdpt_core.models.loading import products
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.pocket.problems import problems
from rdpt_core.tables.rows import Problem

MODELS = Path(__file__).resolve().parents[1] / "rdpt_core" / "pocket" / "models"
WAYS = {"float32": "float32", "bfloat16, torch": "bfloat16", "bfloat16, products.py": "bfloat16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 60, 120])
    parser.add_argument("--tokens", type=int, default=3000, help="to sample, at least")
    asked = parser.parse_args()
    print(f"{'tokens per CPU-second':<24}" + "".join(f"{rows:>6} rows" for rows in asked.rows))
    for way, dtype in WAYS.items():
        products.has_units = lambda way=way: "products" not in way  # type: ignore[misc]
        loaded = load(ModelSpec(path="teacher", dtype=dtype), MODELS, threads=1)  # type: ignore[arg-type]
        rates = [rate(loaded, rows, asked.tokens) for rows in asked.rows]
        print(f"{way:<24}" + "".join(f"{one:>11,.0f}" for one in rates), flush=True)


def rate(loaded: LoadedModel, rows: int, least: int) -> float:
    generator = HfGenerator(loaded, Sampling(max_new_tokens=320, batch_size=rows), 17)
    stream = stories()
    generator.generate(list(islice(stream, 1)), 0)
    begun, tokens = cpu_s(), 0
    while tokens < least:
        traces = generator.generate(list(islice(stream, rows)), 0)
        tokens += sum(trace.num_tokens or 0 for trace in traces)
    return tokens / (cpu_s() - begun)


def stories() -> Iterator[Problem]:
    for story in problems("distill", 0):
        yield Problem(story.prompt, "pocket", "distill", "", story.prompt, None)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
