"""The rates that scoring.py wrote down, as a figure.

.venv/bin/python perf/rates.py perf/results/scoring.json perf/results/scoring.png
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

NAMES = {
    "minicons": "minicons",
    "padded": "padded batches",
    "padded_sorted": "padded batches, sorted",
    "lm_eval": "lm-evaluation-harness",
    "hf_loop": "plain loop",
    "exact": "rdpt, exact",
    "compiled": "rdpt, compiled",
    "limit": "decoder and head alone",
    "limit_compiled": "decoder and head alone, compiled",
}
RDPT = ("exact", "compiled")
OURS, LIMIT, OTHERS = "#1f77b4", "#bbbbbb", "#d98c5f"


def rate(rounds: list[dict[str, Any]]) -> float:
    return statistics.median(one["tokens"] / one["cpu_s"] for one in rounds)


def label(name: str, rates: dict[str, float], ratios: dict[str, dict[str, float]]) -> str:
    """The rate; of a peer or a limit also rdpt's as a multiple of it, over paired rounds."""
    mode = "compiled" if name == "limit_compiled" else "exact"
    ratio = ratios.get(mode, {}).get(name.removesuffix("_compiled"))
    told = f"{rates[name]:,.0f}"
    return told if name in RDPT or ratio is None else f"{told}   {mode} is {ratio:.2f}×"


def colour(name: str) -> str:
    if name in RDPT:
        return OURS
    return LIMIT if name.startswith("limit") else OTHERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("json", type=Path)
    parser.add_argument("figure", type=Path)
    asked = parser.parse_args()
    found = json.loads(asked.json.read_text())
    rates = {name: rate(found["rounds"][name]) for name in NAMES if found["rounds"].get(name)}
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        [NAMES[name] for name in rates],
        list(rates.values()),
        color=[colour(name) for name in rates],
    )
    labels = [label(name, rates, found["ratios_by_path"]) for name in rates]
    axes.bar_label(bars, labels, padding=3)
    axes.set_xlabel("tokens per CPU-second, one thread")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.45)
    shape = found["shape"]
    what = f"{shape['layers']} layers of width {shape['width']}, {shape['vocabulary']:,} ids"
    axes.set_title(f"{what}, {found['dtype']}", loc="left", fontsize=10)
    figure.savefig(asked.figure, dpi=120)


if __name__ == "__main__":
    main()
