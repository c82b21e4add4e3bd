"""`rdpt runs`: the experiments of the workspace, one line each, tab-separated."""

from __future__ import annotations

import sys

from flows.commands.verb import Verb
from flows.runtime import read_runtime
from flows.workspace import NO_RUNS, Opened, brief, each_frozen, frozen_names
from rdpt_core.text.printable import printable
from tasks.plan import Plan
from tasks.progress import say


class Runs(Verb):
    """List the experiments of the workspace, each with the number of its complete tables.

    rdpt runs
    RDPT_WORKSPACE=elsewhere rdpt runs
    """

    def act(self) -> int:
        runtime = read_runtime()
        if not frozen_names(runtime):
            say(f"{runtime.workspace}: {NO_RUNS}")
        failed = each_frozen(runtime, _list_run, read_only=True)
        for name, error in failed.items():
            sys.stdout.write(f"{name}\tcannot be opened\t{printable(brief(error))}\n")
        return 0


def _list_run(opened: Opened) -> None:
    plan = Plan(opened.store)
    states = [plan.state(table) for table in opened.study.tables()]
    done = sum(state.complete for state in states)
    name = opened.experiment.name
    sys.stdout.write(f"{name}\t{done} of {len(states)} tables\t{opened.base}\n")
