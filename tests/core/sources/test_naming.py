"""Columns of public sets are found by their names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rdpt_core.sources.problems import FileSource, blocks
from rdpt_core.tables import columns
from rdpt_core.tables.rows import FinishReason, Origin, Problem, Trace, ZoneKind
from tests.core.sources import public_sets as public
from tests.core.sources.test_problems import jsonl, problems
from tests.core.sources.test_problems import read as read_problems
from tests.core.sources.test_public_schemas import read, write


def zone(trace: Trace, kind: ZoneKind) -> str:
    data = trace.text.encode()
    return "".join(data[z.start : z.stop].decode() for z in trace.zones if z.kind is kind)


@pytest.mark.parametrize("name", public.IMPORTS)
def test_a_public_set_is_read_unasked(tmp_path: Path, name: str) -> None:
    rows = public.rows(public.IMPORTS[name])
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    prefix = f"{public.PREFIX}\n\n" if name == "alpaca" else ""
    assert [p.prompt for p in block.problems] == [prefix + public.question(n) for n in range(1, 6)]
    golds = [None] * 5 if name in public.GOLDLESS else ["2", "4", "6", "8", "10"]
    assert [problem.answer for problem in block.problems] == golds
    for n, trace in enumerate(sorted(block.traces[0], key=lambda t: t.text), start=1):
        assert public.answer(n).rstrip(".") in zone(trace, ZoneKind.ANSWER)
        assert zone(trace, ZoneKind.THOUGHT) == ("" if name == "limo" else public.thought(n))
    assert block.rejects == ()
    assert account["rows", "used"] == 5
    assert not [key for key in account if key[1] == "not understood"]


@pytest.mark.parametrize("name", public.IMPORTS)
def test_a_public_set_in_parquet_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = public.rows(public.IMPORTS[name])
    digests = set()
    for file in ("set.jsonl", "set.parquet"):
        block, account = read(tmp_path, write(tmp_path, file, rows))
        tables = [(Problem, block.problems), (Origin, block.origins)]
        tables += [(Trace, traces) for traces in block.traces]
        made = [columns.content_digest(kind, columns.in_key_order(kind, t)) for kind, t in tables]
        digests.add((*made, *sorted(account.items())))
    assert len(digests) == 1


@pytest.mark.parametrize("name", public.PROBLEMS)
def test_problems_of_a_public_set_are_read_unasked(tmp_path: Path, name: str) -> None:
    write(tmp_path, "set.jsonl", public.rows(public.PROBLEMS[name]))
    (block,) = blocks(FileSource(source="file", path="set.jsonl"), 100, tmp_path)
    assert [p.prompt for p in block.problems] == [public.question(n) for n in range(1, 6)]
    golds = [(problem.answer or "").strip("$") for problem in block.problems]
    assert golds == ["2", "4", "6", "8", "10"]


def test_several_generations_of_a_row_are_candidates_with_what_stands_beside_them(
    tmp_path: Path,
) -> None:
    rows = public.rows(public.openr1)
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    traces = [trace for group in block.traces for trace in group]
    assert account["traces", "used"] == len(traces) == 10
    assert Counter(trace.finish_reason for trace in traces) == {
        FinishReason.STOP: 5,
        FinishReason.LENGTH: 5,
    }
    verdict = {origin.trace_id: origin.correct for origin in block.origins}
    assert all(verdict[t.trace_id] is (t.finish_reason == "stop") for t in traces)
    assert {trace.source_id for trace in traces} == {f"u{n}" for n in range(1, 6)}


def test_a_column_map_and_a_path_into_nested_values(tmp_path: Path) -> None:
    row = {"messages": [{"content": "Q"}, {"content": "A"}], "meta": {"gold": "7", "area": "logic"}}
    jsonl(tmp_path, [row])
    columns = {"problem": "messages.0.content", "answer": "meta.gold", "domain": "meta.area"}
    (problem,) = problems(read_problems(tmp_path, columns=columns))
    assert (problem.prompt, problem.answer, problem.domain) == ("Q", "7", "logic")


def test_a_missing_column_is_named_with_those_found_and_the_nearest(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"probelm": "Q", "answer": "1"}])
    with pytest.raises(ValueError, match=r"'problem'.*did you mean 'probelm'.*probelm, answer"):
        read_problems(tmp_path, columns={"problem": "problem"})
    with pytest.raises(ValueError, match=r"looks like the problem.*found are probelm, answer"):
        read_problems(tmp_path)
