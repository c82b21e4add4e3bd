"""What a server is asked before its numbers are believed, and by which it is known again.

A server's log-probabilities of given ids look plausible also where they are those of the next row
(llama-cpp-python 0.3.36), of processed logits, or of another request. So some short texts are
written greedily, and their own ids are scored: a greedy token must be the likeliest of its
position, and its value must be that of its generation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

import numpy as np

from rdpt_core import ids
from rdpt_core.models.dialects import Completion, Dialect, Echoed, Prompt
from rdpt_core.models.http import ItemFailed
from rdpt_core.models.spec import Sampling
from rdpt_core.models.vocabulary import Vocabulary

T = TypeVar("T")

TEXTS = (
    "The sky is blue, and the grass is",
    "3 + 4 = 7, 12 - 5 = 7, 2 * 9 =",
    "Dear Ann, yesterday we went to the market and bought",
)
NUM_TOKENS = 24
CLOSE = 0.02
"""Nats of difference, in the mean; and 5% of the values themselves, for bfloat16."""
SHARE = 0.9
"""Of greedy tokens must be the likeliest of their position: rounding parts a tie now and then."""
NAMED = 0.6
"""Of them must be the next or the last token, for a refusal to name the shift."""
CLEAR = 0.5
"""Nats between the two likeliest tokens of a position that no rounding turns around."""
FEWEST = 3
SHIFTS = {1: "one token late", -1: "one token early"}
"""By which neighbour's value or token stands at a position: the next one's is a row too late."""

Write = Callable[[Prompt, Sampling, int], Completion]
"""Prompt, sampling, number of candidates."""
Echo = Callable[[Sequence[int]], Echoed]


@dataclass(frozen=True, slots=True)
class Seen:
    """A greedy text: by its generation, and as its ids are scored."""

    names: list[str]
    """Of its tokens, as the server's candidates are named."""
    best: list[str]
    """The likeliest candidate of each; "" where that is not told."""
    written: list[float] | None
    echoed: list[float]


def scoring_fault(write: Write, echo: Echo, dialect: Dialect, vocabulary: Vocabulary) -> str | None:
    """Why the scores of a server are not to be believed; None where nothing speaks against them."""
    if not dialect.scores:
        return 'with api = "chat" the server renders the prompt, so it is not ours to score'
    try:
        asked = [_text(write, text, vocabulary, dialect) for text in TEXTS]
        answers = [echo(token_ids) for token_ids, _, _ in asked]
        again = echo(asked[0][0])
    except ItemFailed as error:
        return f"it gives no log-probabilities of a prompt ({error})"
    seen = [
        Seen([dialect.name_of(i) for i in own], answer.best[-len(own) :], written,
             answer.logprobs[-len(own) :])
        for (_, own, written), answer in zip(asked, answers, strict=True) if own
    ]  # fmt: skip
    own = len(asked[0][1]) or len(asked[0][0]) - 1
    if not _close(answers[0].logprobs[-own:], again.logprobs[-own:]):
        return "its log-probabilities of one text depend on what was asked in between"
    return _fault(seen)


def _text(
    write: Write, text: str, vocabulary: Vocabulary, dialect: Dialect
) -> tuple[list[int], list[int], list[float] | None]:
    """Ids of prompt and greedy text, those of the text alone, and its generation's values."""
    prompt = vocabulary.encode(text)
    done = write(Prompt(prompt, text), greedy(NUM_TOKENS), 1)
    own = _read_again(text, prompt, done, vocabulary, dialect)
    told = None if done.logprobs is None else done.logprobs[: len(own)]
    return [*prompt, *own], own, told


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
        return _shifted(shift) if shift else (
            "at most positions of a greedy text, another token than its own is the likeliest: it "
            "reads other ids than were sent, or its log-probabilities are processed"
        )  # fmt: skip
    if compared and not _alike(seen, 0):
        shift = next((s for s in SHIFTS if _alike(seen, s)), None)
        return _shifted(shift) if shift else (
            "its log-probabilities of a text are not those with which it wrote the text"
        )  # fmt: skip
    return None


def _shifted(shift: int) -> str:
    return f"its echoed log-probabilities are shifted by one token ({SHIFTS[shift]})"


def _share(seen: Sequence[Seen], shift: int) -> float:
    """Of the positions whose likeliest token is the text's own, `shift` tokens on; only those
    count where that differs from the token itself."""
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


def fingerprint(write: Write, vocabulary: Vocabulary) -> str | None:
    """A digest of what a server writes greedily after a fixed text, up to the first token whose
    choice rounding could turn around; None for a server that tells no candidates."""
    prompt = vocabulary.encode(TEXTS[0])
    messages = ({"role": "user", "content": TEXTS[0]},)
    done = write(Prompt(prompt, TEXTS[0], messages), greedy(NUM_TOKENS), 2)
    if not done.best:
        return None
    likeliest = []
    for candidates in done.best:
        first, second = [*sorted(candidates.values(), reverse=True), -np.inf, -np.inf][:2]
        if first - second < CLEAR or not candidates:
            break
        likeliest.append(max(candidates, key=lambda name: candidates[name]))
    return ids.digest("greedy", likeliest)


def described(declared: dict[str, str], mark: str | None) -> str:
    """What identity takes of a server: what it declares, and how it writes."""
    return json.dumps({**declared, "greedy": mark}, sort_keys=True)
