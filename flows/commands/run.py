"""`rdpt run` and `rdpt resume`: build what the store lacks, then print the results."""

from __future__ import annotations

import sys

from flows import accounts, errors
from flows.catalogue import is_published, publish_catalogue
from flows.checks import check_before_work, is_complete
from flows.commands.compare import document
from flows.commands.documents import print_json
from flows.forecast import pace_of, sum_of
from flows.prefect_home import prepare_prefect
from flows.report.files import address, update
from flows.results.tables import print_results, say_address
from flows.runtime import read_runtime
from flows.workspace import Opened, freeze, is_frozen, open_file, open_frozen
from settings.loading import find_experiment
from tasks.artifacts import rehome
from tasks.bars import BARS
from tasks.progress import say


def run_file(file: str, wait: bool, as_json: bool) -> int:
    return run(open_file(find_experiment(file), read_runtime(wait=wait)), as_json)


def resume(name: str, wait: bool, as_json: bool) -> int:
    """Runs an experiment as the workspace keeps it; the last one where none is named."""
    return run(open_frozen(name or None, read_runtime(wait=wait)), as_json)


def run(opened: Opened, as_json: bool = False) -> int:
    """Builds what is missing; ends with the account of imports and the table of results."""
    log = opened.runtime.workspace / "logs" / f"{opened.experiment.name}.jsonl"
    say(f"{opened.experiment.name} in {opened.runtime.workspace} (log: {log})")
    check_before_work(opened)
    if is_complete(opened):
        say("up to date: every part exists")
        if not is_frozen(opened):
            freeze(opened)
        rehome(opened.runtime)
        if not is_published(opened):
            publish_catalogue(opened)
    elif failed := _build(opened):
        return failed
    for line in accounts.account_lines(opened):
        say(line)
    if as_json:
        print_json(document(opened, opened.plan))
    else:
        print_results(opened)
    sys.stdout.flush()  # before MLflow is imported, which takes seconds
    say_address(opened)
    path = update(opened)
    if path is not None:
        say(f"the report: {address(path)}")
    return 0


def _build(opened: Opened) -> int:
    """The exit code of what stopped the run; 0 where nothing did."""
    say(sum_of(opened, opened.plan, pace_of(opened, opened.plan)))
    prepare_prefect(opened.runtime)
    BARS.open("starting Prefect's server", None)  # until the first table is begun
    from flows.experiment import run_flow

    try:
        failures = run_flow(opened)
    finally:
        BARS.clear()
    if not failures:
        return 0
    for table, error in failures.items():
        say(f"failed: {table}: {error}", urgent=True)
    say(f"resume with: rdpt resume {opened.experiment.name}")
    return max(errors.code_of(error) for error in failures.values())
