"""What students were trained on, beside what `rdpt lineage` says."""

from __future__ import annotations

import pytest

from flows.lineage import lineage
from flows.report import training
from flows.report.bundle import gather
from flows.workspace import Opened
from rdpt_core.report.bundle import Bundle, Training
from rdpt_core.tables.rows import Pick
from tests.flows.report.test_selection import picks_of


@pytest.fixture(scope="module")
def bundle(built: Opened) -> Bundle:
    return gather(built)


def of(bundle: Bundle, name: str) -> Training:
    (index,) = [i for i, one in enumerate(bundle.configurations) if one.name == name]
    (found,) = [one for one in bundle.training if index in one.configurations]
    return found


@pytest.mark.parametrize("arm", ["random", "teacher_count"])
def test_it_is_what_lineage_finds(built: Opened, bundle: Bundle, arm: str) -> None:
    found = of(bundle, arm)
    index = found.configurations[0]
    (trace, *_) = [
        bundle.traces.trace_id[i]
        for i, one in enumerate(bundle.traces.configuration)
        if one == index
    ]
    told = lineage(built, trace, configuration=arm)
    assert [one.trace_id for one in found.traces] == [one.trace_id for one in told.training]
    for mine, its in zip(found.traces, told.training, strict=True):
        facts = (mine.rank, mine.merit, mine.num_tokens, mine.num_candidates, mine.num_eligible)
        assert facts == (its.rank, its.merit, its.num_tokens, its.candidates, its.eligible)
        labels = [bundle.labels[code] for code, _ in mine.sentences if code != 255]
        counts = [labels.count(name) for name in ("teacher", "student", "common")]
        assert counts == [its.teacher, its.student, its.common]
        assert len(mine.sentences) == its.sentences
    assert found.num_sentences == {
        name: n
        for name in ("common", "student", "teacher")
        if (n := sum(getattr(one, name) for one in told.training))
    }


def test_of_more_than_a_page_holds_the_best_are_kept_and_all_are_counted(
    built: Opened, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = of(bundle, "random")
    two = sum(len(words) for one in whole.traces[:2] for _, words in one.sentences)
    monkeypatch.setattr(training, "MAX_BYTES", 2 * (two + 10))  # there are two selections
    cut = of(gather(built), "random")
    picks: list[Pick] = picks_of(built, "random")
    assert 0 < len(cut.traces) < len(whole.traces) == len(picks)
    assert cut.traces == whole.traces[: len(cut.traces)]
    assert (cut.num_traces, cut.num_sentences) == (whole.num_traces, whole.num_sentences)
