"""Lineage as Prefect's assets: an asset is a table with the contents that it has now.

Its key ends in a digest of the parts' contents, which also stands in `tables.json` of MLflow
runs. So equal tables of two runs are one asset, and one that was changed is another. There is an
asset for each table, not for each part: a large table has thousands of parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prefect.assets import Asset, AssetProperties, add_asset_metadata
from prefect.context import AssetContext

from rdpt_core.store.parts import contents_digest
from rdpt_core.store.record import Part


def asset_key(experiment: str, table: str, parts: Iterable[Part]) -> str:
    return f"rdpt://{experiment}/{table}/{contents_digest(parts)}"


def name_asset(experiment: str, table: str, title: str, parts: Sequence[Part]) -> None:
    """Names what the running task makes. Prefect tells it once the task has succeeded, with the
    assets of the tasks that it waited for; of a task in state `Cached` it tells nothing.

    `@materialize` wants the key before the task runs, when the contents do not exist: so the
    asset is added to the task's context.
    """
    context = AssetContext.get()
    if context is None:
        return
    asset = Asset(key=asset_key(experiment, table, parts), properties=AssetProperties(name=title))
    context.downstream_assets.add(asset)
    context.update_tracked_assets()
    num_rows = sum(part.num_rows for part in parts)
    add_asset_metadata(asset, {"parts": len(parts), "rows": num_rows})
