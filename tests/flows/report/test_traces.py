"""What is left out of a page that would be too large."""

from __future__ import annotations

import numpy as np
import pytest

from flows.report.bundle import gather
from flows.workspace import Opened
from rdpt_core.report.bundle import Bundle


@pytest.fixture
def cut(built: Opened, monkeypatch: pytest.MonkeyPatch) -> tuple[Bundle, Bundle]:
    """The whole, and with room for half of it."""
    whole = gather(built)
    half = len(whole.sentences.start) // 2
    monkeypatch.setattr("flows.report.traces.MAX_SENTENCES", half)
    return whole, gather(built)


def test_questions_are_left_out_with_all_of_their_answers(cut: tuple[Bundle, Bundle]) -> None:
    whole, part = cut
    assert 0 < len(part.questions) < len(whole.questions)
    assert len(part.sentences.start) <= len(whole.sentences.start) // 2
    for question in range(len(part.questions)):
        answered = part.traces.configuration[part.traces.question == question]
        assert len(set(answered.tolist())) == 4
    assert part.num_left_out == len(whole.traces.trace_id) - len(part.traces.trace_id)


def test_numbers_count_what_the_page_leaves_out(cut: tuple[Bundle, Bundle]) -> None:
    whole, part = cut
    assert part.configurations == whole.configurations
    assert part.differences == whole.differences
    assert part.curves == whole.curves


def test_a_trace_keeps_its_sentences_and_its_text(cut: tuple[Bundle, Bundle]) -> None:
    whole, part = cut
    for i, trace_id in enumerate(part.traces.trace_id):
        configuration = part.traces.configuration[i]
        (j,) = [
            k
            for k, name in enumerate(whole.traces.trace_id)
            if name == trace_id and whole.traces.configuration[k] == configuration
        ]
        mine = slice(*part.traces.first_sentence[i : i + 2])
        theirs = slice(*whole.traces.first_sentence[j : j + 2])
        np.testing.assert_array_equal(part.sentences.start[mine], whole.sentences.start[theirs])
        np.testing.assert_array_equal(part.sentences.p[mine], whole.sentences.p[theirs])
        text = part.text[slice(*part.traces.first_byte[i : i + 2])]
        assert text == whole.text[slice(*whole.traces.first_byte[j : j + 2])]


def test_one_question_is_kept_however_large(built: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.report.traces.MAX_SENTENCES", 1)
    assert len(gather(built).questions) == 1
