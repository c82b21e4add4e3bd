"""A table as a Prefect task: one worker that claims its parts until none is left.

Prefect orders and shows; whether anything is to be done is asked of the store alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from rdpt_core.store.parts import Damaged
from tasks.plan import Plan
from tasks.running import Activity, beating
from tasks.stage import Table
from tasks.turns import Turns
from tasks.worker import Watcher, Worker


@dataclass(frozen=True)
class Order:
    """What a worker is told: the table, and where and under whose eyes to make it."""

    table: Table
    plan: Plan
    """Of the run."""
    runtime: Any
    watcher: Watcher
    experiment: str
    title: str
    """Of the table, as people read it."""
    unit: str
    """Of its work: tokens, steps, ..."""
    turns: Turns


@task(
    name="table",
    cache_policy=NO_CACHE,  # Prefect's cache holds no promise of ours: the store decides
    persist_result=False,
    log_prints=False,
)
def make_table(order: Order) -> State[dict[str, Any]] | dict[str, Any]:
    """Makes the parts that are missing and hands on the table's handle, never rows.

    Ends in the state `Cached` where nothing was missing. Submit it, so that a flow always holds a
    future; called directly it would hand back a raw State on a hit.
    """
    if order.plan.state(order.table).complete:
        return Completed(name="Cached", data=_handle(order))
    activity = Activity(order.experiment, order.title, order.table.digest, order.unit)
    with beating(order.watcher, order.runtime.workspace, activity) as watcher:
        Worker(order.plan, order.runtime, watcher, turns=order.turns).build(order.table)
    if not order.plan.state(order.table).complete:
        raise Damaged(f"{order.table.name}: a part that it needs does not hold")
    return _handle(order)


def _handle(order: Order) -> dict[str, Any]:
    parts = order.plan.state(order.table).parts
    return {"table": order.table.name, "parts": [part.key for part in parts]}
