"""What a person reads of an experiment: its plan before, its table of results after.

Both are read from the store alone; no Prefect, no MLflow, no model.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from flows import accounts
from flows.configurations import Configuration, Use
from flows.room import BYTES, estimated_room, knows_imports
from flows.workspace import Opened
from rdpt_core.machine.resources import amount, free_space
from rdpt_core.report.tables import aligned, terminal_width
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.scoring.paths import cpu_flags, faster_path, has_gpu
from rdpt_core.tables.rows import Result
from settings.experiment import Answers, Benchmark
from tasks.progress import say
from tasks.stage import Call, Given, Parts, Plan, Table

DIFFERENCE, DETECTABLE = "grades/difference", "grades/detectable_difference"
"""Metrics of `Difference.rows`: of the accuracy, and the smallest that would be found."""
GAINED, LOST, NET = "grades/gained", "grades/lost", "grades/net_gained"
MAX_DOMAINS = 8
"""More are not shown side by side."""
DOMAIN_WIDTH = 12
"""Letters of a domain's name in a heading."""


def is_complete(opened: Opened) -> bool:
    plan = Plan(opened.store)
    return all(plan.table(call).complete for call in opened.study.calls())


# ---------------------------------------------------------------------------- the plan


def print_plan(opened: Opened) -> None:
    """One line for every table of every configuration; then what the sources are read as."""
    plan = Plan(opened.store, peek=True)
    lines = [
        (
            configuration.name,
            use.side,
            use.call.table,
            use.role or "",
            _state(table),
            _parts(table),
            _estimate(use, table),
        )
        for configuration in opened.study.configurations()
        for use in configuration.uses
        if (table := plan.table(use.call)).slots or isinstance(use.call, Call)
    ]
    if terminal_width() is None:
        headings = ("configuration", "side", "table", "role", "state", "parts", "estimate")
        print_table([headings, *lines])
    else:
        print_table(_grouped(lines))
    sys.stdout.writelines(f"{line}\n" for line in accounts.plan_lines(opened))
    _say_room(opened)
    _say_path(opened)


def _grouped(lines: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """For a terminal: the tables of each side of a configuration below its name."""
    groups: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for configuration, side, table, role, *others in lines:
        groups[f"{configuration}, {side}"].append((f"  {table} {role}".rstrip(), *others))
    yield ("table", "state", "parts", "estimate")
    for name, tables in groups.items():
        yield from ((name, "", "", ""), *tables)


def _say_room(opened: Opened) -> None:
    """What `rdpt run` will look for before it begins."""
    free, place = free_space(opened.runtime.workspace), opened.runtime.workspace
    aside = "" if knows_imports(opened) else ", imported traces that were not read yet aside"
    certain, most = estimated_room(opened)
    needed = amount(certain)
    if most > certain:
        needed += f" for certain, {amount(most)} if every trace reaches max_new_tokens"
    say(f"disk to build: {needed}{aside}; {amount(free)} free in {place}")


def _say_path(opened: Opened) -> None:
    """Which path scoring takes, and which would be faster here; a change makes all scores anew."""
    experiment = opened.experiment
    gpu = has_gpu(opened.runtime.device)
    for dtype in sorted({model.dtype for model in (*experiment.teachers, *experiment.students)}):
        faster, reason = faster_path(dtype, gpu, cpu_flags())
        say(f"scoring.path is {experiment.scoring.path}; faster here, {dtype}: {faster} ({reason})")


def _state(table: Table) -> str:
    if table.complete:
        return "cached"
    return "to build" if table.jobs or not table.committed else "blocked"


def _parts(table: Table) -> str:
    done = len(table.parts) if table.committed else 0
    return f"{done} of {len(table.slots)}" if any(table.slots) or not table.slots else "unknown"


def _estimate(use: Use, table: Table) -> str:
    """Traces, and at most so many tokens, of what is left to build."""
    traces = sum(job.size for job in table.jobs)
    if not isinstance(use.call, Call):
        return f"{sum(part.num_rows for part in table.parts)} rows"
    if not traces:
        return ""
    sampling = use.call.parameters.get("sampling")
    if use.call.table == "traces" and sampling is not None:
        tokens = traces * sampling.max_new_tokens
        return f"{traces} traces, <= {tokens:,} tokens"
    size = sum(part.size for job in table.jobs for part in job.inputs.get("traces", ()))
    if use.call.table == "scores" and size:
        return f"{traces} traces, ~{round(size / BYTES['traces']):,} tokens"
    return f"{traces} rows in"


# ---------------------------------------------------------------------------- the results


def print_results(opened: Opened) -> None:
    """The table that a run ends with; then the arms against each other, per benchmark."""
    plan = Plan(opened.store)
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


def print_table(lines: Iterable[tuple[str, ...]], notes: Footnotes | None = None) -> None:
    """Columns to stdout, headings first, no wider than its terminal; notes below."""
    sys.stdout.write(aligned(list(lines), terminal_width()) + (notes.text() if notes else ""))


def titled(benchmark: Benchmark) -> str:
    """Its name, and who wrote the answers of a control."""
    if isinstance(benchmark.traces, Answers) and benchmark.is_control:
        return f"{benchmark.name} (written by the {benchmark.traces.author})"
    return benchmark.name


def say_address(opened: Opened) -> None:
    """Where MLflow shows the comparison; nothing where it does not know the experiment."""
    from tasks.tracking import view_address

    address = view_address(opened.runtime, opened.experiment.name, "comparison")
    if address is not None:
        served = "" if opened.runtime.tracking else " (served by `rdpt ui`)"
        say(f"the comparison in MLflow{served}: {address}")


def rows_of(configuration: Configuration, side: str, plan: Plan) -> dict[str, Result]:
    """Metric to row; empty where the results do not exist yet."""
    call = configuration.find("results", side)
    if call is None:
        return {}
    return {row.metric: row for row in _rows(call, plan)}


def _rows(call: Call | Given, plan: Plan) -> Iterator[Result]:
    for rows in Parts(plan.store, Result, plan.table(call).parts):
        yield from rows


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


def arm_means(
    configurations: Iterable[Configuration], side: str, plan: Plan
) -> Iterator[tuple[str, Result]]:
    """Name and mean accuracy of every arm of several draws or seeds."""
    for configuration in configurations:
        for use in configuration.uses:
            if (use.side, use.role) == (side, "arm") and plan.table(use.call).complete:
                yield from (
                    (f"{configuration.arm} (all runs)", row) for row in _rows(use.call, plan)
                )


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


def domains_of(found: Iterable[Mapping[str, Result]]) -> list[str]:
    """Names of the domains of a benchmark."""
    names = {
        metric.removeprefix(BY_DOMAIN)
        for rows in found
        for metric in rows
        if metric.startswith(BY_DOMAIN)
    }
    return sorted(names)


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


# ---------------------------------------------------------------------------- arms compared


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


@dataclass(frozen=True)
class Difference:
    """Two arms of one teacher and student, on the same questions and sampling seeds."""

    configuration: str
    """The first configuration of the arm."""
    name: str
    rows: dict[str, Result]
    """By metric, without the name of the other arm at its end."""


def differences(
    configurations: Sequence[Configuration], side: str, plan: Plan
) -> Iterator[Difference]:
    """Every two arms that are compared on a side, as far as they are complete."""
    for configuration in configurations:
        for use in configuration.uses:
            if use.role is None or not use.role.startswith("against "):
                continue
            if use.side != side or not plan.table(use.call).complete:
                continue
            against = use.role.removeprefix("against ")
            rows = {row.metric.removesuffix(f"/{against}"): row for row in _rows(use.call, plan)}
            yield Difference(configuration.name, f"{configuration.arm} - {against}", rows)


# ---------------------------------------------------------------------------- cells


def share(row: Result | None, digits: int = 3) -> str:
    return "-" if row is None or row.value is None else f"{row.value:.{digits}f}"


def points(row: Result | None) -> str:
    """Percentage points; none is negative that is shown as 0."""
    return "-" if row is None or row.value is None else f"{round(100 * row.value, 1) + 0.0:+.1f}"


def interval(row: Result | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"[{row.low:.3f}, {row.high:.3f}]"


def points_interval(row: Result | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"[{100 * row.low:+.1f}, {100 * row.high:+.1f}]"


def count(row: Result | None, sign: str = "") -> str:
    return "-" if row is None or row.value is None else f"{round(row.value):{sign},d}"


def count_interval(row: Result) -> str:
    if row.low is None or row.high is None:
        return "-"
    return f"[{round(row.low):+,d}, {round(row.high):+,d}]"


class Footnotes:
    """Notes below a table, each once; a cell names them by number."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def mark(self, row: Result) -> str:
        """`(1, 3)`; empty for a row without a note."""
        own = row.note.split("; ") if row.note else []
        self._notes += [note for note in own if note not in self._notes]
        numbers = ", ".join(str(self._notes.index(note) + 1) for note in own)
        return f"({numbers})" if own else ""

    def text(self) -> str:
        return "".join(f"({number}) {note}\n" for number, note in enumerate(self._notes, start=1))
