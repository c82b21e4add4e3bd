"""The bytes of a text behind the ids of a tokenizer that minds its first blank."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import Vocabulary
from tests.core.models import tiny


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    return read_vocabulary(tiny.make_llama(tmp_path / "llama"))


@pytest.mark.fault("F34")
@pytest.mark.parametrize("text", ["so 42", " so 42", "  so 42", "\nso", " ", "", "é 數", "*"])
def test_lengths_of_a_text_alone_sum_to_its_bytes(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode_alone(text)
    lengths = vocabulary.lengths_alone(ids, text.encode())
    assert lengths is not None
    assert len(lengths) == len(ids)
    assert sum(lengths) == len(text.encode())
    assert min(lengths, default=0) >= 0


def test_t29_a_limit_or_a_padding_that_a_tokenizer_was_saved_with_is_none(tmp_path: Path) -> None:
    plain = Vocabulary(tiny.byte_level(["<|end|>"]))
    saved = tiny.byte_level(["<|end|>"])
    saved.enable_truncation(3)
    saved.enable_padding(length=200)
    saved.save(str(tmp_path / "tokenizer.json"))
    read = Vocabulary(Tokenizer.from_file(str(tmp_path / "tokenizer.json")))
    text = "How much is 12 and 30? <|end|>"
    assert read.parse(text) == plain.parse(text)
    assert read.encode(text) == plain.encode(text)
    assert read.digest == plain.digest


PLAIN = [
    AddedToken("<br>", special=False, normalized=False),
    AddedToken(" answer", special=False, normalized=False),
    AddedToken("<table>", special=False, normalized=True),
    AddedToken("word", special=False, single_word=True),
    AddedToken("[left]", special=False, lstrip=True),
    AddedToken("[right]", special=False, rstrip=True),
    AddedToken("<think>", special=False, normalized=False),
    AddedToken("</think>", special=False, normalized=False),
]
"""Added tokens that are no special ones, as published tokenizers have them."""
SOME = st.lists(
    st.sampled_from(
        [token.content for token in PLAIN] + ["<|end|>", " ", "\n", "the", "wordy", "so"]
    )
    | st.text("ab <>/[]", max_size=4)
).map("".join)


@pytest.mark.parametrize("family", ["byte-level", "SentencePiece"])
@given(text=SOME)
def test_t45_a_text_is_encoded_as_the_tokenizer_itself_does_without_special_tokens(
    family: str, text: str
) -> None:
    known, theirs = with_plain_tokens(family)
    ids = theirs.encode(text, add_special_tokens=False).ids
    assert known.encode(text, start=True) == ids
    assert not any(map(known.is_control, ids))
    lengths = known.lengths(ids, text.encode())
    assert lengths is not None
    assert sum(lengths) == len(text.encode())


@cache
def with_plain_tokens(family: str) -> tuple[Vocabulary, Tokenizer]:
    """The tokenizer as rdpt reads it, and as its library does with `encode_special_tokens`."""
    make = tiny.byte_level if family == "byte-level" else tiny.sentence_piece
    theirs = make(["<|end|>"])
    theirs.add_tokens(PLAIN)
    known = Vocabulary(Tokenizer.from_str(theirs.to_str()))
    theirs.encode_special_tokens = True
    return known, theirs


def test_t45_a_plain_added_token_is_one_id_and_a_declared_delimiter_is_text() -> None:
    known, theirs = with_plain_tokens("byte-level")
    text = "<br> answer<think>"
    names = [known.bytes_of(one).decode() for one in known.encode(text)]
    assert names == ["<br>", " answer", "<think>"]
    guarded = known.guarding(["<think>\n", "\n</think>\n\n", "The answer:"])
    (tag,) = known.parse("<think>")
    assert (known.is_control(tag), guarded.is_control(tag)) == (False, True)
    ids = guarded.encode(text)
    assert tag not in ids
    assert theirs.token_to_id(" answer") in ids, "a word of a delimiter is a word"
    assert guarded.join(ids).decode() == text
    assert guarded.parse("<think>") == [tag]
    assert guarded.digest == known.digest


def test_t45_ids_of_a_tokenizer_that_leaves_some_out_are_its_own() -> None:
    """Added tokens are numbered behind the vocabulary, and a file may have gaps there."""
    tokenizer = tiny.byte_level(["<|end|>"])
    spec = json.loads(tokenizer.to_str())
    size = tokenizer.get_vocab_size()
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    spec["model"]["vocab"]["<br>"] = size + 7
    spec["added_tokens"].append({"id": size + 7, "content": "<br>", "special": False, **added})
    known = Vocabulary(Tokenizer.from_str(json.dumps(spec)))
    assert known.encode("<br>") == [size + 7]


def test_the_first_token_owns_blanks_that_were_swallowed(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("*x")
    plain = vocabulary.lengths_alone(ids, b"*x")
    assert plain is not None
    assert vocabulary.lengths_alone(ids, b"  *x") == [plain[0] + 2, *plain[1:]]
    assert vocabulary.lengths_alone(ids, b"*y") is None


@pytest.mark.fault("F34")
@pytest.mark.parametrize("text", ["so 43", "é 數學", "🙂 so", "e\u0301", "so 42 "])
def test_t15_ids_that_are_not_the_bytes_of_the_text_have_no_lengths(
    vocabulary: Vocabulary, text: str
) -> None:
    for known in (vocabulary, Vocabulary(tiny.byte_level([]))):
        ids = known.encode(text)
        assert sum(known.lengths(ids, text.encode()) or [0]) == len(text.encode())
        assert known.lengths(ids[:-1], text.encode()) is None
        assert known.lengths(ids, text.encode()[::-1]) is None


def test_a_byte_level_tokenizer_keeps_its_prefix_space_only_alone() -> None:
    tokenizer = tiny.byte_level([])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    vocabulary = Vocabulary(tokenizer)
    assert vocabulary.join(vocabulary.encode("*x", start=True)) == b"*x"
    assert vocabulary.join(vocabulary.encode_alone("*x")) == b" *x"
