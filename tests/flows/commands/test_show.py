"""`rdpt show`: a trace sentence by sentence, safe to look at, readable without colour."""

from __future__ import annotations

import re
from itertools import pairwise

import duckdb
import pytest

from flows import cli
from flows.catalogue import keep_noise, publish_catalogue
from flows.workspace import NOISE, Opened
from rdpt_core.store.contents import NoiseRow
from rdpt_core.tables.rows import Trace
from tests.flows.recorded_requests import refused


def traces(study: Opened, side: str, name: str) -> list[Trace]:
    from tasks.plan import Plan
    from tasks.stage import Parts

    (configuration,) = [c for c in study.study.configurations() if c.name == name]
    table = configuration.find("traces", side)
    assert table is not None
    parts = Plan(study.store).state(table).parts
    return [trace for rows in Parts(study.store, Trace, parts) for trace in rows]


def test_a_prefix_finds_a_trace_with_its_probabilities(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces(study, "test:bench", "random")[0]
    assert cli.main(["show", trace.trace_id[:24]]) == 0
    out = capsys.readouterr().out
    assert f"trace    {trace.trace_id}" in out
    assert "of       random, test:bench" in out
    assert "How much is" in out
    assert re.search(r"^  1 [TS=+?]", out, re.MULTILINE)
    assert "\x1b" not in out


def test_measured_noise_marks_what_the_catalogue_calls_undetermined(
    study: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traces(study, "test:bench", "random")[0]

    def marked() -> int:
        assert cli.main(["show", trace.trace_id]) == 0
        return len(re.findall(r"^ +\d+ [TS=+]~", capsys.readouterr().out, re.MULTILINE))

    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        query = "SELECT max(margin), count(*) FROM provenance WHERE trace_id = ?"
        largest, number = sql.execute(query, [trace.trace_id]).fetchall()[0]
    assert number
    for p99, expected in ((largest, number), (0.0, 0)):
        rows = [NoiseRow(scorer, "x", None, p99, p99, None, 32) for scorer in scorers(study)]
        keep_noise(study, rows)
        publish_catalogue(study)
        assert marked() == expected
        with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
            query = "SELECT count(*) FILTER (undetermined) FROM provenance WHERE trace_id = ?"
            assert sql.execute(query, [trace.trace_id]).fetchall() == [(expected,)]
    (study.runtime.workspace / NOISE).unlink()
    publish_catalogue(study)


def scorers(study: Opened) -> list[str]:
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        return [name for (name,) in sql.execute("SELECT scorer FROM scorers").fetchall()]


def test_arms_that_share_their_labels_need_no_choice(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both arms choose from the same traces of the teacher, which were labelled once."""
    trace = traces(study, "train", "random")[0]
    assert cli.main(["show", trace.trace_id, "study"]) == 0
    assert "train" in capsys.readouterr().out


def test_a_trace_that_nobody_labels_is_shown_without(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces(study, "test:bench", "teacher")[0]
    assert cli.main(["show", trace.trace_id]) == 0
    assert "no configuration labels its sentences" in capsys.readouterr().out


MISTAKES = {
    ("zzz",): "no trace begins with 'zzz'",
    ("zzz", "nothing.toml"): "no file 'nothing.toml'",
    ("zzz", "study", "--configuration", "randon"): "did you mean random?",
}


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_exits_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert MISTAKES[arguments] in refused(capsys, "show", *arguments)


def test_a_prefix_of_several_traces_lists_them(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(
        {
            t.trace_id
            for side, name in (("train", "random"), ("test:bench", "teacher"))
            for t in traces(study, side, name)
        }
    )
    crowded = next(a[0] for a, b in pairwise(names) if a[0] == b[0])
    said = refused(capsys, "show", crowded)
    assert f"traces begin with '{crowded}': give more of one" in said
    assert next(name for name in names if name[0] == crowded) in said


def test_without_an_id_the_largest_teacher_advantage_is_shown(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        rows = sql.execute(
            "SELECT trace_id, advantage FROM labelled_sentences WHERE side = 'test' "
            "AND label IS NOT NULL AND advantage > 0 ORDER BY advantage DESC, trace_id, position"
        ).fetchall()
    assert cli.main(["show"]) == 0
    shown = capsys.readouterr()
    assert f"trace    {rows[0][0]}" in shown.out
    assert f"{rows[0][1]:+.3f}" in shown.err


def test_gold_answer_and_outcome_stand_above_the_sentences(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces(study, "test:bench", "random")[0]
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        query = "SELECT DISTINCT gold, extracted, outcome FROM answers WHERE trace_id = ?"
        ((gold, extracted, outcome),) = sql.execute(query, [trace.trace_id]).fetchall()
    assert cli.main(["show", trace.trace_id]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"gold     {gold}" in lines
    assert f"answer   {extracted or 'none'}" in lines
    assert f"outcome  {outcome}; finish reason {trace.finish_reason}" in lines
