"""What of an experiment exists, and how long the rest will take, in one line."""

from __future__ import annotations

from flows.workspace import Opened
from tasks.pace import Pace
from tasks.plan import Plan


def pace_of(opened: Opened, plan: Plan) -> Pace:
    return Pace(plan, opened.study.tables(), opened.runtime.workers)


def sum_of(opened: Opened, plan: Plan, pace: Pace) -> str:
    """`12 of 49 tables cached; 37 to build, ~3 min`"""
    states = [plan.state(table) for table in opened.study.tables()]
    num_cached = sum(state.complete for state in states)
    cached = f"{num_cached} of {len(states)} tables cached"
    if num_cached == len(states):
        return f"{cached}; nothing to build"
    left = pace.left()
    when = f", {left.time}" if left.time else ""
    return f"{cached}; {len(states) - num_cached} to build{when}"
