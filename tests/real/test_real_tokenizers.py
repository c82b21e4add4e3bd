"""Contracts of real families, and every byte of real traces under real tokenizers.

Traps are named as in docs/scoring.md.
"""

from __future__ import annotations

import datetime
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer

from rdpt_core.models.rendering.contract import ClosedThinking, UndeclaredThinking
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.models.rendering.template_worker import CLOCK
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import Thinking
from rdpt_core.tables.rows import FinishReason, Trace
from tests.core.models import tiny
from tests.real import data

pytestmark = data.needed

Q = tiny.problem("Q?")
THOUGHT = "<think>\nSo 4.\n</think>\n\nIt is 4."
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
TAGS = ("<think>\n", "\n</think>\n\n")
CHANNELS = (ANALYSIS, f"<|end|><|start|>assistant{FINAL}")

CONTRACTS: dict[tuple[str, bool | None], tuple[object, ...]] = {
    ("qwen2.5", None): (None, "", "", "", False, "<|im_end|>"),
    ("qwen3", None): ("trace", *TAGS, "", False, "<|im_end|>"),
    ("qwen3", True): ("trace", *TAGS, "", False, "<|im_end|>"),
    ("qwen3", False): ("trace", *TAGS, "", True, "<|im_end|>"),
    ("qwq", None): ("prompt", *TAGS, "", False, "<|im_end|>"),
    ("r1-distill", None): ("prompt", *TAGS, "", False, data.R1_TOKENS[0][0]),
    ("gpt-oss", None): ("trace", *CHANNELS, FINAL, False, "<|return|>"),
    ("mistral", None): (None, "", "", "", False, "</s>"),
    ("nemo", None): (None, "", "", "", False, "</s>"),
}
"""Where the thought opens, its delimiters, an answer's header, whether it is closed, the end."""


def trace(text: str, delimiters: str = "<think>") -> Trace:
    return tiny.trace(text, Q, FinishReason.STOP, delimiters)


def tokens(of: Renderer, ids: Sequence[int]) -> list[str]:
    return [of.vocabulary.bytes_of(token_id).decode() for token_id in ids]


def laid(of: Renderer, text: str) -> list[str]:
    return tokens(of, of.lay(Q, trace(text)).completion_ids)


@pytest.mark.parametrize(("family", "think"), CONTRACTS)
def test_t2_t7_the_contract_of_each_family(family: str, think: bool | None) -> None:
    of = data.renderer(family, think)
    found = of.contract
    assert found.end is not None
    assert CONTRACTS[family, think] == (
        *(found.think_open, found.open, found.close, found.answer_open, found.closed),
        of.vocabulary.bytes_of(found.end).decode(),
    )


@pytest.mark.parametrize("family", ["qwen2.5", "qwen3", "gpt-oss", "mistral"])
@pytest.mark.parametrize("think", [None, False])
def test_a_prompt_has_the_ids_of_transformers(family: str, think: bool | None) -> None:
    of = data.renderer(family, think)
    theirs = AutoTokenizer.from_pretrained(data.folder(data.TEMPLATES[family][0]))
    asked: dict[str, Any] = {} if think is None else {"enable_thinking": think}
    text: Any = theirs.apply_chat_template(
        [{"role": "user", "content": Q.prompt}],
        chat_template=data.template_source(family),
        add_generation_prompt=True,
        tokenize=False,
        **asked,
    )
    today = datetime.date.today().isoformat()
    text = text.replace(f"Current date: {today}", f"Current date: {CLOCK.date().isoformat()}")
    assert of.prompt_ids(Q) == theirs(text, add_special_tokens=False)["input_ids"]


def test_t7_gpt_oss_reads_a_thought_and_an_answer_in_their_channels() -> None:
    of = data.renderer("gpt-oss")
    answer = ["<|channel|>", "final", "<|message|>", "It", " is", " ", "4", ".", "<|return|>"]
    assert laid(of, THOUGHT) == [
        *("<|channel|>", "analysis", "<|message|>", "So", " ", "4", "."),
        *("<|end|>", "<|start|>", "assistant", *answer),
    ]
    assert laid(of, "It is 4.") == answer, "an answer alone has its header too"
    assert tokens(of, of.prompt_ids(Q))[-2:] == ["<|start|>", "assistant"]


@pytest.mark.parametrize("think", [None, "none"])
def test_t7_a_turn_of_gpt_oss_is_that_of_its_template(think: str | None) -> None:
    of = data.renderer("gpt-oss", thinking=think)
    assert of.template is not None
    thought = {"thinking": "So 4."} if think is None else {}
    content = "It is 4." if think is None else "So 4.\n\nIt is 4."
    turn = {"role": "assistant", "content": content, **thought}
    whole = of.template.render([{"role": "user", "content": "Q?"}, turn], generation=False)
    layout = of.lay(Q, trace(THOUGHT))
    assert of.vocabulary.join(layout.input_ids).decode() == whole
    if think is None:
        assert layout.input_ids == of.vocabulary.parse(whole)


def test_t7_what_gpt_oss_writes_is_parsed_and_laid_back_as_written() -> None:
    of = data.renderer("gpt-oss")
    text = f"{ANALYSIS} So 4. \n{CHANNELS[1]}\nIt is <|end|> 4."
    zones = of.zones(text)
    assert [(zone.kind.value, text[zone.start : zone.stop]) for zone in zones] == [
        ("tag", f"{ANALYSIS} "),
        ("thought", "So 4."),
        ("tag", f" \n{CHANNELS[1]}\n"),
        ("answer", "It is <|end|> 4."),
    ]
    bare, cut = f"{FINAL}It is 4.", f"{ANALYSIS}So 4"
    assert [zone.kind.value for zone in of.zones(bare)] == ["tag", "answer"]
    assert [zone.kind.value for zone in of.zones(cut)] == ["tag", "thought"]
    end = of.contract.end
    for written in (text, bare):
        ids = np.array([*of.vocabulary.parse(written), end], np.int32)
        own = tiny.trace(written, Q, FinishReason.STOP)
        layout = of.lay(Q, _sampled(own, ids, of), sampled=True)
        assert not layout.retokenized
        assert layout.completion_ids == ids.tolist()
        assert sum(piece.num_bytes for piece in layout.pieces) == len(written)


def _sampled(own: Trace, ids: NDArray[np.int32], of: Renderer) -> Trace:
    return replace(own, token_ids=ids, zones=of.zones(own.text))


def test_t8_gpt_oss_writes_the_frozen_date() -> None:
    of = data.renderer("gpt-oss")
    assert "Current date: 2025-01-01" in of.vocabulary.join(of.prompt_ids(Q)).decode()


def test_qwen_thinks_between_tags_that_are_tokens() -> None:
    of = data.renderer("qwen3", think=True)
    answer = ["It", " is", " ", "4", ".", "<|im_end|>"]
    assert laid(of, THOUGHT) == [
        *("<think>", "\n", "So", " ", "4", ".", "\n", "</think>", "\n\n"),
        *answer,
    ]
    assert laid(of, "It is 4.") == answer
    opened = data.renderer("qwq")
    assert laid(opened, THOUGHT) == ["So", " ", "4", ".", "\n", "</think>", "\n\n", *answer]
    assert tokens(opened, opened.prompt_ids(Q))[-3:] == ["\n", "<think>", "\n"]


def test_r1_distills_open_the_thought_in_the_prompt() -> None:
    of = data.renderer("r1-distill")
    bos, user, assistant = (data.R1_TOKENS[at][0] for at in (3, 1, 2))
    assert tokens(of, of.prompt_ids(Q)) == [bos, user, "Q", "?", assistant, "<think>", "\n"]
    assert laid(of, THOUGHT)[:6] == ["So", " ", "4", ".", "\n", "</think>"]


def test_t4_with_thinking_off_a_thought_is_refused_and_an_answer_is_not() -> None:
    of = data.renderer("qwen3", think=False)
    assert tokens(of, of.prompt_ids(Q))[-4:] == ["<think>", "\n\n", "</think>", "\n\n"]
    with pytest.raises(ClosedThinking, match="`think = true`"):
        of.lay(Q, trace(THOUGHT))
    assert laid(of, "It is 4.") == ["It", " is", " ", "4", ".", "<|im_end|>"]


@pytest.mark.parametrize("family", ["qwen2.5", "mistral"])
def test_a_model_without_delimiters_needs_declared_ones_for_a_thought(family: str) -> None:
    of = data.renderer(family)
    with pytest.raises(UndeclaredThinking, match='thinking = "none"'):
        of.lay(Q, trace(THOUGHT))
    of = data.renderer(family, thinking=Thinking(open=TAGS[0], close=TAGS[1]))
    joined = of.vocabulary.join(of.lay(Q, trace(THOUGHT)).completion_ids[:-1]).decode()
    assert joined.lstrip() == THOUGHT
    none = data.renderer(family, thinking="none")
    joined = none.vocabulary.join(none.lay(Q, trace(THOUGHT)).completion_ids[:-1]).decode()
    assert joined.lstrip() == "So 4.\n\nIt is 4."


def test_a_turn_of_mistral_is_that_of_its_template() -> None:
    """SentencePiece's blank before an answer is the one that the template writes."""
    of = data.renderer("mistral")
    assert of.template is not None
    turn = {"role": "assistant", "content": "It is 4."}
    whole = of.template.render([{"role": "user", "content": "Q?"}, turn], generation=False)
    assert of.lay(Q, trace("It is 4.")).input_ids == of.vocabulary.parse(whole)


@pytest.mark.parametrize("name", data.TOKENIZERS)
def test_a_base_model_reads_the_problem_alone(name: str) -> None:
    of = data.base(name)
    assert tokens(of, of.prompt_ids(Q)) == (["<s>", " Q", "?"] if "mistral" in name else ["Q", "?"])
    assert of.contract.bos == "tokenizer"
    # Qwen3's tokenizer has the tags although nothing shows how they are used.
    assert of.contract.think_open == ("trace" if name == "qwen3" else None)


@pytest.mark.parametrize("family", data.TEMPLATES)
def test_t10_a_prompt_has_the_bos_of_its_template_and_no_other(family: str) -> None:
    of = data.renderer(family)
    bos = of.vocabulary.id_of(of.vocabulary.special.get("bos_token"))
    writes = "bos_token" in data.template_source(family)
    assert of.prompt_ids(Q).count(-1 if bos is None else bos) == int(writes)


def test_expected_ids_of_every_text() -> None:
    """The vectors were made with control tokens recognised, which `parse` does and `encode` never;
    texts that hold one are therefore the only exceptions (T16)."""
    wrong, read_as_text = [], 0
    for row in data.vectors():
        known = data.vocabulary(row["tokenizer"])
        assert known.parse(row["text"]) == row["ids"]
        if any(map(known.is_control, row["ids"])):
            read_as_text += 1
            found = known.encode_alone(row["text"])
            assert not any(map(known.is_control, found))
        elif known.encode(row["text"], start=True) != row["ids"]:
            wrong.append(row["text"])
    assert wrong == []
    assert read_as_text == 2


PLAIN = ("<br>", " answer", "<table>", "Wait", "\\boxed")


@pytest.mark.parametrize("name", data.TOKENIZERS)
@settings(max_examples=200, deadline=None)
@given(text=st.data())
def test_t45_with_plain_added_tokens_a_text_has_the_tokenizer_s_own_ids(
    name: str, text: st.DataObject
) -> None:
    known, theirs = _with_plain_tokens(name)
    special = [item.content for item in theirs.get_added_tokens_decoder().values()]
    pieces = st.sampled_from([*PLAIN, *special, " the", "\n\n", " = 4."]) | st.text(max_size=5)
    said = unicodedata.normalize("NFC", "".join(text.draw(st.lists(pieces, max_size=8))))
    ids = theirs.encode(said, add_special_tokens=False).ids
    assert known.encode(said, start=True) == ids
    assert sum(known.lengths(ids, said.encode()) or [0]) == len(said.encode())


@cache
def _with_plain_tokens(name: str) -> tuple[Vocabulary, Tokenizer]:
    theirs = data.backend(name)
    theirs.add_tokens([AddedToken(one, special=False, normalized=False) for one in PLAIN])
    known = Vocabulary(Tokenizer.from_str(theirs.to_str()))
    theirs.encode_special_tokens = True
    return known, theirs


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", data.TOKENIZERS)
def test_t15_every_byte_of_every_trace_is_covered_once(name: str) -> None:
    known, theirs = data.vocabulary(name), data.backend(name)
    met: Counter[str] = Counter()
    for text in data.traces():
        raw = text.encode()
        ids = known.encode(text, start=True)
        lengths = known.lengths(ids, raw)
        assert lengths is not None
        assert (sum(lengths), len(lengths)) == (len(raw), len(ids))
        assert known.decode(ids, start=True) == text
        met.update(tokens=len(ids), traces=1, straddling=_offsets_apart(theirs, text, ids, lengths))
    assert met["traces"] > 0
    assert met["straddling"] < met["tokens"] / 50, "offsets are sound almost everywhere"


def _offsets_apart(theirs: Any, text: str, ids: list[int], lengths: list[int]) -> int:
    """Tokens whose characters, as the tokenizer tells them, are not those of their bytes. All of
    them begin or end inside a character; elsewhere the two agree."""
    found = theirs.encode(text, add_special_tokens=False)
    if found.ids != ids:  # a control token in the text
        return 0
    widths = np.array([len(char.encode()) for char in text], np.int64)
    edges = np.concatenate(([0], np.cumsum(widths)))
    stops = np.cumsum(lengths)
    starts = stops - lengths
    told = edges[np.array(found.offsets, np.int64).reshape(-1, 2)]
    apart = (told[:, 0] != starts) | (told[:, 1] != stops)
    # SentencePiece's blank in front, where it is a token of its own, is told the first character.
    inside = ~(np.isin(starts, edges) & np.isin(stops, edges)) | (stops == 0)
    assert not (apart & ~inside).any()
    return int(apart.sum())
