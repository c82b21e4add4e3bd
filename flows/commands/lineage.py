"""`rdpt lineage`: an evaluated answer, and the selected traces that its student was trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from flows.commands.documents import print_json
from flows.lineage import Lineage, TrainingTrace, lineage
from flows.results.tables import print_table
from flows.runtime import read_runtime
from flows.workspace import open_asked
from rdpt_core.report.terminal import Terminal
from rdpt_core.report.words import counted
from rdpt_core.text.printable import printable
from tasks.progress import say

SHORT = 12
"""Hex digits of an id that people read; `rdpt show` takes any unique beginning."""
MOST_SHOWN = 20
"""Traces on a terminal."""
WIDEST = 60
"""Letters of a sentence in a table."""


def print_lineage(
    trace_id: str, file: str, sentence: int | None, configuration: str, as_json: bool
) -> int:
    found = lineage(open_asked(file, read_runtime()), trace_id, sentence, configuration)
    if as_json:
        print_json({name: getattr(found, name) for name in Lineage.__slots__})
        return 0
    terminal = Terminal()
    for line in _head(found):
        terminal.print(line)
    if found.sentence is None:
        _print_training(found.training)
    else:
        _print_nearest(found)
    return 0


def _head(found: Lineage) -> Iterator[str]:
    yield f"trace     {found.trace_id}"
    yield f"of        {found.configuration}, test:{found.benchmark}"
    answer = printable(" ".join((found.extracted or "none").split()))
    yield f"outcome   {found.outcome}: answer {answer}, gold {printable(found.gold or 'none')}"
    yield f"problem   {found.problem_id}"
    problems = {one.problem_id for one in found.training}
    num_candidates = sum({one.problem_id: one.candidates for one in found.training}.values())
    yield (
        f"student   trained on {counted(found.training, 'trace')} of "
        f"{counted(problems, 'problem')}, selected from {num_candidates} candidates"
    )
    total = sum(one.sentences for one in found.training)
    labels = ("teacher", "student", "common")
    counts = [f"{sum(getattr(t, name) for t in found.training)} {name}" for name in labels]
    yield f"sentences {total} in them: {', '.join(counts)}"
    yield ""


def _print_training(training: tuple[TrainingTrace, ...]) -> None:
    shown = training[:MOST_SHOWN] if sys.stdout.isatty() else training
    headings = ("trace", "problem", "merit", "tokens", "eligible", "teacher", "student", "common")
    lines = [
        (
            one.trace_id[:SHORT],
            one.problem_id[:SHORT],
            f"{one.merit:.3g}",
            str(one.num_tokens),
            f"{one.eligible} of {one.candidates}",
            str(one.teacher),
            str(one.student),
            str(one.common),
        )
        for one in shown
    ]
    print_table([headings, *lines])
    if len(shown) < len(training):
        say(f"the first {len(shown)} of {len(training)}; in a pipe, or with --json, all")


def _print_nearest(found: Lineage) -> None:
    asked = found.sentence
    assert asked is not None
    sys.stdout.write(f"sentence {asked.number}, {asked.label or 'no label'}: ")
    sys.stdout.write(f"{printable(asked.sentence.strip())}\n\n")
    if not found.nearest:
        sys.stdout.write("no training sentence shares three consecutive words with it\n")
        return
    sys.stdout.write(
        "training sentences that share the most words (Jaccard of three consecutive words);\n"
        "this is similarity, not cause\n"
    )
    headings = ("similarity", "trace", "label", "sentence")
    lines = [
        (
            f"{one.similarity:.2f}",
            one.trace_id[:SHORT],
            one.label or "-",
            _short(one.sentence),
        )
        for one in found.nearest
    ]
    print_table([headings, *lines])


def _short(sentence: str) -> str:
    text = printable(" ".join(sentence.split()))
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."
