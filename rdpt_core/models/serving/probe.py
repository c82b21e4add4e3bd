"""What a server is asked before its texts and numbers are believed, and by which it is known again.

A server's log-probabilities of given ids look plausible also where they are those of the next row
(llama-cpp-python 0.3.36), of processed logits, or of another request. So some short texts are
generated, greedily and at temperature 1, and their own ids are scored: a greedy token must be the
likeliest of its position, and each value must be that of its generation. Whether what was sampled
is a sample of the model is judged by `sampled.py`, which model it is by `fingerprint.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TypeVar

import numpy as np

from rdpt_core.machine.abreast import abreast
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.serving import sampled
from rdpt_core.models.serving.dialects import Completion, Dialect, Echoed, Prompt
from rdpt_core.models.serving.fingerprint import Fingerprint, fingerprint_of
from rdpt_core.models.serving.http import ItemFailed
from rdpt_core.models.spec import Sampling

T = TypeVar("T")

TEXTS = (
    "The sky is blue, and the grass is",
    "3 + 4 = 7, 12 - 5 = 7, 2 * 9 =",
    "Dear Ann, yesterday we went to the market and bought",
    "def add(a, b):\n    return a +",
    "Question: Bob has 12 apples and buys 30 more. How many?\nAnswer:",
    "The capital of France is Paris, and that of Italy is",
)
NUM_TOKENS = 24
TOP = 5
"""Candidates of a greedy text; of a sampled one, as many as the server tells."""
SEEDS = (1, 2)
CLOSE = 0.02
"""Nats of difference, in the mean; and 5% of the values themselves, for bfloat16."""
SHARE = 0.9
"""Share of greedy tokens that must be likeliest at their position: rounding splits some ties."""
NAMED = 0.6
"""Share that must be the next or the previous token for an error to name the shift."""
FEWEST = 3
SHIFTS = {1: "one token late", -1: "one token early"}
"""By which neighbour's value or token stands at a position: the next one's is a row too late."""
PROCESSED = 0.01
"""Share of a sampled token's value, beside CLOSE, that rounding may move it by."""

Write = Callable[[Prompt, Sampling, int, int], Completion]
"""Prompt, sampling, number of candidates, seed."""
Echo = Callable[[Sequence[int]], Echoed]


class Probe:
    """What one server answered. Each question is asked once, when it first matters, and its texts
    are asked for together. `say` takes a line for the user. Not for several threads."""

    def __init__(
        self,
        write: Write,
        echo: Echo,
        dialect: Dialect,
        vocabulary: Vocabulary,
        width: int,
        say: Callable[[str], object],
    ) -> None:
        self._write, self._echo, self._dialect = write, echo, dialect
        self._vocabulary, self._width, self._say = vocabulary, width, say

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Which model it is; its texts once more, one at a time, tell its noise."""
        together = self._greedy
        alone = [self._text(text, greedy(NUM_TOKENS), TOP, 0) for text in TEXTS]
        return fingerprint_of(together, alone)

    @cached_property
    def sampling_fault(self) -> str | None:
        """Why its texts are not samples of the model; None where nothing speaks against them."""
        return sampled.sampling_fault(self._greedy, self._sampled)

    @cached_property
    def scoring_fault(self) -> str | None:
        """Why its scores are not to be believed; None where nothing speaks against them."""
        if not self._dialect.scores:
            return 'with api = "chat" the server renders the prompt, so it is not ours to score'
        sampled_texts = [
            (text, one)
            for text, (one, _) in zip(TEXTS, self._sampled, strict=True)
            if one.token_ids is not None
        ]
        pairs = [*zip(TEXTS, self._greedy, strict=True), *sampled_texts]
        asked = [_own_ids(*pair, self._vocabulary, self._dialect) for pair in pairs]
        self._say(f"scoring {len(asked) + 1} texts, to check its log-probabilities")
        try:
            answers = list(abreast(lambda one: self._echo(one[0]), asked, self._width))
            again = self._echo(asked[0][0])
        except ItemFailed as error:
            return f"it gives no log-probabilities of a prompt ({error})"
        own = len(asked[0][1]) or len(asked[0][0]) - 1
        if not _close(answers[0].logprobs[-own:], again.logprobs[-own:]):
            return "its log-probabilities of one text depend on what was asked in between"
        seen = [
            _seen(one, answer, self._dialect) for one, answer in zip(asked, answers, strict=True)
        ]
        return _fault(seen[: len(TEXTS)]) or _processed(seen[len(TEXTS) :])

    @cached_property
    def _greedy(self) -> list[Completion]:
        self._say(f"generating {2 * len(TEXTS)} texts, to recognise its model")
        return self._texts([(text, greedy(NUM_TOKENS), TOP, 0) for text in TEXTS])

    @cached_property
    def _sampled(self) -> list[tuple[Completion, Completion]]:
        self._say(f"sampling {2 * len(TEXTS)} texts, to check its sampling")
        rule, top = Sampling(max_new_tokens=NUM_TOKENS), self._dialect.most_top
        found = self._texts([(text, rule, top, seed) for text in TEXTS for seed in SEEDS])
        return list(zip(found[::2], found[1::2], strict=True))

    def _texts(self, asked: Sequence[tuple[str, Sampling, int, int]]) -> list[Completion]:
        return list(abreast(lambda one: self._text(*one), asked, self._width))

    def _text(self, text: str, rule: Sampling, top: int, seed: int) -> Completion:
        """With candidates where the server has any to tell: some refuse to, or tell fewer."""
        messages = ({"role": "user", "content": text},)
        prompt = Prompt(self._vocabulary.encode(text), text, messages)
        for most in sorted({top, min(top, TOP)}, reverse=True):
            try:
                return self._write(prompt, rule, most, seed)
            except ItemFailed:
                continue
        return self._write(prompt, rule, 1, seed)


@dataclass(frozen=True, slots=True)
class Seen:
    """A greedy text: by its generation, and as its ids are scored."""

    names: list[str]
    """Names of its tokens, spelt like the server's candidates."""
    best: list[str]
    """The likeliest candidate of each; "" where that is not told."""
    written: list[float] | None
    echoed: list[float]


def _own_ids(
    text: str, done: Completion, vocabulary: Vocabulary, dialect: Dialect
) -> tuple[list[int], list[int], list[float] | None]:
    """Ids of prompt and text, those of the text alone, and its generation's values."""
    prompt = vocabulary.encode(text)
    own = _read_again(text, prompt, done, vocabulary, dialect)
    told = None if done.logprobs is None else done.logprobs[: len(own)]
    return [*prompt, *own], own, told


def _seen(
    asked: tuple[list[int], list[int], list[float] | None], answer: Echoed, dialect: Dialect
) -> Seen:
    _, own, written = asked
    start = len(answer.logprobs) - len(own)
    names = [dialect.name_of(token_id) for token_id in own]
    return Seen(names, answer.best[start:], written, answer.logprobs[start:])


def _read_again(
    text: str, prompt: list[int], done: Completion, vocabulary: Vocabulary, dialect: Dialect
) -> list[int]:
    """The ids of a text. Of a server that tells text alone: as far as it reads the text as the
    tokens that it wrote."""
    if done.token_ids is not None:
        return done.token_ids
    whole = vocabulary.parse(text + done.text)
    if whole[: len(prompt)] != prompt:
        return []
    pairs = zip(whole[len(prompt) :], done.tokens or [], strict=False)
    same = takewhile(lambda pair: dialect.name_of(pair[0]) == pair[1], pairs)
    return [token_id for token_id, _ in same]


def greedy(num_tokens: int) -> Sampling:
    return Sampling(temperature=0.0, max_new_tokens=num_tokens)


def _fault(seen: Sequence[Seen]) -> str | None:
    told = any(name for one in seen for name in one.best)
    compared = sum(len(one.names) for one in seen if one.written is not None)
    certain = all(abs(v) < CLOSE for one in seen for v in one.written or [])
    if not told and (compared < FEWEST or certain):
        return "nothing that it tells can be compared with its log-probabilities"
    if told and _share(seen, 0) < SHARE:
        shift = next((s for s in SHIFTS if _share(seen, s) >= NAMED), None)
        return (
            _shifted(shift)
            if shift
            else (
                "at most positions of a greedy text, another token than its own is the likeliest: "
                "it reads other ids than were sent, or its log-probabilities are processed"
            )
        )
    if compared and not _alike(seen, 0):
        shift = next((s for s in SHIFTS if _alike(seen, s)), None)
        return (
            _shifted(shift)
            if shift
            else ("its log-probabilities of a text are not those with which it wrote the text")
        )
    return None


def _processed(seen: Sequence[Seen]) -> str | None:
    """Fault of texts at temperature 1 whose values a server took after its own processing."""
    pairs = [
        pair
        for one in seen
        if one.written is not None
        for pair in zip(one.echoed, one.written, strict=True)
    ]
    if len(pairs) < FEWEST:
        return None
    a, b = np.array(pairs).T
    if np.abs(a - b).mean() <= CLOSE + PROCESSED * np.abs(a).mean():
        return None
    return (
        "its log-probabilities of a text that it sampled are processed (a temperature, top_k, "
        "top_p, min_p or a penalty), those of the same text as a prompt are not"
    )


def _shifted(shift: int) -> str:
    return f"its echoed log-probabilities are shifted by one token ({SHIFTS[shift]})"


def _share(seen: Sequence[Seen], shift: int) -> float:
    """Share of positions whose likeliest token is the text's own, `shift` tokens on; only
    positions count where that differs from the token itself."""
    found = [
        best == other
        for one in seen
        for best, name, other in _neighbours(one.best, one.names, one.names, shift)
        if best and (shift == 0 or name != other)
    ]
    return sum(found) / len(found) if len(found) >= FEWEST else float(shift == 0)


def _alike(seen: Sequence[Seen], shift: int) -> bool:
    pairs = [
        (echoed, other)
        for one in seen
        if one.written is not None
        for echoed, _, other in _neighbours(one.echoed, one.names, one.written, shift)
    ]
    return len(pairs) >= FEWEST and _close([a for a, _ in pairs], [b for _, b in pairs])


def _neighbours(
    first: Sequence[T], names: Sequence[str], second: Sequence[T], shift: int
) -> Iterator[tuple[T, str, T]]:
    for at, value in enumerate(first):
        if 0 <= at + shift < len(second):
            yield value, names[at], second[at + shift]


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    a, b = np.array(one), np.array(other)
    return bool(np.abs(a - b).mean() <= CLOSE + 0.05 * np.abs(a).mean())
