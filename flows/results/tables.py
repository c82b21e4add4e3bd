"""The tables of results that `rdpt run` ends with, read from the store alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from flows.configurations import Configuration
from flows.results.cells import (
    Footnotes,
    count,
    count_interval,
    interval,
    points,
    points_interval,
    share,
)
from flows.results.rows import (
    DETECTABLE,
    DIFFERENCE,
    GAINED,
    LOST,
    NET,
    arm_means,
    differences,
    domains_of,
    rows_of,
)
from flows.workspace import Opened
from rdpt_core.report.tables import aligned
from rdpt_core.report.terminal import Terminal, terminal_width
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
        sys.stdout.write(f"\n{titled(benchmark)}: accuracy is avg@k, intervals are 95%\n")
        print_table(_accuracy_lines(configurations, side, plan))
        notes = Footnotes()
        compared = list(_comparison_lines(configurations, benchmark.name, plan, notes))
        if len(compared) > 1:
            sys.stdout.write("\n")
            print_table(compared, notes)
        sys.stdout.write("\n")
        print_table(_share_lines(configurations, side, plan))
        print_domains({c.name: rows_of(c, side, plan) for c in configurations})
    trained = list(_training_lines(configurations, plan))
    if len(trained) > 1:
        sys.stdout.write("\ntraining side\n")
        print_table(trained)


def print_table(
    lines: Iterable[tuple[str, ...]],
    notes: Footnotes | None = None,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Columns to stdout, headings first, no wider than its terminal; notes below."""
    Terminal().print(aligned(list(lines), terminal_width(), styles))
    sys.stdout.write(notes.text() if notes else "")


def titled(benchmark: Benchmark) -> str:
    """Its name, and who wrote the answers of a control."""
    if isinstance(benchmark.traces, Answers) and benchmark.is_control:
        return f"{benchmark.name} (written by the {benchmark.traces.author})"
    return benchmark.name


def say_address(opened: Opened) -> None:
    """Where MLflow shows the comparison; nothing where it does not know the experiment."""
    from tasks.tracking.addresses import view_address

    address = view_address(opened.runtime, opened.experiment.name, "comparison")
    if address is not None:
        served = "" if opened.runtime.tracking else " (served by `rdpt ui`)"
        say(f"the comparison in MLflow{served}: {address}")


def _accuracy_lines(
    configurations: Iterable[Configuration], side: str, plan: Plan
) -> Iterator[tuple[str, ...]]:
    yield (
        "configuration",
        "accuracy",
        "95%",
        "lift over student",
        "95%",
        "truncated",
        "unparsed",
        "questions",
    )
    for configuration in configurations:
        found = rows_of(configuration, side, plan)
        if found:
            accuracy = found["accuracy"]
            yield (
                configuration.name,
                share(accuracy),
                interval(accuracy),
                points(found.get("grades/lift")),
                points_interval(found.get("grades/lift")),
                share(found.get("grades/share/truncated")),
                share(found.get("grades/share/unparsed")),
                str(accuracy.n),
            )
    for name, mean in arm_means(configurations, side, plan):
        yield name, share(mean), interval(mean), "-", "-", "-", "-", str(mean.n)


def print_domains(found: Mapping[str, Mapping[str, Result]]) -> None:
    """Accuracy by domain, then questions gained and lost; `found` maps the name of a configuration
    to its rows by metric. Nothing where no row says more than the accuracy does."""
    domains = domains_of(found.values())
    if len(domains) > MAX_DOMAINS:
        say(f"accuracy in {len(domains)} domains: `rdpt compare` in a pipe, or table `results`")
    elif domains:
        shared = _shared_start(domains)
        sys.stdout.write("\naccuracy by domain" + (f" ({shared}...)\n" if shared else "\n"))
        print_table(_domain_lines(found, domains))
    if any(GAINED in rows for rows in found.values()):
        sys.stdout.write("\nquestions gained and lost over the undistilled student\n")
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


def _share_lines(
    configurations: Iterable[Configuration], side: str, plan: Plan
) -> Iterator[tuple[str, ...]]:
    classes = ("teacher", "shared", "boosted", "student")
    yield ("where its sentences come from", *classes, "unscored", "sentences")
    for configuration in configurations:
        found = rows_of(configuration, side, plan)
        if "provenance/num_sentences" in found:
            shares = [found[f"provenance/share/{name}"] for name in classes]
            yield (
                configuration.name,
                *(f"{share(s)} {interval(s)}" for s in shares),
                share(found["provenance/missing"]),
                count(found["provenance/num_sentences"]),
            )


def _training_lines(
    configurations: Iterable[Configuration], plan: Plan
) -> Iterator[tuple[str, ...]]:
    yield (
        "configuration",
        "candidates",
        "teacher share",
        "longest is most teacher",
        "examples",
        "tokens",
        "tie rate",
        "overlap with longest",
    )
    for configuration in configurations:
        found = rows_of(configuration, "train", plan)
        if found:
            pool = found["pool/teacher_share"]
            yield (
                configuration.name,
                count(found["pool/num_candidates"]),
                f"{share(pool)} {interval(pool)}",
                share(found["pool/longest_is_most_teacher"]),
                count(found["selection/num_examples"]),
                count(found["tokens"]),
                share(found["selection/tie_rate"]),
                share(found["selection/overlap_longest"]),
            )


def _comparison_lines(
    configurations: Sequence[Configuration], benchmark: str, plan: Plan, notes: Footnotes
) -> Iterator[tuple[str, ...]]:
    yield ("difference in accuracy", "points", "95%", "smallest detectable", "note")
    for one in differences(configurations, f"test:{benchmark}", plan):
        accuracy = one.rows.get(DIFFERENCE)
        if accuracy is not None:
            yield (
                one.name,
                points(accuracy),
                points_interval(accuracy),
                points(one.rows[DETECTABLE]).lstrip("+"),
                notes.mark(accuracy),
            )
