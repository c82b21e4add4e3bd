"""The tables of results that `rdpt run` ends with, read from the store alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from flows.configurations import Configuration
from flows.results.cells import (
    Footnotes,
    count,
    count_interval,
    points,
    ranged_points,
    ranged_share,
    share,
)
from flows.results.rows import (
    DETECTABLE,
    DIFFERENCE,
    GAINED,
    LOST,
    NET,
    differences,
    domains_of,
    rows_of,
)
from flows.results.standings import Standing, Standings, standings
from flows.workspace import Opened
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.report.tables import Cell, Row, TableColumn, aligned, fitted
from rdpt_core.report.terminal import Terminal, terminal_width
from rdpt_core.report.words import broken
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.tables.rows import Result
from settings.texts import Answers, Benchmark
from tasks.plan import Plan
from tasks.progress import say

MAX_DOMAINS = 8
"""More are not shown side by side."""
DOMAIN_WIDTH = 12
"""Letters of a domain's name in a heading."""


def print_results(opened: Opened) -> None:
    """The table that a run ends with; then the arms against each other, per benchmark."""
    plan = opened.plan
    configurations = opened.study.configurations()
    for benchmark in opened.experiment.benchmarks:
        side = f"test:{benchmark.name}"
        found = standings(configurations, side, plan)
        print_heading(f"{titled(benchmark, found)}: accuracy is avg@k, intervals are 95%")
        _print_accuracy(found)
        _print_differences(configurations, side, plan)
        _print_shares(found)
        print_domains({one.name: one.rows for one in (*found.arms, *found.baselines)})
    _print_training(configurations, plan)


def print_heading(line: str) -> None:
    """Above a table, apart from what precedes it."""
    sys.stdout.write(f"\n{_broken(line)}\n")


def _broken(line: str) -> str:
    """In a file a line stays one."""
    width = terminal_width()
    return line if width is None else broken(line, width)


def print_fitted(columns: Sequence[TableColumn], rows: Sequence[Row]) -> None:
    """A table to stdout, as wide as its terminal allows."""
    Terminal().print(fitted(columns, rows, terminal_width()))


def print_notes(notes: Footnotes) -> None:
    sys.stdout.writelines(f"{_broken(line)}\n" for line in notes.text().splitlines())


def print_table(lines: Iterable[tuple[str, ...]]) -> None:
    """Columns to stdout, headings first, no wider than its terminal."""
    Terminal().print(aligned(list(lines), terminal_width()))


def titled(benchmark: Benchmark, found: Standings | None = None) -> str:
    """Its name, who wrote the answers of a control, and how many questions all were asked."""
    name, num = benchmark.name, found.num_questions if found else None
    if isinstance(benchmark.traces, Answers) and benchmark.is_control:
        name = f"{name} (written by the {benchmark.traces.author})"
    return name if num is None else f"{name}, {num} questions"


def say_address(opened: Opened) -> None:
    """Where MLflow shows the comparison; nothing where it does not know the experiment."""
    from tasks.tracking.addresses import view_address

    address = view_address(opened.runtime, opened.experiment.name, "comparison")
    if address is not None:
        served = "" if opened.runtime.tracking else " (served by `rdpt ui`)"
        say(f"the comparison in MLflow{served}: {address}")


_ACCURACY = (
    TableColumn("configuration"),
    TableColumn("accuracy"),
    TableColumn("lift over student", "lift"),
    TableColumn("truncated", "trunc.", rank=1),
    TableColumn("unparsed", "unpars.", rank=1),
)


def _print_accuracy(found: Standings) -> None:
    """How many questions a line is about stands above, or in a column where they differ."""
    columns = [*_ACCURACY, *([TableColumn("questions")] if found.num_questions is None else [])]
    print_groups(columns, found, _accuracy_cells)


def _accuracy_cells(one: Standing) -> tuple[Cell, ...]:
    found = one.rows
    return (
        ranged_share(one.accuracy),
        ranged_points(found.get("grades/lift")),
        share(found.get("grades/share/truncated")),
        share(found.get("grades/share/unparsed")),
        str(one.accuracy.n),
    )


def print_groups(
    columns: Sequence[TableColumn], found: Standings, cells: Callable[[Standing], tuple[Cell, ...]]
) -> None:
    """Arms, means and baselines apart, the best marked; below, what the mark means."""
    rows: list[Row] = []
    for group in found.groups:
        rows += [Row()] if rows else []
        rows += [Row((found.name(one), *cells(one)), found.style(one)) for one in group]
    print_fitted(columns, rows)
    if found.verdict:
        sys.stdout.write(f"{_broken(found.verdict)}\n")


def print_domains(found: Mapping[str, Mapping[str, Result]]) -> None:
    """Accuracy by domain, then questions gained and lost; `found` maps the name of a configuration
    to its rows by metric. Nothing where no row says more than the accuracy does."""
    domains = domains_of(found.values())
    if len(domains) > MAX_DOMAINS:
        say(f"accuracy in {len(domains)} domains: `rdpt compare` in a pipe, or table `results`")
    elif domains:
        shared = _shared_start(domains)
        print_heading("accuracy by domain" + (f" ({shared}...)" if shared else ""))
        print_table(_domain_lines(found, domains))
    if any(GAINED in rows for rows in found.values()):
        print_heading("questions gained and lost over the undistilled student")
        print_table(_change_lines(found))


def _domain_lines(
    found: Mapping[str, Mapping[str, Result]], domains: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Two decimals, so that eight domains fit a line; how many questions a domain has comes
    last."""
    metrics = [f"{BY_DOMAIN}{domain}" for domain in domains]
    names = [domain.removeprefix(_shared_start(domains))[:DOMAIN_WIDTH] for domain in domains]
    yield ("configuration", *names)
    num_questions: dict[str, int] = {}
    for name, rows in found.items():
        if rows:
            num_questions |= {metric: rows[metric].n for metric in metrics if metric in rows}
            yield (name, *(share(rows.get(metric), 2) for metric in metrics))
    yield ("questions", *(str(num_questions[metric]) for metric in metrics))


def _change_lines(found: Mapping[str, Mapping[str, Result]]) -> Iterator[tuple[str, ...]]:
    yield ("configuration", "gained", "lost", "net", "95%", "questions")
    for name, rows in found.items():
        if GAINED in rows:
            net = rows[NET]
            yield (
                name,
                count(rows[GAINED]),
                count(rows[LOST]),
                count(net, "+"),
                count_interval(net),
                str(net.n),
            )


def _shared_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a mark between words: `depth-`."""
    words = [re.split(r"(?<=[-_/: ])", name)[:-1] for name in names]
    alike = takewhile(lambda step: len(set(step)) == 1, zip(*words, strict=False))
    return "".join(step[0] for step in alike)


_SHARES = (
    TableColumn("configuration"),
    *(TableColumn(str(name)) for name in FOUR_WAY),
    TableColumn("unscored", rank=2),
    TableColumn("sentences", rank=1),
)


def _print_shares(found: Standings) -> None:
    with_sentences = [one for one in found.arms if "provenance/num_sentences" in one.rows]
    if not with_sentences:
        return
    rows = [
        Row(
            (
                one.name,
                *(ranged_share(one.rows[f"provenance/share/{name}"]) for name in FOUR_WAY),
                share(one.rows["provenance/missing"]),
                count(one.rows["provenance/num_sentences"]),
            )
        )
        for one in with_sentences
    ]
    print_heading("where its sentences come from")
    print_fitted(_SHARES, rows)


_TRAINING = (
    TableColumn("configuration"),
    TableColumn("candidates", rank=1),
    TableColumn("teacher share"),
    TableColumn("longest is most teacher", "longest is most", rank=2),
    TableColumn("examples"),
    TableColumn("tokens"),
    TableColumn("tie rate"),
    TableColumn("overlap with longest", "overlap"),
)


def _print_training(configurations: Iterable[Configuration], plan: Plan) -> None:
    rows = [
        Row(
            (
                configuration.name,
                count(found["pool/num_candidates"]),
                ranged_share(found["pool/teacher_share"]),
                share(found["pool/longest_is_most_teacher"]),
                count(found["selection/num_examples"]),
                count(found["tokens"]),
                share(found["selection/tie_rate"]),
                share(found["selection/overlap_longest"]),
            )
        )
        for configuration in configurations
        if (found := rows_of(configuration, "train", plan))
    ]
    if rows:
        print_heading("training side")
        print_fitted(_TRAINING, rows)


_DIFFERENCES = (
    TableColumn("difference in accuracy"),
    TableColumn("points"),
    TableColumn("smallest detectable", "detectable"),
    TableColumn("note"),
)


def _print_differences(configurations: Sequence[Configuration], side: str, plan: Plan) -> None:
    notes = Footnotes()
    rows = [
        Row(
            (
                one.name,
                ranged_points(accuracy),
                points(one.rows[DETECTABLE]).lstrip("+"),
                notes.mark(accuracy),
            )
        )
        for one in differences(configurations, side, plan)
        if (accuracy := one.rows.get(DIFFERENCE)) is not None
    ]
    if rows:
        sys.stdout.write("\n")
        print_fitted(_DIFFERENCES, rows)
        print_notes(notes)
