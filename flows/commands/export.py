"""`rdpt export`: an experiment's tables, or what its selectors chose, as files for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from flows.catalogue import contents_of
from flows.configurations import Configuration
from flows.runtime import read_runtime
from flows.workspace import Opened, named, open_asked
from rdpt_core.files.records import BadTable
from rdpt_core.files.writing import create_table
from rdpt_core.store import exported
from rdpt_core.store.contents import Contents, PartUse, of_configuration
from rdpt_core.store.exported import Before
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import ROWS, Pick, Problem, Trace
from rdpt_core.tables.spelling import hint
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.progress import say
from tasks.stage import Parts, Table

R = TypeVar("R")

DATABASE = ".duckdb"
OF_CATALOGUE = ("configurations", "scorers", "parts", "noise")


def export(
    file: str, table: str, out: str, configuration: str, selection: bool, tokens: bool
) -> int:
    """Which of the three exports is asked for follows from the arguments. Raises BadSettings."""
    _check(table, out, configuration, selection, tokens)
    opened = open_asked(file, read_runtime())
    if selection:
        num_rows = _selection(opened, configuration, out)
    elif table:
        num_rows = _table(opened, table, configuration, out)
    else:
        num_rows = _database(opened, Path(out), tokens)
    say(f"{out}: {num_rows:,} rows")
    return 0


def _check(table: str, out: str, configuration: str, selection: bool, tokens: bool) -> None:
    """Raises BadSettings for arguments that contradict each other, before anything is read."""
    database = Path(out).suffix == DATABASE
    lines = []
    if not out:
        lines.append(
            "-o is missing: name a .parquet, .csv or .jsonl file, or a .duckdb file for all tables"
        )
    elif not table and not selection and not database:
        lines.append(
            f"the table for {out} is missing: name one, or give -o a {DATABASE} file for all"
        )
    if database and (table or selection or configuration):
        lines.append(
            f"a {DATABASE} file holds the whole experiment: leave out the table, "
            "--selection and --configuration, or give -o another suffix"
        )
    if selection and table:
        lines.append(
            f"--selection and a table exclude each other: leave out {table!r} or --selection"
        )
    if selection and out and Path(out).suffix not in (".jsonl", "") and not database:
        lines.append(f"{out}: --selection writes JSON messages: name a .jsonl file")
    if tokens and not database:
        lines.append(f"--tokens goes with a {DATABASE} file: leave it out")
    if lines:
        raise BadSettings("export", lines)


# ---------------------------------------------------------------------------- one table


def _table(opened: Opened, table: str, configuration: str, out: str) -> int:
    """Writes a table as the catalogue has it: every part once with `part` first, or the parts of
    one configuration with their side and role."""
    rows = {row.TABLE: row for row in ROWS}
    _require_known(table, [*rows, *OF_CATALOGUE])
    contents, chosen, before = _contents(opened), opened.study.configurations(), ["part"]
    if configuration:
        chosen = [named(opened, configuration)]
        contents = of_configuration(contents, chosen[0].digest)
        before = ["side", "benchmark", "role", "part"]
    uses = [use for each in chosen for use in each.uses]
    _warn_where_incomplete(opened, [use.table for use in uses if use.table.name == table])
    with create_table(out) as writer:
        if table in OF_CATALOGUE:
            return exported.write_catalogue_rows(writer, table, contents, opened.store)
        parts = _parts(opened.store, contents.uses, table, before)
        text = Path(out).suffix != ".parquet"
        names = {c.configuration: (c.experiment, c.name) for c in contents.configurations}
        return exported.write_rows(writer, rows[table], opened.store, parts, before, names, text)


def _contents(opened: Opened) -> Contents:
    """Raises BadSettings where nothing exists."""
    contents = contents_of(opened)
    if not contents.uses:
        raise BadSettings(
            str(opened.file),
            [f"{opened.experiment.name} has no parts yet: rdpt run {opened.file}"],
        )
    return contents


def _warn_where_incomplete(opened: Opened, tables: Iterable[Table]) -> None:
    """A run may be going on, or a part be damaged: what exists is exported, and said to be less."""
    plan = Plan(opened.store)
    states = [plan.state(table) for table in {table.digest: table for table in tables}.values()]
    done = sum(state.complete for state in states)
    if done < len(states):
        say(
            f"warning: {done} of {len(states)} tables are complete; only existing parts are written"
        )


def _require_known(table: str, known: Sequence[str]) -> None:
    if table not in known:
        raise BadSettings(
            "export",
            [f"unknown table {table!r}; {hint(table, known)}tables: {', '.join(known)}"],
        )


def _parts(
    store: Store, uses: Iterable[PartUse], table: str, before: Sequence[str]
) -> Iterator[tuple[Part, Before]]:
    """Each part with the columns that stand before its rows; the same pair once."""
    wanted = [use for use in uses if use.table == table]
    for values in dict.fromkeys(tuple(getattr(use, name) for name in before) for use in wanted):
        columns = dict(zip(before, values, strict=True))
        part = store.find(table, columns["part"])
        if part is not None:
            yield part, columns


# ---------------------------------------------------------------------------- the whole


def _database(opened: Opened, out: Path, tokens: bool) -> int:
    contents = _contents(opened)
    if not out.parent.is_dir():
        raise BadTable(f"{out}: cannot be written: there is no folder {out.parent}")
    _warn_where_incomplete(opened, opened.study.tables())
    counts = exported.write_database(out, opened.store, contents, tokens)
    return sum(counts.values())


# ---------------------------------------------------------------------------- the selection


def _selection(opened: Opened, configuration: str, out: str) -> int:
    """Writes the picks as rows of `messages`, best first, for other trainers."""
    chosen = named(opened, configuration) if configuration else _only_selection(opened)
    picks = _complete(opened, chosen, "selection")
    num_rows = 0
    with create_table(out) as writer:
        for row in _messages(opened, chosen, picks):
            writer.write(pa.RecordBatch.from_pylist([row]))
            num_rows += 1
    return num_rows


def _only_selection(opened: Opened) -> Configuration:
    found = [c for c in opened.study.configurations() if c.find("selection", "train")]
    if not found:
        raise BadSettings(str(opened.file), ["none of its configurations selects traces"])
    different = {c.find("selection", "train").digest for c in found}  # type: ignore[union-attr]
    if len(different) > 1:
        raise BadSettings(
            "export",
            [
                f"{opened.experiment.name} has {len(different)} selections: choose one with "
                f"--configuration; configurations: {', '.join(c.name for c in found)}"
            ],
        )
    return found[0]


def _complete(opened: Opened, configuration: Configuration, table: str) -> tuple[Part, ...]:
    """The parts of a table of the training side. Raises BadSettings where they are not there."""
    wanted: Table | None = configuration.find(table, "train")
    if wanted is None:
        raise BadSettings("--configuration", [f"{configuration.name} has no table {table}"])
    found = Plan(opened.store).state(wanted)
    if not found.complete:
        raise BadSettings(
            str(opened.file),
            [f"table {table} of {configuration.name} does not exist yet: rdpt run {opened.file}"],
        )
    return found.parts


def _messages(
    opened: Opened, configuration: Configuration, parts: tuple[Part, ...]
) -> Iterator[dict[str, Any]]:
    """A row holds the user's prompt and the turn that the student is taught, between the
    student's own delimiters; and what its template is given, under the name that TRL reads."""
    (entry,) = [s for s in opened.experiment.students if s.name == configuration.student]
    student = opened.study.model(entry.spec)
    picks = [pick for rows in Parts(opened.store, Pick, parts) for pick in rows]
    traces = _rows(opened, configuration, Trace, {p.trace_id for p in picks}, "trace_id")
    problems = _rows(
        opened, configuration, Problem, {t.problem_id for t in traces.values()}, "problem_id"
    )
    system, variables = student.spec.system, student.spec.variables
    for pick in sorted(picks, key=lambda pick: (pick.rank, pick.trace_id)):
        trace = traces[pick.trace_id]
        said = [("system", system)] if system is not None else []
        said += [
            ("user", problems[trace.problem_id].prompt),
            ("assistant", student.renderer.turn(trace)),
        ]
        yield {
            "messages": [{"role": role, "content": text} for role, text in said],
            **({"chat_template_kwargs": variables} if variables else {}),
            "trace_id": trace.trace_id,
            "problem_id": trace.problem_id,
        }


def _rows(
    opened: Opened, configuration: Configuration, row: type[R], wanted: set[str], key: str
) -> dict[str, R]:
    """Rows of the training side by id."""
    table: str = row.TABLE  # type: ignore[attr-defined]
    parts = Parts(opened.store, row, _complete(opened, configuration, table))
    return {getattr(one, key): one for rows in parts for one in rows if getattr(one, key) in wanted}
