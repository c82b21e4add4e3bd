"""`rdpt gc`: removes what no experiment of the workspace reaches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flows.catalogue import published, refresh_catalogue
from flows.commands.documents import print_json
from flows.runtime import read_runtime
from flows.workspace import Opened, brief, frozen_names, open_frozen
from rdpt_core.machine.resources import amount
from rdpt_core.report.words import counted
from rdpt_core.store import sweep
from rdpt_core.store.parts import Store
from rdpt_core.store.sweep import PartName, Stray
from rdpt_core.text.printable import printable
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.plan import Plan, TableState
from tasks.progress import counting, say
from tasks.running import Activity, activities, nobody_runs
from tasks.stores import store_of

DAY = 86400.0
GONE, WOULD_GO, KEPT = "gone", "would go", "kept: "
LEFT_OVER = (".*.tmp", "runs/*/.*.tmp", "store/sources/*.tmp")
"""Temporary files that a crash may leave in a workspace, outside the store's parts."""


def gc(dry_run: bool, as_json: bool = False) -> int:
    """Prints a line for everything that no experiment uses: removed, or why it is kept."""
    runtime = read_runtime()
    _require_own_store(runtime)
    with nobody_runs(runtime.workspace) as alone:
        fates = _fates(runtime, alone, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "items": list(_documents(fates))})
    else:
        for stray, fate in fates.items():
            sys.stdout.write(f"{stray.kind}\t{printable(stray.name)}\t{stray.size}\t{fate}\n")
    went = [stray for stray, fate in fates.items() if fate in (GONE, WOULD_GO)]
    kept = [stray for stray in fates if stray not in set(went)]
    say(f"{'would free' if dry_run else 'freed'} {_sum(went)}; kept though unused: {_sum(kept)}")
    return 0


def _documents(fates: Mapping[Stray, str]) -> Iterator[dict[str, Any]]:
    for stray, fate in fates.items():
        removed = fate == GONE
        reason = None if fate in (GONE, WOULD_GO) else fate.removeprefix(KEPT)
        yield {
            "kind": stray.kind,
            "name": stray.name,
            "bytes": stray.size,
            "removed": removed,
            "kept_because": reason,
        }


def _fates(runtime: Runtime, alone: bool, dry_run: bool) -> dict[Stray, str]:
    """Everything that no experiment uses, with what became of it."""
    found = list(_strays(runtime, *_reached(runtime)))
    running = [] if alone else [a for a, lives, _ in activities(runtime.workspace) if lives]
    fates = {stray: _kept(stray, runtime.gc_grace_days, alone, running) for stray in found}
    going = [stray for stray, reason in fates.items() if reason is None]
    became = dict.fromkeys(going, WOULD_GO) if dry_run else _removed(runtime, going)
    return {stray: reason or became[stray] for stray, reason in fates.items()}


def _removed(runtime: Runtime, going: list[Stray]) -> dict[Stray, str]:
    """What became of each; the catalogue is updated even if removing fails halfway."""
    if not going:
        return {}
    store, became = store_of(runtime), {}
    try:
        with counting("gc", "items", len(going)) as advance:
            for stray in going:
                gone = sweep.remove(store, stray)
                became[stray] = GONE if gone else f"{KEPT}another process is using it"
                advance(1)
    finally:
        refresh_catalogue(runtime)
    return became


def _require_own_store(runtime: Runtime) -> None:
    """Nothing outside the workspace is ever removed, and never everything."""
    root = runtime.store_folder
    if not root.is_dir():
        raise BadSettings(str(runtime.workspace), ["this workspace has no store"])
    if not root.resolve().is_relative_to(runtime.workspace.resolve()):
        raise BadSettings(
            str(root),
            [
                f"lies at {root.resolve()}, outside the workspace, where nothing is removed: other "
                "workspaces may use its parts. Either set RDPT_WORKSPACE to the folder that holds "
                "it, or move it back"
            ],
        )
    if not frozen_names(runtime):
        raise BadSettings(
            str(runtime.workspace),
            [
                "this workspace has no runs, so its whole store would be removed: delete the "
                "folder yourself if that is what you want"
            ],
        )


def _reached(runtime: Runtime) -> tuple[set[PartName], set[PartName]]:
    """The parts of all experiments, and those that they would build."""
    reached: set[PartName] = set()
    working: set[PartName] = set()
    for folder in sorted(path for path in (runtime.workspace / "runs").glob("*") if path.is_dir()):
        try:
            # Also of a folder that lost its experiment, whose parts must not go for that.
            opened = open_frozen(folder.name, runtime, read_only=True)
            plan = Plan(opened.store, peek=True)
            states = [plan.state(table) for table in opened.study.tables()]
        except (ValueError, OSError) as error:
            raise BadSettings(
                str(folder),
                [
                    f"cannot tell which parts it uses: {brief(error)}",
                    f"either restore it, or delete {folder} if it is no longer needed",
                ],
            ) from error
        reached |= {(part.table, part.key) for state in states for part in state.parts}
        working |= {(t.table.name, wanted.key) for t in states for wanted in t.missing}
        working |= set(_once_begun(opened.store, states))
        if not all(state.complete for state in states):
            reached |= set(_once_used(opened))
    return reached, working


def _once_begun(store: Store, tables: Iterable[TableState]) -> Iterator[PartName]:
    """Unfinished parts of tables that lack an input: their keys are unknown until it exists."""
    for table in {table.table.name for table in tables if table.is_blocked}:
        yield from sweep.unfinished(store, table)


def _once_used(opened: Opened) -> Iterator[PartName]:
    """What an experiment used when it was last whole: where a part was lost since, those that
    follow from it cannot be derived until it is built again."""
    past = published(opened)
    for use in past.uses if past else ():
        yield use.table, use.part


def _strays(runtime: Runtime, reached: set[PartName], working: set[PartName]) -> Iterator[Stray]:
    yield from sweep.strays(store_of(runtime, read_only=True), reached, working)
    paths = [path for pattern in LEFT_OVER for path in runtime.workspace.glob(pattern)]
    yield from sweep.leftovers(sorted(paths))
    dead = [path for _, lives, path in activities(runtime.workspace) if not lives]
    yield from sweep.leftovers(dead)


def _kept(stray: Stray, days: float, alone: bool, running: Iterable[Activity]) -> str | None:
    """Why something unused is kept; None if it is removed."""
    if stray.age < days * DAY:
        return f"{KEPT}younger than {days:g} days (RDPT_GC_GRACE_DAYS)"
    if not alone and stray.kind != "quarantined":
        pids = sorted({str(activity.pid) for activity in running})
        return f"{KEPT}a run is active (process {', '.join(pids) or 'unknown'}) and may use it"
    return None


def _sum(strays: Iterable[Stray]) -> str:
    found = list(strays)
    return f"{amount(sum(stray.size for stray in found))} in {counted(found, 'item')}"
