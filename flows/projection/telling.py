"""What MLflow is told of an experiment: of every configuration, and of the study that they are.

Nothing is absent because it failed: a configuration that is not complete is a run with its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from flows.configurations import Configuration
from flows.projection.configuration import project, project_unfinished
from flows.projection.pictures import Pictures, pictures_of
from flows.projection.study import project_study, study_of
from flows.titles import title, users_of
from flows.workspace import Opened
from tasks import stopping
from tasks.progress import brief, say
from tasks.projection import State
from tasks.running import activities
from tasks.stage import StageTable, Table
from tasks.tracking.tracker import Tracker


def tell_begun(opened: Opened, tracker: Tracker) -> None:
    """Every configuration that the run is about to build."""
    configurations = opened.study.configurations()
    unfinished = [one for one in configurations if not is_complete(opened, one)]
    for one in unfinished:
        tell_unfinished(opened, tracker, one, State.RUNNING, ())
    if unfinished:
        states = dict.fromkeys([one.digest for one in unfinished], State.RUNNING)
        tell_study(opened, tracker, states, None)


def tell_again(opened: Opened, tracker: Tracker, complete: Sequence[Configuration]) -> int:
    """Everything, as `rdpt sync` does; the number of configurations that are not complete. Those of
    a run that is active are left to it."""
    for one in complete:
        tell_complete(opened, tracker, one)
    done = {one.digest for one in complete}
    rest = [one for one in opened.study.configurations() if one.digest not in done]
    state = State.RUNNING if _is_active(opened) else State.KILLED
    for one in rest if state is State.KILLED else ():
        tell_unfinished(opened, tracker, one, state, ())
    states = dict.fromkeys([one.digest for one in rest], state)
    tell_study(opened, tracker, states, _pictures(opened, tracker))
    return len(rest)


def _is_active(opened: Opened) -> bool:
    found = activities(opened.runtime.workspace)
    return any(lives and one.experiment == opened.experiment.name for one, lives, _ in found)


def tell_complete(opened: Opened, tracker: Tracker, configuration: Configuration) -> None:
    parent = study_of(opened.study.configurations())
    tracker.configuration(configuration.name, partial(project, opened, configuration, parent))


def tell_ended(opened: Opened, tracker: Tracker, failures: Mapping[str, BaseException]) -> None:
    """What a run leaves undone, by the tables that failed; then the comparison."""
    configurations = opened.study.configurations()
    users, states = users_of(configurations), {}
    faults = {t: e for t, e in failures.items() if not isinstance(e, stopping.Stopped)}
    for one in configurations:
        if not is_complete(opened, one):
            reasons = _reasons(one, users, faults)
            states[one.digest] = State.FAILED if reasons else State.KILLED
            tell_unfinished(opened, tracker, one, states[one.digest], reasons)
    stopped = len(faults) < len(failures)
    tell_study(opened, tracker, states, None if stopped else _pictures(opened, tracker))


def tell_unfinished(
    opened: Opened,
    tracker: Tracker,
    configuration: Configuration,
    state: State,
    reasons: tuple[str, ...],
) -> None:
    parent = study_of(opened.study.configurations())
    tracker.configuration(
        configuration.name,
        partial(project_unfinished, opened, configuration, parent, state, reasons),
    )


def tell_study(
    opened: Opened, tracker: Tracker, states: Mapping[str, State], pictures: Pictures | None
) -> None:
    """The comparison; then, in the run of every complete configuration, what is to be looked at."""
    configurations = opened.study.configurations()
    files = pictures.of_study() if pictures else {}
    study = partial(project_study, opened, configurations, states, files)
    tracker.configuration("the comparison", study)
    if pictures is not None:
        for one in configurations:
            if one.digest not in states:
                tracker.files(one, partial(pictures.of_configuration, one.name))


def _pictures(opened: Opened, tracker: Tracker) -> Pictures | None:
    """None where they cannot be made: the numbers are told without them."""
    if not tracker.is_on:
        return None
    try:
        return pictures_of(opened)
    except Exception as error:
        say(f"warning: MLflow gets no figures: {brief(error)}")
        return None


def is_complete(opened: Opened, configuration: Configuration) -> bool:
    return all(opened.plan.state(use.table).complete for use in configuration.uses)


def _reasons(
    configuration: Configuration,
    users: Mapping[str, list[Configuration]],
    faults: Mapping[str, BaseException],
) -> tuple[str, ...]:
    """The tables that it needs and that failed, with their errors."""
    needed = {title(t, users.get(t.digest, [])) for t in _needed(configuration)} if faults else ()
    return tuple(f"{name}: {brief(error)}" for name, error in faults.items() if name in needed)


def _needed(configuration: Configuration) -> Sequence[Table]:
    found: dict[str, Table] = {}
    waiting: list[Table] = [use.table for use in configuration.uses]
    while waiting:
        table = waiting.pop()
        if table.digest not in found:
            found[table.digest] = table
            waiting += table.needs() if isinstance(table, StageTable) else []
    return list(found.values())
