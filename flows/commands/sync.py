"""`rdpt sync`: every complete configuration of the store is logged to MLflow again."""

from __future__ import annotations

from flows import errors
from flows.configurations import Configuration
from flows.runtime import read_runtime
from flows.workspace import Opened, brief, each_frozen, open_frozen
from settings.runtime import Runtime
from tasks.progress import say


def sync(name: str) -> int:
    runtime = read_runtime(tracking_required=True)  # MLflow is all that this verb is for
    if not name:
        return _sync_all(runtime)
    opened = open_frozen(name, runtime)
    _log(opened, _complete(opened))
    return 0


def _sync_all(runtime: Runtime) -> int:
    """2 or 5 where an experiment cannot be logged; the others are."""
    # Before MLflow is asked for anything: its own faults end the command.
    found: list[tuple[Opened, list[Configuration]]] = []
    failed = each_frozen(runtime, lambda opened: found.append((opened, _complete(opened))))
    for opened, complete in found:
        _log(opened, complete)
    for name, error in failed.items():
        say(f"{name} is not up to date in MLflow: {brief(error)}", urgent=True)
    away = any(isinstance(error, ConnectionError) for error in failed.values())
    return 0 if not failed else errors.SERVICE if away else errors.USAGE


def _complete(opened: Opened) -> list[Configuration]:
    from flows.projection.telling import is_complete

    return [c for c in opened.study.configurations() if is_complete(opened, c)]


def _log(opened: Opened, complete: list[Configuration]) -> None:
    from flows.projection.telling import tell_again
    from tasks.tracking.tracker import Tracker

    tracker = Tracker(opened.runtime, opened.experiment.name)
    num_unfinished = tell_again(opened, tracker, complete)
    tracker.close()
    rest = f", {num_unfinished} not finished" if num_unfinished else ""
    say(
        f"{opened.experiment.name}: {len(complete)} complete configurations are up to date in "
        f"MLflow{rest}"
    )
