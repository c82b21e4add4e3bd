"""Language models through transformers: one loaded model behind both protocols of the seam.

Loading takes safetensors and nothing of a stranger's code. Generation and scoring share the decoder
and one float32 head, cut to the tokenizer's ids, so a sampled log-probability and a scored one
are the same number up to the order of summation.

Shapes: B rows of a pack, L its longest sequence, N positions, D hidden width, V ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import logging

from rdpt_core import ids
from rdpt_core.models.decoding import Sample, is_raw, sample_batch
from rdpt_core.models.identity import ModelIdentity, identify, local_folder
from rdpt_core.models.render import Layout, Renderer, read_renderer
from rdpt_core.models.seam import Progress, silent
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.recipe import plain
from rdpt_core.rows import FinishReason, Problem, ScoreStatus, TokenScores, Trace
from rdpt_core.scoring.entries import scored, unscored
from rdpt_core.scoring.statistics import Head, Statistics, statistics

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Loaded:
    """A model in memory with all that is needed to read and write with it."""

    identity: ModelIdentity
    renderer: Renderer
    model: PreTrainedModel
    decoder: PreTrainedModel
    head: Head
    limit: int
    """Longest sequence in tokens, prompt included."""
    ends: frozenset[int]
    """Ids that end the model's turn when sampled."""

    @property
    def device(self) -> torch.device:
        return next(self.decoder.parameters()).device


def load(
    spec: ModelSpec,
    base: Path,
    threads: int | None = None,
    device: str = "cpu",
    cache: Path | None = None,
) -> Loaded:
    """Loads a local folder (relative to `base`) or a hub id.

    `threads` fixes torch's for the process: sampling repeats exactly only at an equal number.
    Raises ValueError for a model that is refused, ConnectionError where the hub is out of reach.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    identity = identify(spec, base, cache)
    folder = model_folder(spec, base, identity)
    renderer = read_renderer(spec, folder)
    logging.disable_progress_bar()  # standard error is the caller's to write on
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=DTYPES[spec.dtype],
        use_safetensors=True,
        trust_remote_code=False,
        weights_only=True,
        local_files_only=True,
        attn_implementation="sdpa",
    )
    model = model.eval().to(device)
    decoder = model.get_decoder()
    head = make_head(model, renderer.contract.num_ids)
    _check_head(model, decoder, head, renderer.contract.num_ids)
    limit = spec.context or _own_limit(model.config)
    return Loaded(identity, renderer, model, decoder, head, limit, _ends(renderer, folder))


def model_folder(spec: ModelSpec, base: Path, identity: ModelIdentity) -> Path:
    """Where the model's files lie on this machine, downloaded if they must be."""
    folder = local_folder(spec, base)
    if folder is None:
        from rdpt_core.models.hub import hub_snapshot

        return hub_snapshot(spec, identity.revision)
    return folder


def make_head(model: PreTrainedModel, num_ids: int) -> Head:
    """Hidden states to float32 logits of the tokenizer's ids.

    Weights of ids that the tokenizer lacks are padding: untrained, they would enter the softmax.
    """
    output = model.get_output_embeddings()
    weight_VD = output.weight[:num_ids].detach().float()
    bias = getattr(output, "bias", None)
    bias_V = None if bias is None else bias[:num_ids].detach().float()
    softcap = getattr(model.config, "final_logit_softcapping", None)

    def head(hidden_ND: Tensor) -> Tensor:
        logits_NV = torch.nn.functional.linear(hidden_ND.float(), weight_VD, bias_V)
        return logits_NV if not softcap else torch.tanh(logits_NV / softcap) * softcap

    return head


@torch.inference_mode()
def _check_head(model: PreTrainedModel, decoder: PreTrainedModel, head: Head, num_ids: int) -> None:
    """Some architectures scale or shift logits after the head: then ours would be another model."""
    device = next(model.parameters()).device
    probe_BL = torch.arange(min(8, num_ids), device=device)[None]
    own_LV = model(input_ids=probe_BL).logits[0, :, :num_ids].float()
    ours_LV = head(decoder(input_ids=probe_BL).last_hidden_state[0])
    loose = 1e-3 if model.dtype == torch.float32 else 0.1
    if not torch.allclose(own_LV, ours_LV, rtol=loose, atol=loose):
        raise ValueError(
            f"{type(model).__name__} changes its logits after the output layer in a way that rdpt "
            "does not know: use another model"
        )


def _own_limit(config: object) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text, "max_position_embeddings", None)
    if limit is None:
        raise ValueError(
            "the model's config.json states no max_position_embeddings: give `context = ...` in "
            "its entry"
        )
    return int(limit)


def _ends(renderer: Renderer, folder: Path) -> frozenset[int]:
    """The end of turn of the template, the tokenizer's, and those of the generation settings."""
    vocabulary = renderer.vocabulary
    found = {renderer.contract.end, vocabulary.id_of(vocabulary.special.get("eos_token"))}
    if (folder / "generation_config.json").exists():
        stated = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        found |= set(stated) if isinstance(stated, list) else {stated}
    return frozenset(token_id for token_id in found if token_id is not None)


class HfGenerator:
    """A TextGenerator: what it samples depends on its arguments and the model alone.

    `generate` runs the problems that it is given as one batch.
    """

    def __init__(self, loaded: Loaded, sampling: Sampling, seed: int) -> None:
        self.author = loaded.identity.digest
        self.sampling_digest = ids.digest(
            "sampling", plain(sampling), loaded.renderer.contract.digest, seed
        )
        self._loaded = loaded
        self._sampling = sampling
        self._seed = seed

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: Progress = silent
    ) -> list[Trace]:
        """One trace per problem, in order; `progress` counts new tokens.

        A prompt that leaves no room gives an empty text that ends by length.
        """
        prompts = [self._loaded.renderer.prompt_ids(problem) for problem in problems]
        seeds = [
            ids.sample_seed(self._seed, problem.problem_id, sample_index) for problem in problems
        ]
        rooms = [max(0, self._loaded.limit - len(prompt)) for prompt in prompts]
        samples = sample_batch(
            self._loaded.decoder,
            self._loaded.head,
            prompts,
            seeds,
            [min(self._sampling.max_new_tokens, room) for room in rooms],
            self._sampling,
            self._loaded.ends,
            progress,
        )
        return [
            self._trace(problem, sample_index, seed, sample)
            for problem, seed, sample in zip(problems, seeds, samples, strict=True)
        ]

    def _trace(self, problem: Problem, index: int, seed: int, sample: Sample) -> Trace:
        body = sample.token_ids[:-1] if sample.stopped else sample.token_ids
        text = self._loaded.renderer.vocabulary.decode(body, self._loaded.renderer.contract.fresh)
        changed = not is_raw(self._sampling)
        return Trace(
            trace_id=ids.sampled_trace_id(
                problem.problem_id, self.author, self.sampling_digest, index, text
            ),
            problem_id=problem.problem_id,
            author=self.author,
            sample_index=index,
            text=text,
            zones=self._loaded.renderer.zones(text),
            finish_reason=FinishReason.STOP if sample.stopped else FinishReason.LENGTH,
            num_tokens=len(sample.token_ids),
            token_ids=np.array(sample.token_ids, np.int32),
            logprobs=np.array(sample.logprobs, np.float32),
            sampled_logprobs=np.array(sample.sampled_logprobs, np.float32) if changed else None,
            seed=seed,
            source_id=None,
        )


class HfScorer:
    """A TextScorer: one teacher-forced forward per trace, several of similar length at a time.

    `pack_tokens` bounds the tokens of a pack, padding included; sequences are padded at the right,
    where causal attention never sees it, so it moves no number beyond rounding.
    """

    def __init__(
        self, loaded: Loaded, pack_tokens: int = 4096, topk_stats: int | None = None
    ) -> None:
        self.scorer = loaded.identity.digest
        self._loaded = loaded
        self._pack_tokens = pack_tokens
        self._topk = topk_stats

    def score(
        self, problems: Sequence[Problem], traces: Sequence[Trace], progress: Progress = silent
    ) -> Iterator[TokenScores]:
        """One row per trace, in order; `progress` counts scored tokens, prompts left out.

        `problems` holds the problem of every trace, in any order.
        """
        by_id = {problem.problem_id: problem for problem in problems}
        rows: dict[int, TokenScores] = {}
        layouts: dict[int, Layout] = {}
        for index, trace in enumerate(traces):
            laid = self._lay(by_id.get(trace.problem_id), trace)
            if isinstance(laid, Layout):
                layouts[index] = laid
            else:
                rows[index] = unscored(trace, self.scorer, laid)
        for pack in _packs(layouts, self._pack_tokens):
            found, split = self._forward([layouts[index] for index in pack])
            for index, one in zip(pack, found, strict=True):
                trace, layout = traces[index], layouts[index]
                if one is None:
                    rows[index] = unscored(trace, self.scorer, ScoreStatus.ERROR)
                else:
                    rows[index] = scored(trace, self.scorer, layout, one, split, self._topk)
                progress(len(layout.completion_ids))
        yield from (rows[index] for index in range(len(traces)))

    def _lay(self, problem: Problem | None, trace: Trace) -> Layout | ScoreStatus:
        if problem is None:
            return ScoreStatus.ERROR
        try:
            own = trace.author == self.scorer
            layout = self._loaded.renderer.lay(problem, trace, sampled=own)
        except ValueError:
            return ScoreStatus.ERROR
        if not layout.prompt_ids:
            return ScoreStatus.ERROR
        too_long = len(layout.input_ids) > self._loaded.limit
        return ScoreStatus.TOO_LONG if too_long else layout

    def _forward(self, layouts: Sequence[Layout]) -> tuple[Sequence[Statistics | None], bool]:
        """Statistics per layout, and whether the pack had to be halved for want of memory.

        None for a layout that alone is more than this machine can hold.
        """
        try:
            return self._run(layouts), False
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(layouts) == 1:
            return [None], True
        middle = len(layouts) // 2
        halves = [self._forward(layouts[:middle])[0], self._forward(layouts[middle:])[0]]
        return [one for half in halves for one in half], True

    @torch.inference_mode()
    def _run(self, layouts: Sequence[Layout]) -> list[Statistics]:
        device = self._loaded.device
        sequences = [layout.input_ids for layout in layouts]
        longest = max(len(sequence) for sequence in sequences)
        ids_BL = torch.zeros(len(sequences), longest, dtype=torch.long)
        for row, sequence in enumerate(sequences):
            ids_BL[row, : len(sequence)] = torch.tensor(sequence)
        hidden_BLD = self._loaded.decoder(input_ids=ids_BL.to(device), use_cache=False)
        found = []
        for row, layout in enumerate(layouts):
            start, stop = len(layout.prompt_ids), len(sequences[row])
            # Position i - 1 predicts id i.
            hidden_ND = hidden_BLD.last_hidden_state[row, start - 1 : stop - 1]
            targets_N = ids_BL[row, start:stop].to(device)
            found.append(
                statistics(
                    hidden_ND,
                    targets_N,
                    self._loaded.head,
                    self._loaded.renderer.contract.num_ids,
                    self._topk,
                )
            )
        return found


def _is_out_of_memory(error: Exception) -> bool:
    """The CPU's allocator raises a plain RuntimeError."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "can't allocate memory" in str(error)


def _packs(layouts: dict[int, Layout], most: int) -> Iterator[list[int]]:
    """Indices cut into packs of similar length; depends on the layouts alone."""
    lengths = {index: len(layout.input_ids) for index, layout in layouts.items()}
    pack: list[int] = []
    for index in sorted(lengths, key=lambda index: (lengths[index], index)):
        if pack and (len(pack) + 1) * lengths[index] > most:
            yield pack
            pack = []
        pack.append(index)
    if pack:
        yield pack
