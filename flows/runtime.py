"""The machine's settings as a command reads them: all their faults at once, before any work."""

from __future__ import annotations

import os

from pydantic import ValidationError
from pydantic_settings import SettingsError

from flows.checks import check_workspace
from rdpt_core.machine.environment import unremovable
from settings.loading import BadSettings, faults
from settings.runtime import PREFIX, Runtime, unknown_variables


def read_runtime(**changes: object) -> Runtime:
    """Raises BadSettings with everything that is wrong in the environment and in `.env`."""
    lines = []
    try:
        lines += [*unremovable(os.environ), *unknown_variables()]
        runtime = Runtime()
    except ValidationError as error:
        keys = [line.partition(":") for line in faults(error, Runtime)]
        lines += [f"{PREFIX}{key.upper()}:{rest}" for key, _, rest in keys]
    except SettingsError as error:  # the value is left out: it may hold a key
        lines.append(f"{error}: is not JSON")
    except (OSError, UnicodeDecodeError) as error:
        lines.append(f".env cannot be read: {error}")
    if lines:
        raise BadSettings("environment or .env", lines)
    check_workspace(runtime.workspace, writes=False)
    return runtime.model_copy(update=changes)
