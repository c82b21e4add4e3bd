"""A planted generator and scorer: language models whose answer is known beforehand.

A planted text names the origin of each of its lines by the line's first word. A fake scorer gives
every token of a line the probability that its table has for that origin, so what provenance must
find is written down in the test. No randomness beyond the sample's own seed, no torch.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.tables import ids
from rdpt_core.tables.rows import (
    FinishReason,
    Problem,
    ScoreSource,
    ScoreStatus,
    TokenScores,
    Trace,
    ZoneKind,
)
from rdpt_core.text.delimiters import named_delimiters

WORD = re.compile(rb"\s{0,99}\S{1,99}|\s{1,99}")
"""A fake token: a word with the white space before it, as byte-level BPE glues them."""

ORIGINS = ("Teacher", "Student", "Shared", "Boosted")

PLANTED: dict[str, dict[str, float]] = {
    "teacher": {"Teacher": 0.9, "Student": 0.3, "Shared": 0.8, "Boosted": 0.4},
    "student": {"Teacher": 0.3, "Student": 0.9, "Shared": 0.8, "Boosted": 0.4},
    "distilled": {"Teacher": 0.85, "Student": 0.85, "Shared": 0.8, "Boosted": 0.9},
}
"""Role to origin to the probability of each token; far from any threshold in use."""


class FakeGenerator:
    """A TextGenerator of planted texts: `num_lines` lines of random origin, then an answer."""

    def __init__(self, author: str = "fake", seed: int = 0, num_lines: int = 6) -> None:
        self.author = author
        self._seed = seed
        self._num_lines = num_lines

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: ProgressCallback = silent
    ) -> list[Trace]:
        traces = [self._trace(problem, sample_index) for problem in problems]
        for trace in traces:
            progress(trace.num_tokens or 0)
        return traces

    def _trace(self, problem: Problem, index: int) -> Trace:
        seed = ids.sample_seed(self._seed, problem.problem_id, index)
        text = planted_text(seed, self._num_lines, problem.answer or "0")
        sampling = ids.digest("fake", self._seed, self._num_lines)
        return Trace(
            trace_id=ids.sampled_trace_id(problem.problem_id, self.author, sampling, index, text),
            problem_id=problem.problem_id,
            author=self.author,
            sample_index=index,
            text=text,
            zones=named_delimiters("<think>").zones(text),
            finish_reason=FinishReason.STOP,
            num_tokens=len(WORD.findall(text.encode())),
            token_ids=None,
            logprobs=None,
            sampled_logprobs=None,
            seed=seed,
            source_id=None,
        )


def planted_text(seed: int, num_lines: int, answer: str) -> str:
    """A thought of lines that name their origin, and an answer whose origin is Shared."""
    dice = random.Random(seed)
    lines = [
        f"{dice.choice(ORIGINS)} line {number} says {dice.randrange(1000)}."
        for number in range(num_lines)
    ]
    return "<think>\n" + "\n".join(lines) + f"\n</think>\n\nShared answer \\boxed{{{answer}}}."


class FakeScorer:
    """A TextScorer with a table of probabilities; an origin that it lacks gets `otherwise`.

    A text of more than `limit` fake tokens is too long for it.
    """

    def __init__(
        self,
        scorer: str,
        probabilities: Mapping[str, float],
        otherwise: float = 0.5,
        limit: int | None = None,
    ) -> None:
        self.scorer = scorer
        self._probabilities = dict(probabilities)
        self._otherwise = otherwise
        self._limit = limit

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]:
        for trace in traces:
            row = self._row(trace)
            progress(len(row.token_bytes))
            yield row

    def _row(self, trace: Trace) -> TokenScores:
        sizes: list[int] = []
        values: list[float] = []
        for zone in trace.zones:
            part = trace.text.encode()[zone.start : zone.stop]
            tokens = [part] if zone.kind is ZoneKind.TAG else WORD.findall(part)
            sizes += [len(token) for token in tokens]
            values += [math.nan] if zone.kind is ZoneKind.TAG else self._logprobs(tokens)
        if self._limit is not None and len(sizes) > self._limit:
            return _row(trace, self.scorer, ScoreStatus.TOO_LONG, [], [])
        return _row(trace, self.scorer, ScoreStatus.OK, sizes, values)

    def _logprobs(self, tokens: Sequence[bytes]) -> list[float]:
        """A line begins with the text and with each token that starts by a line break."""
        found: list[float] = []
        p = self._otherwise
        for index, token in enumerate(tokens):
            if index == 0 or b"\n" in token:
                p = self._probabilities.get(token.strip().decode(errors="replace"), self._otherwise)
            found.append(math.log(p))
        return found


def planted_scorers() -> dict[str, FakeScorer]:
    """One scorer per role of PLANTED, named by its role."""
    return {role: FakeScorer(role, table) for role, table in PLANTED.items()}


def _row(
    trace: Trace, scorer: str, status: ScoreStatus, sizes: list[int], values: list[float]
) -> TokenScores:
    logprobs = np.array(values, np.float32)
    missing = np.isnan(logprobs)
    ended = status is ScoreStatus.OK and trace.finish_reason is FinishReason.STOP
    return TokenScores(
        trace_id=trace.trace_id,
        scorer=scorer,
        status=status,
        scored_stop=sum(sizes),
        verbatim=status is ScoreStatus.OK,
        retokenized=True,
        split=False,
        source=ScoreSource.FORWARD,
        temperature=1.0,
        topk=None,
        tag_logprob=None,
        num_tag_tokens=0,
        end_logprob=-0.1 if ended else None,
        token_bytes=np.array(sizes, np.uint8),
        logprobs=logprobs,
        ranks=np.where(missing, 0, 1).astype(np.uint32),
        entropies=(-logprobs).astype(np.float16),
        sum_squares=np.exp(2 * logprobs).astype(np.float16),
        top50_mass=None,
        top50_squares=None,
    )
