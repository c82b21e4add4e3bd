"""How much memory scoring takes beyond the weights and one pass of the decoder, by length.

    .venv/bin/python perf/memory.py --json perf/results/memory.json --plot perf/results/memory.png
    .venv/bin/python perf/memory.py --width 256 --layers 16 --lengths 4096 16384 32768 \\
        --vocabularies 151936 --plain 0 --json perf/results/memory_deep.json

One sequence at a time, of a random Qwen3-shaped model; each measurement is a process of its own and
reads its own peak of resident memory. The first model is shallow, so that what is seen is scoring;
the deep one shows what a layer adds, which is nothing where no layer's keys and values are kept.
`plain` is what a script does: all logits, float32 log-softmax. It is measured as far as
`--plain` tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

LENGTHS = (1024, 2048, 4096, 8192, 16_384, 32_768)
VOCABULARIES = (8192, 32_768, 151_936)


def peak() -> float:
    """MiB of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(method: str, length: int, vocabulary: int, width: int, layers: int) -> dict[str, Any]:
    """The peak after a pass of the decoder, and what scoring added to it, in MiB."""
    import torch
    from transformers import Qwen3ForCausalLM
    from workload import Shape, traces

    from rdpt_core.models.loading.head import Head
    from rdpt_core.scoring.forward import PACK_TOKENS, Forward, TokenSequence

    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    shape = Shape(vocabulary, width, layers)
    model = Qwen3ForCausalLM(shape.config()).eval()
    (ids,) = traces(1, vocabulary)
    ids = (ids * (length // len(ids) + 1))[:length]
    model.get_decoder()(torch.tensor([ids]), use_cache=False)
    before = peak()
    if method == "plain":
        logprobs = model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
        logprobs.gather(1, torch.tensor(ids[1:])[:, None])
    else:
        head = Head(model.get_output_embeddings().weight)
        list(Forward(model.get_decoder(), head, PACK_TOKENS).run({0: TokenSequence(ids, 1)}))
    return {
        "method": method,
        "length": length,
        "vocabulary": vocabulary,
        "width": width,
        "layers": layers,
        "decoder_mib": before,
        "extra_mib": peak() - before,
    }


def measure(asked: argparse.Namespace) -> list[dict[str, Any]]:
    largest = max(asked.vocabularies)
    wanted = [("rdpt", length, ids) for ids in asked.vocabularies for length in asked.lengths]
    wanted += [("plain", length, largest) for length in asked.lengths if length <= asked.plain]
    found = []
    for method, length, vocabulary in wanted:
        numbers = (length, vocabulary, asked.width, asked.layers)
        command = [sys.executable, __file__, "--one", method, *map(str, numbers)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout))
        print(
            f"{method:<6} {length:>6} tokens, {vocabulary:>7} ids: "
            f"{found[-1]['extra_mib']:8,.0f} MiB more",
            file=sys.stderr,
        )
    return found


def plot(found: list[dict[str, Any]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for method, vocabulary in dict.fromkeys((one["method"], one["vocabulary"]) for one in found):
        line = [
            (one["length"], max(one["extra_mib"], 1))
            for one in found
            if (one["method"], one["vocabulary"]) == (method, vocabulary)
        ]
        axes.plot(
            *zip(*line, strict=True),
            marker="o",
            markersize=3,
            linestyle="--" if method == "plain" else "-",
            label=f"{method}, {vocabulary:,} ids",
        )
    axes.axhline(200, color="grey", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tokens of the sequence",
        ylabel="MiB beyond weights and one decoder pass",
    )
    axes.set_xticks(LENGTHS, [f"{n // 1024}k" for n in LENGTHS])
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--plain", type=int, default=4096, help="longest sequence of the script")
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--vocabularies", nargs="+", type=int, default=VOCABULARIES)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        method, *numbers = asked.one
        sys.stdout.write(json.dumps(one(method, *map(int, numbers))))
        return
    found = measure(asked)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    if asked.plot:
        plot(found, asked.plot)


if __name__ == "__main__":
    main()
