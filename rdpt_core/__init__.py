"""The science of rdpt: no Prefect, no MLflow, no setting from the environment; importable alone.

The public names are those of `__all__`, each with an example in `rdpt_core/api.py`. They are
imported when they are first used: numpy, Arrow and torch take seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdpt_core.api import (
        curves,
        grade,
        label,
        load_experiment,
        load_scorer,
        read,
        score,
        segment,
        select,
    )

__version__ = "0.1.0"
__all__ = [
    "curves",
    "grade",
    "label",
    "load_experiment",
    "load_scorer",
    "read",
    "score",
    "segment",
    "select",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rdpt_core import api

    return getattr(api, name)
