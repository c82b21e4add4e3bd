"""The shipped folders load anywhere, round-trip any text, and prompt as described."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from math_verify import parse, verify
from transformers import AutoModelForCausalLM, AutoTokenizer

from perf.pocket.corpus import Role, student_examples, teacher_examples
from perf.pocket.train import rendered
from perf.pocket.vocabulary import completion
from rdpt_core.pocket import MODELS

ROLES: tuple[Role, ...] = ("teacher", "student")
QUESTION = [{"role": "user", "content": "Tom has 12 eggs. How many eggs does Tom have?"}]
TOKENIZERS: dict[Role, Any] = {role: AutoTokenizer.from_pretrained(MODELS / role) for role in ROLES}


@pytest.mark.parametrize(
    ("role", "low", "high", "megabytes"), [("teacher", 6.0, 7.0, 14.0), ("student", 1.3, 1.7, 3.5)]
)
def test_sizes_are_as_promised(role: Role, low: float, high: float, megabytes: float) -> None:
    model = AutoModelForCausalLM.from_pretrained(MODELS / role)
    assert model.dtype == torch.bfloat16
    assert low <= model.num_parameters() / 1e6 <= high
    assert (MODELS / role / "model.safetensors").stat().st_size <= megabytes * 1e6
    assert model.config.vocab_size == len(TOKENIZERS[role]) <= 2048


def test_all_shipped_weights_stay_small() -> None:
    assert sum(f.stat().st_size for f in MODELS.rglob("*") if f.is_file()) <= 30e6


@pytest.mark.parametrize("role", ROLES)
def test_a_model_runs(role: Role) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(MODELS / role, dtype=torch.float32)
    tokenizer = TOKENIZERS[role]
    prompt = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert written.shape[1] > prompt["input_ids"].shape[1]
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("role", ROLES)
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_comes_back_as_it_was(role: Role, text: str) -> None:
    tokenizer = TOKENIZERS[role]
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_teachers_digits_are_single_and_the_students_are_not() -> None:
    teacher = TOKENIZERS["teacher"].tokenize("12 + 3 = 15", add_special_tokens=False)
    student = TOKENIZERS["student"].tokenize("12 + 3 = 15", add_special_tokens=False)
    assert "12" not in teacher
    assert "1" in teacher
    assert "12" in student


def test_the_teachers_prompt_opens_the_thought_and_the_students_does_not() -> None:
    teacher = TOKENIZERS["teacher"].apply_chat_template(
        QUESTION, add_generation_prompt=True, tokenize=False
    )
    student = TOKENIZERS["student"].apply_chat_template(
        QUESTION, add_generation_prompt=True, tokenize=False
    )
    assert teacher.endswith("<think>\n")
    assert "<think>" not in student
    assert student.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("role", ROLES)
def test_tags_are_single_tokens_that_decoding_keeps(role: Role) -> None:
    tokenizer = TOKENIZERS[role]
    text = "<think>\nA.\n</think>\n\nB."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.convert_tokens_to_ids("<think>")) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("role", ROLES)
def test_a_chat_in_pieces_has_the_tokens_of_the_whole(role: Role) -> None:
    """The prompt's tokens are a prefix: thought and answer never melt into it."""
    tokenizer = TOKENIZERS[role]
    example = next(teacher_examples(0) if role == "teacher" else student_examples(late=1))
    ids, learned = rendered(example, role, tokenizer)
    chat = [{"role": "user", "content": example.question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    whole = prompt + completion(role, example.thought, example.answer, tokenizer.eos_token)
    assert tokenizer(whole, add_special_tokens=False)["input_ids"] == ids
    assert tokenizer.decode(ids[: learned.index(True)]) == prompt


@pytest.mark.parametrize("role", ROLES)
def test_no_token_crosses_the_end_of_a_sentence(role: Role) -> None:
    for token, _ in TOKENIZERS[role].get_vocab().items():
        text = TOKENIZERS[role].convert_tokens_to_string([token])
        assert not (
            text.rstrip().rstrip(".?!\n") != text.rstrip() and text.strip(".?!\n ") != ""
        ), token


def test_the_answer_sentence_is_read_by_the_grader() -> None:
    answer = next(teacher_examples(0)).answer
    assert verify(parse(answer[14:-1]), parse(answer))
    assert not verify(parse("100"), parse(answer))


@pytest.mark.parametrize("role", ROLES)
def test_the_card_reports_what_was_measured(role: Role) -> None:
    text = (MODELS / role / "README.md").read_text(encoding="utf-8")
    for part in ("parameters in bfloat16", "million tokens", "| all |", "What it cannot show"):
        assert part in text
    assert json.loads((MODELS / role / "config.json").read_text())["architectures"] == [
        "Qwen3ForCausalLM"
    ]
