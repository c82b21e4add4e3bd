"""One way each to score the work list: what people use today, rdpt's engine, and the limit.

Started as a process of its own, in the virtual environment that the method needs:

    python perf/methods.py METHOD FOLDER   then one line `run` on standard input per round

Each round answers with a JSON line: tokens, wall and CPU seconds, the sum of log-probabilities,
and the peak of resident memory so far. Models are loaded before the first round.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from workload import as_text

BLOCK, STRETCH = 512, 1024
"""Positions and ids of a product of the limit."""

Traces = list[list[int]]
Method = Callable[[Traces], float]
"""Scores all traces; the sum of their log-probabilities."""


def _model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def hf_loop(folder: Path) -> Method:
    """A trace at a time, as a script has it: all logits, float32 log-softmax, gather."""
    model = _model(folder)

    def run(traces: Traces) -> float:
        return sum(_gathered(model(torch.tensor([ids])).logits[0], ids) for ids in traces)

    return run


def _gathered(logits: torch.Tensor, ids: list[int]) -> float:
    logprobs = logits[:-1].float().log_softmax(-1)
    return float(logprobs.gather(1, torch.tensor(ids[1:])[:, None]).sum())


def padded(folder: Path, batch: int = 4, ordered: bool = False) -> Method:
    """Batches of four, padded to the longest: eight of 4,000 tokens and 151,936 ids take 19 GiB of
    float32 logits, and were killed for want of memory on a machine of 24 GB."""
    model = _model(folder)

    def run(traces: Traces) -> float:
        order = sorted(traces, key=len) if ordered else traces
        total = 0.0
        for at in range(0, len(order), batch):
            some = order[at : at + batch]
            longest = max(map(len, some))
            ids = torch.tensor([one + [0] * (longest - len(one)) for one in some])
            mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in some])
            logits = model(ids, attention_mask=mask).logits
            total += sum(_gathered(logits[row, : len(one)], one) for row, one in enumerate(some))
        return total

    return run


def padded_sorted(folder: Path) -> Method:
    return padded(folder, ordered=True)


def lm_eval(folder: Path) -> Method:
    """lm-evaluation-harness: `loglikelihood` of each trace after its first token, batch 1."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=_model(folder), tokenizer=_tokenizer(folder), batch_size=1)

    def run(traces: Traces) -> float:
        pairs = [(as_text(ids[:1]), " " + as_text(ids[1:])) for ids in traces]
        asked = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        return sum(found[0] for found in model.loglikelihood(asked, disable_tqdm=True))

    return run


def minicons(folder: Path) -> Method:
    """minicons' token scores in batches of two, since it holds all logits and their softmax."""
    from minicons.scorer import IncrementalLMScorer

    scorer = IncrementalLMScorer(_model(folder), device="cpu", tokenizer=_tokenizer(folder))

    def run(traces: Traces) -> float:
        total = 0.0
        for at in range(0, len(traces), 2):
            texts = [as_text(ids) for ids in traces[at : at + 2]]
            found = scorer.token_score(texts, bow_correction=False)
            total += sum(score for row in found for _, score in row[1:])
        return total

    return run


def _forward(folder: Path, compiled: bool) -> Any:
    from rdpt_core.models.loading.compiling import compile_decoder
    from rdpt_core.models.loading.head import Head
    from rdpt_core.scoring.forward import PACK_TOKENS, Forward

    model = _model(folder)
    head, decoder = Head(model.get_output_embeddings().weight.detach()), model.get_decoder()
    return Forward(
        decoder, head, PACK_TOKENS, compiled=compile_decoder(decoder) if compiled else None
    )


def _engine(folder: Path, compiled: bool) -> Method:
    from rdpt_core.scoring.forward import TokenSequence

    forward = _forward(folder, compiled)

    def run(traces: Traces) -> float:
        laid = {index: TokenSequence(ids, 1) for index, ids in enumerate(traces)}
        found = [one.statistics for one in forward.run(laid)]
        return sum(float(one.logprobs.sum(dtype="float64")) for one in found if one)

    return run


def exact(folder: Path) -> Method:
    """rdpt's engine: packs, logits in stretches; log-probability, rank, entropy, squares."""
    return _engine(folder, compiled=False)


def compiled(folder: Path) -> Method:
    return _engine(folder, compiled=True)


def _limit(folder: Path, compiled: bool) -> Method:
    """The decoder over the same packs and the head's product, in the blocks in which it is fastest
    (one of all ids at once takes half as long again); nothing is done with the logits."""
    from rdpt_core.scoring.packing import packed

    forward = _forward(folder, compiled)

    @torch.inference_mode()
    def run(traces: Traces) -> float:
        lengths = [len(ids) for ids in traces]
        for pack in packed(range(len(traces)), lengths, forward.pack_tokens):
            ids = torch.tensor([token_id for index in pack for token_id in traces[index]])
            hidden = forward.hidden(ids, [lengths[index] for index in pack])
            for start in range(0, forward.head.num_ids, STRETCH):
                ids = forward.head.stretch(start, min(start + STRETCH, forward.head.num_ids))
                for at in range(0, len(hidden), BLOCK):
                    ids.logits(hidden[at : at + BLOCK])
        return float("nan")

    return run


def limit(folder: Path) -> Method:
    return _limit(folder, compiled=False)


def limit_compiled(folder: Path) -> Method:
    return _limit(folder, compiled=True)


def main(name: str, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    method: Method = globals()[name](folder)
    traces: Traces = json.loads((folder / "traces.json").read_text())
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries print
    for line in sys.stdin:
        some = traces if line.strip() == "run" else traces[:2]
        wall, cpu = time.perf_counter(), time.process_time()
        total = method(some)
        answer = {
            "tokens": sum(map(len, some)),
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "sum_logprob": total,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
