"""The store of a runtime."""

from __future__ import annotations

from collections.abc import Callable

from rdpt_core.store.opening import open_store
from rdpt_core.store.parts import Store
from settings.runtime import Runtime


def store_of(
    runtime: Runtime, warn: Callable[[str], None] = lambda line: None, read_only: bool = False
) -> Store:
    return open_store(
        runtime.store_folder,
        address=runtime.store_address,
        locks=runtime.locks,
        lease_seconds=runtime.lease_seconds,
        warn=warn,
        read_only=read_only,
    )
