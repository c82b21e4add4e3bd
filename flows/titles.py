"""How people read a table: its name, whose it is, and for whom it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.configurations import Configuration
from flows.study.study import Study
from tasks.stage import Table
from tasks.workers.loop import Job

MAX_NAMED = 3
"""So many users of a table are counted, fewer are named."""
MAX_TAGGED = 20
"""Configurations that a table's tags name."""
UNITS = {"traces": "tokens", "scores": "tokens", "grades": "answers", "students": "steps"}
"""What the work of a table is counted in; rows where it is not here."""


def users_of(configurations: Iterable[Configuration]) -> dict[str, list[Configuration]]:
    """Maps the digest of a table to the configurations that use it."""
    users: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        for use in configuration.uses:
            found = users.setdefault(use.table.digest, [])
            if configuration not in found:
                found.append(configuration)
    return users


def title(table: Table, users: Sequence[Configuration]) -> str:
    """Table, whose, and for whom: `scores teacher [teacher_count]`."""
    uses = [(c, use) for c in users for use in c.uses if use.table.digest == table.digest]
    roles = list(dict.fromkeys(use.role for _, use in uses if use.role))
    sides = list(dict.fromkeys(use.side for _, use in uses))
    whose = users[0].name if len(users) == 1 else "all" if users else ""
    return " ".join([table.name, *roles[:1], *sides[:1], f"[{whose}]"])


def used_by(table: Table, users: Sequence[Configuration]) -> tuple[str, str, str]:
    """Names of its users, or how many they are; role and side where it has one of them."""
    uses = [use for c in users for use in c.uses if use.table.digest == table.digest]
    names = " and ".join(c.name for c in users)
    whose = names if len(users) < MAX_NAMED else f"{len(users)} configurations"
    return whose, next((u.role for u in uses if u.role), ""), next((u.side for u in uses), "")


def tags_of(table: Table, users: Sequence[Configuration], experiment: str) -> frozenset[str]:
    """What Prefect's pages are filtered by. A table that very many configurations use names none
    of them: Prefect's server is asked for each tag whether it has a limit."""
    sides = {use.side for c in users for use in c.uses if use.table.digest == table.digest}
    names = {c.name for c in users} if len(users) <= MAX_TAGGED else {"many"}
    return frozenset(
        {
            f"experiment:{experiment}",
            f"stage:{table.name}",
            *(f"side:{side}" for side in sides),
            *(f"configuration:{name}" for name in names),
        }
    )


def jobs_of(study: Study) -> list[Job]:
    """All tables of a study with what people call them, each after those that it needs."""
    users = users_of(study.configurations())
    return [
        Job(table, title(table, users.get(table.digest, [])), UNITS.get(table.name, "rows"))
        for table in study.tables()
    ]
