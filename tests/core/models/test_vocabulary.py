"""The bytes of a text behind the ids of a tokenizer that minds its first blank."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from rdpt_core.models.vocabulary import Vocabulary, read_vocabulary
from tests.core.models import tiny


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    return read_vocabulary(tiny.make_llama(tmp_path / "llama"))


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


def test_the_first_token_owns_blanks_that_were_swallowed(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("*x")
    plain = vocabulary.lengths_alone(ids, b"*x")
    assert plain is not None
    assert vocabulary.lengths_alone(ids, b"  *x") == [plain[0] + 2, *plain[1:]]
    assert vocabulary.lengths_alone(ids, b"*y") is None


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
