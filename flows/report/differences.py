"""What is compared: each arm with the undistilled student, then the arms with each other."""

from __future__ import annotations

from collections.abc import Iterator

from flows.configurations import Configuration
from flows.report.configurations import Cast, number_of
from flows.report.reader import StudyReader, Use
from flows.results.rows import DETECTABLE, DIFFERENCE, GAINED, LOST, differences, rows_of
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.report.bundle import Difference
from rdpt_core.tables.rows import Grade, Outcome, Trace

LIFT, DETECTABLE_LIFT = "grades/lift", "grades/detectable_lift"


def compared(cast: Cast, reader: StudyReader) -> list[Difference]:
    """Each arm against the undistilled student, then the arms against each other."""
    found: list[Difference] = []
    for benchmark, side in enumerate(cast.sides):
        found += _over_student(cast, reader, benchmark, side)
        found += _between_arms(cast, reader, benchmark, side)
    return found


def _over_student(
    cast: Cast, reader: StudyReader, benchmark: int, side: str
) -> Iterator[Difference]:
    for configuration in cast.configurations:
        rows = rows_of(configuration, side, reader.plan)
        against = cast.undistilled(configuration)
        if LIFT in rows and against is not None:
            gained, lost = (rows[name].value for name in (GAINED, LOST))
            yield Difference(
                benchmark=benchmark,
                first=cast.name(configuration),
                second=against,
                metric="accuracy",
                number=number_of(rows[LIFT]),
                gained=None if gained is None else round(gained),
                lost=None if lost is None else round(lost),
                detectable=rows[DETECTABLE_LIFT].value,
            )


def _between_arms(
    cast: Cast, reader: StudyReader, benchmark: int, side: str
) -> Iterator[Difference]:
    first_runs = {c.name: c for c in cast.configurations if c.arm}
    metrics = {f"provenance/difference/{name}": str(name) for name in FOUR_WAY}
    for one in differences(cast.configurations, side, reader.plan):
        arm = first_runs[one.configuration]
        names = cast.arm_name(arm, arm.arm), cast.arm_name(arm, one.against)
        if DIFFERENCE in one.rows:
            runs = cast.runs(arm, arm.arm), cast.runs(arm, one.against)
            gained, lost = _changes(reader, *runs, side)
            yield Difference(
                benchmark=benchmark,
                first=names[0],
                second=names[1],
                metric="accuracy",
                number=number_of(one.rows[DIFFERENCE]),
                gained=gained,
                lost=lost,
                detectable=one.rows[DETECTABLE].value,
            )
        for metric, name in metrics.items():
            if metric in one.rows:
                number = number_of(one.rows[metric])
                yield Difference(benchmark, *names, name, number, gained=None, lost=None)


def _changes(
    reader: StudyReader, first: list[Configuration], second: list[Configuration], side: str
) -> tuple[int | None, int | None]:
    """Questions that one arm solves and the other does not, and the reverse, of those that both
    answered; None where an arm has several runs, which solve different ones."""
    if len(first) > 1 or len(second) > 1:
        return None, None
    one, other = _solved(reader, first[0], side), _solved(reader, second[0], side)
    common = one.keys() & other.keys()
    return (
        sum(one[q] and not other[q] for q in common),
        sum(other[q] and not one[q] for q in common),
    )


def _solved(reader: StudyReader, configuration: Configuration, side: str) -> dict[str, bool]:
    """As `results.counts.solved` has it: more than half of the graded traces are correct."""
    use = Use(configuration, side, 0, 0)
    rows = reader.query(f"""
        SELECT problem_id, 2 * count_if(outcome = '{Outcome.CORRECT}') > count(*) AS solved
        FROM {reader.relation(Trace, use)} AS traces
        JOIN {reader.relation(Grade, use)} AS grades USING (trace_id)
        WHERE outcome <> '{Outcome.UNGRADED}' GROUP BY problem_id""")
    return dict(zip(rows["problem_id"].to_pylist(), rows["solved"].to_pylist(), strict=True))
