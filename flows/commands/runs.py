"""`rdpt runs`: the experiments of the workspace, one line each, tab-separated."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from flows.commands.documents import print_json
from flows.runtime import read_runtime
from flows.workspace import NO_RUNS, Opened, brief, each_frozen, frozen_names
from rdpt_core.text.printable import printable
from tasks.plan import Plan
from tasks.progress import say


@dataclass(frozen=True)
class KnownRun:
    name: str
    tables_done: int | None
    """None where the experiment cannot be opened."""
    tables: int | None
    base: str | None
    """Folder from which its file's relative paths start."""
    error: str | None = None

    @property
    def line(self) -> str:
        if self.error is not None:
            return f"{self.name}\tcannot be opened\t{printable(self.error)}\n"
        return f"{self.name}\t{self.tables_done} of {self.tables} tables\t{self.base}\n"


def runs(as_json: bool) -> int:
    runtime = read_runtime()
    if not frozen_names(runtime):
        say(f"{runtime.workspace}: {NO_RUNS}")
    found: list[KnownRun] = []
    failed = each_frozen(runtime, lambda opened: found.append(_known(opened)), read_only=True)
    found += [KnownRun(name, None, None, None, brief(error)) for name, error in failed.items()]
    if as_json:
        print_json({"workspace": str(runtime.workspace), "experiments": found})
    else:
        sys.stdout.writelines(one.line for one in found)
    return 0


def _known(opened: Opened) -> KnownRun:
    plan = Plan(opened.store)
    states = [plan.state(table) for table in opened.study.tables()]
    done = sum(state.complete for state in states)
    return KnownRun(opened.experiment.name, done, len(states), str(opened.base))
