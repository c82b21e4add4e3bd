"""The text of a run's page."""

from __future__ import annotations

from collections.abc import Iterator

from flows.projection.files import MAX_EXAMPLES
from flows.projection.links import RUN, in_template
from flows.projection.made_of import model_of
from flows.projection.metrics import BARE
from flows.projection.told import Told
from flows.results.cells import interval, share
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.tables.rows import Result
from tasks.projection import Parent


def note_of(told: Told, study: Parent | None) -> str:
    """Markdown for the run's page: its main numbers with their intervals. The page shows the first
    three lines until the user opens the rest."""
    configuration = told.configuration
    lines = [*_headline(told), ""]
    if configuration.kind == "arm" and configuration.seed is not None:
        lines += [
            f"One fine-tuning seed ({configuration.seed}): its numbers are conditional on "
            "this checkpoint; intervals cover questions, not seeds.",
            "",
        ]
    for side in [*told.benchmarks, "train"]:
        rows = told.results.get(side)
        if rows:
            lines += [f"### {side}", "", "| | value | 95% | n |", "|---|---|---|---|"]
            lines += [_line(row) for row in rows.values() if _is_main(row.metric)] + [""]
    if configuration.find("selection", "train"):
        num = sum(part.num_rows for part in told.parts("selection", "train"))
        lines.append(
            f"`selection/examples.jsonl` holds {min(num, MAX_EXAMPLES)} of the {num} "
            "selected traces, best first."
        )
    model = model_of(told)
    if model is not None:
        lines.append(
            f"The model is `{model['path']}` in the store, with digest "
            f"`{model['digest']}`; `students/model.json` lists its files."
        )
    num_rows = sum(len(rows) for rows in told.results.values())
    lines.append(f"All {num_rows} numbers are in `results.csv`.")
    lines = [in_template(line) for line in lines]
    if study is not None:
        lines += ["", f"[comparison]({RUN.format(study.digest)})"]
    return "\n".join(lines) + "\n"


def _headline(told: Told) -> Iterator[str]:
    """A line for each benchmark."""
    for side in told.benchmarks:
        rows = told.results[side]
        if "accuracy" in rows:
            shares = [(label, rows.get(f"provenance/share/{label}")) for label in FOUR_WAY]
            more = [f"{label} {share(row)}" for label, row in shares if row is not None]
            accuracy = f"accuracy **{share(rows['accuracy'])}** {interval(rows['accuracy'])}"
            yield f"**{side.partition(':')[2]}**: {', '.join([accuracy, *more])}  "


def _is_main(metric: str) -> bool:
    main = (
        *BARE,
        "grades/gained",
        "grades/lost",
        "grades/net_gained",
        BY_DOMAIN,
        "grades/lift",
        "grades/detectable_lift",
        "grades/share/",
        "provenance/share/",
        "provenance/missing",
        "pool/teacher_share",
        "selection/",
        "students/",
    )
    return metric.startswith(main)


def _line(row: Result) -> str:
    value = "-" if row.value is None else f"{row.value:,.4g}"
    return f"| {row.metric} | {value} | {interval(row)} | {row.n} |"
