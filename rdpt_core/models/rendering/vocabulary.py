"""A tokenizer as rdpt uses it: ids and the bytes that they stand for.

The one distinction drawn here: `parse` reads what a template wrote, where `<|im_end|>` is a control
token; `encode` reads what somebody wrote, where the same characters are text. Control tokens are
the tokenizer's special tokens and the delimiters that the contract declares; its other added tokens
(`<tool_call>`, `<br>`, words) are one id each in both, as engines write them. Both come from
`tokenizer.json`, the file that the identity hashes; Unicode normalisation is left out of `encode`,
so that the bytes of a text can be covered exactly (equal ids for text that is already normal).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer

BLANK = "\u2581"  # how SentencePiece writes a space


def _byte_alphabet() -> dict[str, int]:
    """Character to byte in the alphabet of byte-level BPE: printable bytes stand for themselves,
    the others are written as the characters from U+0100 on, in order."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    alphabet = {chr(byte): byte for byte in shown}
    alphabet.update({chr(0x100 + index): byte for index, byte in enumerate(hidden)})
    return alphabet


ALPHABET = _byte_alphabet()


class Vocabulary:
    """The tokenizer of a model folder.

    Raises ValueError for a tokenizer whose tokens have no bytes (WordPiece and its kin).
    """

    def __init__(self, backend: Tokenizer, special: dict[str, str] | None = None) -> None:
        # Trainers save a tokenizer with the padding and the limit that they last used: with them a
        # prompt would be cut, or filled up, without a word.
        backend.no_truncation()
        backend.no_padding()
        spec = json.loads(backend.to_str())
        self._parser = backend
        self._special = special or {}
        self._added: dict[int, dict[str, Any]] = {item["id"]: item for item in spec["added_tokens"]}
        self._byte_level = '"type": "ByteLevel"' in json.dumps(spec["decoder"])
        if not self._byte_level and BLANK not in json.dumps(spec["decoder"], ensure_ascii=False):
            raise ValueError(
                "the tokenizer is neither a byte-level BPE nor of the SentencePiece family: the "
                "bytes of its tokens are unknown; use a model with one of these"
            )
        self._apart = {key for key, item in self._added.items() if not _is_space(item["content"])}
        self._taking = {
            key for key, item in self._added.items() if item["lstrip"] or item["rstrip"]
        }
        self._steps = {name: spec[name] for name in ("normalizer", "pre_tokenizer")}
        self._read_as_text(frozenset())
        self._bytes: dict[int, bytes] = {}
        self.size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        """Ids from here on are padding of the weights: they are cut off before any softmax."""
        self.digest = hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:32]

    @property
    def special(self) -> dict[str, str]:
        """Named control tokens (`bos_token`, `eos_token`, ...), as templates see them."""
        return dict(self._special)

    @property
    def added(self) -> frozenset[str]:
        return frozenset(item["content"] for item in self._added.values())

    def id_of(self, token: str | None) -> int | None:
        found = None if token is None else self._parser.token_to_id(token)
        return None if found is None else int(found)

    def is_control(self, token_id: int) -> bool:
        """True if `encode` never gives this id: a special token, or a guarded one."""
        return token_id in self._control

    def stands_apart(self, token_id: int) -> bool:
        """True for an added token with other characters than whitespace: text is cut at it before
        anything is merged."""
        return token_id in self._apart

    def guarding(self, delimiters: Iterable[str]) -> Vocabulary:
        """The same tokenizer, to which these delimiters are text where somebody wrote them.

        Only delimiters that are spelled by added tokens alone: a plain "Answer:" may be written.
        """
        spelled: set[str] = set()
        for delimiter in delimiters:
            ids = self.parse(delimiter.strip())
            if all(map(self.stands_apart, ids)):
                spelled |= {self._added[token_id]["content"] for token_id in ids}
        known = {self._added[key]["content"] for key in self._control}
        if spelled <= known:
            return self
        other = copy.copy(self)
        other._read_as_text(self._guarded | spelled)
        return other

    def holds_control(self, text: str) -> bool:
        return any(self._added[key]["content"] in text for key in self._control)

    def parse(self, text: str, add_special: bool = False) -> list[int]:
        """Ids of a rendered prompt or delimiter: control tokens are recognised."""
        return list(self._parser.encode(text, add_special_tokens=add_special).ids)

    def encode(self, text: str, start: bool = False) -> list[int]:
        """Ids of somebody's text: nothing in it is a control token.

        `start` says that the text stands alone, where SentencePiece puts its dummy blank.
        """
        return self._encoded(self._starter if start else self._encoder, text)

    def _encoded(self, encoder: Tokenizer, text: str) -> list[int]:
        found: list[int] = list(encoder.encode(text, add_special_tokens=False).ids)
        if self._renamed:
            found = [self._renamed.get(token_id, token_id) for token_id in found]
        wrong = [token_id for token_id in found if token_id in self._control]
        if wrong:
            raise ValueError(
                f"the tokenizer writes {text[:40]!r} with {self._added[wrong[0]]['content']}: it "
                "has no tokens for this text, or reads control tokens where there are none"
            )
        return found

    def encode_alone(self, text: str) -> list[int]:
        """`encode`, with the space that the tokenizer itself puts before a text."""
        return self._encoded(self._alone, text)

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes that a token adds to the text; empty for ids that the tokenizer lacks."""
        found = self._bytes.get(token_id)
        if found is None:
            found = self._bytes[token_id] = self._read(token_id)
        return found

    def join(self, token_ids: Iterable[int]) -> bytes:
        return b"".join(self.bytes_of(token_id) for token_id in token_ids)

    def decode(self, token_ids: Sequence[int], start: bool = False) -> str:
        """The sampled text: every token shown, SentencePiece's dummy blank dropped at a `start`,
        bytes that are no UTF-8 replaced (such ids no longer map onto the text's bytes)."""
        joined = self.join(token_ids)
        if start and not self._byte_level and joined.startswith(b" "):
            joined = joined[1:]
        return joined.decode("utf-8", errors="replace")

    def lengths(self, token_ids: Sequence[int], text: bytes) -> list[int] | None:
        """Bytes of `text` that each token covers; None where the tokens are not the text.

        The dummy blank of SentencePiece owns no byte; an added token owns the whitespace that it
        takes beside itself (`lstrip`, `rstrip`).
        """
        tokens = [self.bytes_of(token_id) for token_id in token_ids]
        sizes = self._cover(token_ids, tokens, text)
        if sizes is None and not self._byte_level:
            sizes = self._cover(token_ids, tokens, b" " + text)
            if sizes is not None:
                sizes[next(index for index, size in enumerate(sizes) if size)] -= 1
        return sizes

    def _cover(
        self, token_ids: Sequence[int], tokens: Sequence[bytes], text: bytes
    ) -> list[int] | None:
        if b"".join(tokens) == text:
            return [len(token) for token in tokens]
        if not self._taking.intersection(token_ids):
            return None
        sizes: list[int] = []
        at, loose = 0, False
        for token_id, token in zip(token_ids, tokens, strict=True):
            rules = self._added.get(token_id, {})
            found = _find(text, token, at, loose or rules.get("lstrip", False))
            if found is None:
                return None
            if loose:  # the whitespace belongs to the token before
                sizes[-1] += found - at
                at = found
            sizes.append(found - at + len(token))
            at, loose = found + len(token), rules.get("rstrip", False)
        if loose and not text[at:].strip():
            sizes[-1] += len(text) - at
            at = len(text)
        return sizes if at == len(text) else None

    def lengths_alone(self, token_ids: Sequence[int], text: bytes) -> list[int] | None:
        """`lengths` for ids of `encode_alone`. A space that the tokenizer put in front owns no
        byte; whitespace that it dropped there belongs to the first token that has bytes."""
        tokens = [self.bytes_of(token_id) for token_id in token_ids]
        sizes = [len(token) for token in tokens]
        joined = b"".join(tokens)
        if joined.lstrip(b" ") != text.lstrip(b" "):
            return None
        blanks = len(joined) - len(text)
        owner = next((index for index, size in enumerate(sizes) if size), None)
        if blanks < 0:  # swallowed
            if owner is None:
                return None
            sizes[owner] -= blanks
        for index, size in enumerate(sizes):  # put in front
            taken = min(size, max(0, blanks))
            sizes[index] -= taken
            blanks -= taken
        return sizes

    def _read_as_text(self, guarded: frozenset[str]) -> None:
        """Makes the readers to which special tokens and `guarded` ones are text."""
        self._guarded = guarded
        self._control = {key for key in self._apart if self._is_guarded(self._added[key])}
        self._encoder = self._starter = self._text_reader(dummy_prefix=False)
        if not self._byte_level:
            self._starter = self._text_reader(dummy_prefix=True)
        self._alone = self._starter
        if '"add_prefix_space": true' in json.dumps(self._steps["pre_tokenizer"]):
            self._alone = self._text_reader(dummy_prefix=True, prefix_space=True)
        # A reader counts added tokens without the gaps that a file may have.
        ids_there = {
            key: self._encoder.token_to_id(item["content"]) for key, item in self._added.items()
        }
        self._renamed = {
            there: own for own, there in ids_there.items() if there is not None and there != own
        }

    def _is_guarded(self, item: dict[str, Any]) -> bool:
        return bool(item["special"]) or item["content"] in self._guarded

    def _text_reader(self, dummy_prefix: bool, prefix_space: bool = False) -> Tokenizer:
        """The tokenizer that reads control tokens as text, without Unicode normalisation and
        post-processing.

        Added tokens of whitespace alone (GPT-NeoX, Gemma) are ordinary vocabulary. The model is
        shared with the parser: large vocabularies take seconds to read.
        """
        cut = self._steps["pre_tokenizer"]
        steps = {
            "normalizer": _blanks_only(self._steps["normalizer"], dummy_prefix),
            "pre_tokenizer": cut
            if prefix_space
            else _without_prefix(copy.deepcopy(cut), dummy_prefix),
        }
        empty = {"type": "BPE", "vocab": {}, "merges": []}
        shell = Tokenizer.from_str(json.dumps({"added_tokens": [], "model": empty, **steps}))
        reader = Tokenizer(self._parser.model)
        reader.normalizer, reader.pre_tokenizer = shell.normalizer, shell.pre_tokenizer
        for item in self._added.values():
            special = not _is_space(item["content"]) and self._is_guarded(item)
            rules = {name: item[name] for name in ("single_word", "lstrip", "rstrip", "normalized")}
            token = AddedToken(item["content"], special=special, **rules)
            reader.add_special_tokens([token]) if special else reader.add_tokens([token])
        reader.encode_special_tokens = True
        return reader

    def _read(self, token_id: int) -> bytes:
        added = self._added.get(token_id)
        token = self._parser.id_to_token(token_id)
        if added is not None:
            content: str = added["content"]
            return (content.replace(BLANK, " ") if _is_space(content) else content).encode()
        if token is None:
            return b""
        if self._byte_level:
            return bytes(ALPHABET[char] for char in token)
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes([int(token[3:5], 16)])
        return str(token).replace(BLANK, " ").encode()


def _find(text: bytes, token: bytes, at: int, loose: bool) -> int | None:
    """Where a token begins: here, or where it is `loose`, behind whitespace; else None."""
    while loose and not text.startswith(token, at) and text[at : at + 1].isspace():
        at += 1
    return at if text.startswith(token, at) else None


def _is_space(content: str) -> bool:
    return not content.replace(BLANK, "").strip()


def _blanks_only(normalizer: Any, dummy_prefix: bool) -> Any:
    """The steps of a normaliser that write spaces for SentencePiece."""
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    kept = [
        step
        for step in steps
        if (step["type"] == "Prepend" and dummy_prefix)
        or (step["type"] == "Replace" and step["content"] == BLANK)
    ]
    return {"type": "Sequence", "normalizers": kept} if kept else None


def _without_prefix(pre_tokenizer: Any, dummy_prefix: bool) -> Any:
    whole = pre_tokenizer or {}
    for step in whole.get("pretokenizers", [pre_tokenizer] if pre_tokenizer else []):
        if step["type"] == "ByteLevel":
            step["add_prefix_space"] = False
        if step["type"] == "Metaspace" and not dummy_prefix:
            step["prepend_scheme"] = "never"
    return pre_tokenizer
