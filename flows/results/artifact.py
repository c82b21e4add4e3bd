"""The results of a run as an artifact of its Prefect flow run: a row for each configuration and
benchmark, with links to MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.artifacts import create_table_artifact

from flows.results.cells import interval, share
from flows.results.rows import rows_of
from flows.workspace import Opened
from tasks.progress import brief, say
from tasks.tracking.tracker import Tracker


def show_results(opened: Opened, tracker: Tracker, failures: Mapping[str, BaseException]) -> None:
    """Makes the artifact of the active flow run. The run ends as it would where Prefect does
    not take it."""
    try:
        create_table_artifact(
            table=list(result_rows(opened, tracker)),
            key=artifact_key(opened.experiment.name),
            description=_description(opened, failures),
        )
    except Exception as error:
        say(f"warning: Prefect did not take the table of results: {brief(error)}")


def artifact_key(experiment: str) -> str:
    """Prefect lists the artifacts of one key as versions of one artifact."""
    return "results-" + re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")


def result_rows(opened: Opened, tracker: Tracker) -> Iterator[dict[str, Any]]:
    plan = opened.plan
    for configuration in opened.study.configurations():
        complete = all(plan.state(use.table).complete for use in configuration.uses)
        address = tracker.run_address(configuration)
        for side in configuration.benchmarks:
            found = rows_of(configuration, side, plan).get("accuracy")
            yield {
                "configuration": configuration.name,
                "benchmark": side.removeprefix("test:"),
                "accuracy": share(found),
                "95% interval": interval(found),
                "questions": found.n if found else None,
                "state": "complete" if complete else "incomplete",
                "MLflow": f"[run]({address})" if address else "",
            }


def _description(opened: Opened, failures: Mapping[str, BaseException]) -> str:
    """Markdown above the table. What failed stands in a block of code, which renders nothing."""
    lines = [f"Results of `{opened.experiment.name}`: accuracy is avg@k, intervals are 95%."]
    if failures:
        faults = "\n".join(f"{table}: {brief(error)}" for table, error in failures.items())
        lines += ["", "Failed tables:", "", "```", faults.replace("`", "'"), "```"]
    return "\n".join(lines)
