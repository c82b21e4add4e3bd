"""`rdpt score`: log-probabilities as a slow reference computes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows import cli
from rdpt_core.tables.columns import read_parquet
from rdpt_core.tables.rows import TokenScores
from tests.conftest import ROOT
from tests.core.models import tiny
from tests.flows.tools.tables import rows_of_tool, write_rows

STUDENT = ROOT / "rdpt_core/pocket/models/student"


PROMPT = "Ann has 12 apples and buys 30 more. How many apples does she have now?"


TEXTS = ["12 + 30 = 42. The answer is 42.", " <|im_end|> so 🙂\n", ""]


@torch.inference_mode()
def one_by_one(model: Any, prompt: list[int], ids: list[int], num_ids: int) -> list[float]:
    """Float64 log-probability of each id, by one forward over what stands before it."""
    found = []
    for place, token_id in enumerate(ids):
        logits = model(input_ids=torch.tensor([[*prompt, *ids[:place]]])).logits[0, -1, :num_ids]
        found.append(float(torch.log_softmax(logits, 0)[token_id]))
    return found


def with_spec(folder: Path, **changed: Any) -> Path:
    """The folder, with parts of its tokenizer.json replaced."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return folder


def without_template(folder: Path) -> Path:
    """A SentencePiece model whose tokenizer writes BOS, and blanks before what it reads."""
    tiny.make_llama(folder, template=None)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A", special_tokens=[("<s>", bos)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def with_prefix_space(folder: Path) -> Path:
    """A byte-level model whose tokenizer puts a blank before every text."""
    tiny.make_qwen(folder)
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return with_spec(folder, pre_tokenizer=level)


@pytest.mark.parametrize("kind", ["pocket", "qwen", "llama", "no template", "prefix space"])
def test_scores_are_those_of_a_slow_reference(tmp_path: Path, kind: str) -> None:
    make = {
        "qwen": tiny.make_qwen,
        "llama": tiny.make_llama,
        "no template": without_template,
        "prefix space": with_prefix_space,
    }
    folder = STUDENT if kind == "pocket" else make[kind](tmp_path / "model")
    rows = [{"trace_id": text, "prompt": PROMPT, "text": text} for text in TEXTS]
    out = tmp_path / "s.parquet"
    file = write_rows(tmp_path / "t.jsonl", *rows)
    assert cli.main(["score", file, "--model", str(folder), "-o", str(out)]) == 0
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    found = read_parquet(TokenScores, out)
    assert [row.trace_id for row in found] == TEXTS
    for text, row in zip(TEXTS, found, strict=True):
        prompt = tokenizer(PROMPT).input_ids
        if tokenizer.chat_template:
            turn = [{"role": "user", "content": PROMPT}]
            prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True).input_ids
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        # float32 against float64 over the same ids: rounding alone
        wanted = one_by_one(model, prompt, ids, len(tokenizer))
        np.testing.assert_allclose(row.logprobs, wanted, atol=1e-4)
        assert sum(map(int, row.token_bytes)) == row.scored_stop == len(text.encode())
        assert (row.status, row.end_logprob, row.num_tag_tokens) == ("ok", None, 0)


def test_a_blank_of_the_tokenizer_owns_no_byte(tmp_path: Path) -> None:
    for make in (without_template, with_prefix_space):
        folder = make(tmp_path / make.__name__)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        file = write_rows(tmp_path / "t.jsonl", {"trace_id": "a", "prompt": PROMPT, "text": "*x"})
        (row,) = rows_of_tool(
            "score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl")
        )
        ids = tokenizer("*x", add_special_tokens=False, split_special_tokens=True).input_ids
        assert len(row["logprobs"]) == len(ids)
        assert row["token_bytes"][0] == len(tokenizer.convert_ids_to_tokens(ids)[0]) - 1
        assert sum(row["token_bytes"]) == 2


def test_a_thought_of_the_text_is_text_where_the_prompt_opens_one(tmp_path: Path) -> None:
    """The template of the tiny Llama ends its prompt with `<think>`: nothing closes it."""
    folder = tiny.make_llama(tmp_path / "model")
    text = "First I add.\n</think>\n\nThe answer is 42."
    file = write_rows(tmp_path / "t.jsonl", {"trace_id": "a", "prompt": PROMPT, "text": text})
    (row,) = rows_of_tool("score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl"))
    assert row["tag_logprob"] is None
    assert None not in row["logprobs"]
    assert sum(row["token_bytes"]) == len(text)


def test_what_cannot_be_scored_has_a_status_and_no_numbers_for_it(tmp_path: Path) -> None:
    folder = tiny.make_llama(tmp_path / "model")
    rows: list[dict[str, Any]] = [
        {"trace_id": "a", "prompt": PROMPT, "text": "so 42 " * 300},
        {"trace_id": "b", "prompt": None, "text": "x"},
        {"trace_id": "c", "prompt": "x", "text": None},
        {"trace_id": "d", "prompt": "x", "text": "a real \u2581"},
        {"trace_id": "e", "prompt": "x", "text": "42"},
    ]
    file = write_rows(tmp_path / "t.jsonl", *rows)
    found = rows_of_tool("score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl"))
    assert [row["status"] for row in found] == ["partial", "error", "error", "error", "ok"]
    assert [row["trace_id"] for row in found] == ["a", "b", "c", "d", "e"]
    assert 0 < sum(found[0]["token_bytes"]) == found[0]["scored_stop"] < len("so 42 " * 300)
    for row in found[1:4]:
        assert (row["token_bytes"], row["logprobs"], row["scored_stop"]) == ([], [], 0)
