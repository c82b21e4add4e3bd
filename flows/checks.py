"""Checks before any work starts, so that a mistake costs seconds and writes nothing."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flows.disk import Room, estimated_room
from flows.workspace import Opened
from rdpt_core.machine.processor import has_gpu
from rdpt_core.machine.resources import NoRoom, amount, free_space, no_room
from rdpt_core.models.files import quantisation, stated_rows
from rdpt_core.models.refusals import check_folder, check_packing, check_weights
from rdpt_core.models.rendering.special_ids import check_rows
from settings.inventory import imports_thoughts, models_of, sources_of
from settings.loading import BadSettings
from settings.secrets import is_plain
from tasks import sources
from tasks.models import Model
from tasks.progress import say

FLOOR = 64_000_000
"""Bytes: Prefect's and MLflow's databases, the catalogue, and some parts."""
MARGIN = 1.2
"""Times what the parts that are left to build are estimated to take."""
NOTHING = Room(0, 0)


PREFECT = "PREFECT_API_URL"
PREFECT_SECONDS = 4.0


def is_complete(opened: Opened) -> bool:
    """True if the store has every part of the experiment."""
    return all(opened.plan.state(table).complete for table in opened.study.tables())


def check_before_work(opened: Opened, with_prefect: bool = True) -> None:
    """Everything that can be known to fail before a run starts, or a worker without one. Raises
    BadSettings with all faults of the inputs, ConnectionError where a service is away, NoRoom where
    the disk is too small."""
    check_workspace(opened.runtime.workspace, writes=True)
    if with_prefect:
        check_prefect()
    check_inputs(opened)
    if not is_complete(opened):
        check_room(opened.runtime.workspace, estimated_room(opened))


def check_workspace(workspace: Path, writes: bool) -> None:
    """Raises BadSettings for a workspace that is not a folder, or cannot be written where it is."""
    found = nearest(workspace)
    if not os.path.isdir(found):
        fault = f"{found} is not a folder"
    elif writes and not os.access(found, os.W_OK | os.X_OK):
        fault = f"{found} cannot be written"
    else:
        return
    raise BadSettings(f"workspace {workspace}", [f"{fault}: set RDPT_WORKSPACE to another folder"])


def nearest(path: Path) -> Path:
    """What of a path exists: itself, or the folder in which it would be made."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def check_room(workspace: Path, room: Room = NOTHING) -> None:
    """Raises NoRoom where what is left to build would not fit for certain, and warns where it might
    not: traces are mostly far shorter than they may become. Where not even the databases fit,
    Prefect's server does not start, and says so after minutes (measured)."""
    needed, most = (FLOOR + round(MARGIN * size) for size in room)
    free = free_space(workspace)
    if free < needed:
        raise NoRoom(workspace, needed, free)
    if free < most:
        say(
            f"warning: {amount(free)} free in {workspace}, and {amount(most)} needed if every "
            "trace reaches max_new_tokens: a run that fills the disk exits with 7 and can be "
            "resumed"
        )


def check_prefect() -> None:
    """Raises BadSettings or ConnectionError if PREFECT_API_URL names a server that does not answer;
    Prefect itself reports that after a minute and without the variable's name."""
    address = os.environ.get(PREFECT)
    if not address:
        return
    if not is_plain(address):
        raise BadSettings(
            PREFECT,
            [
                "holds a user, a password or a query, which Prefect ignores and prints: "
                "give only the address, and PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
            ],
        )
    try:
        with urllib.request.urlopen(address.rstrip("/") + "/health", timeout=PREFECT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:  # a server that wants a password answers a stranger 401
            return
        fault: Exception = error
    except (OSError, ValueError, http.client.HTTPException) as error:
        fault = error
    raise ConnectionError(
        f"{PREFECT} = {address} does not answer ({fault}): start that server, or unset the "
        "variable, and the run starts a server of its own"
    )


def check_inputs(opened: Opened) -> None:
    """Opens every file of problems or traces, and finds every data set of the hub and every model.

    Raises BadSettings with all that is wrong, ConnectionError where the hub is out of reach.
    """
    wanted = sources_of(opened.experiment)
    size, base = opened.experiment.part_size, opened.base
    lines = _faults("", wanted, lambda rule: sources.check(rule, size, base, opened.store))
    check_models(opened, lines)


def check_models(opened: Opened, others: Sequence[str] = ()) -> None:
    """Finds every model and reads its tokenizer and template.

    A model without thinking delimiters is refused where a thought may have to be laid for it:
    where some other model, or an import, separates thought from answer. Raises BadSettings with
    all that is wrong, and with what `others` found.
    """
    models, device = models_in(opened), opened.runtime.device
    lines = [*others, *_faults("model ", models, partial(_check_model, device))]
    if opened.experiment.scoring.path == "compiled":
        lines += _compiler_fault(device)
    if not lines and (
        imports_thoughts(opened.experiment)
        or any(model.renderer.contract.open for model in models.values())
    ):
        lines = _faults("model ", models, lambda model: model.renderer.require_thinking())
    # Last, since it hashes all weights and remembers that in the workspace.
    lines = lines or _faults("model ", models, _identify)
    if lines:
        raise BadSettings(str(opened.file), lines)


def models_in(opened: Opened) -> dict[str, Model]:
    """Every model that the experiment names."""
    specs = models_of(opened.experiment)
    return {name: opened.study.model(spec) for name, spec in specs.items()}


def _check_model(device: str, model: Model) -> None:
    """Checks files and tokenizer. A model behind a server has only these here; its server is
    checked with its identity."""
    check_folder(model.folder, model.spec)
    if model.spec.backend == "hf":
        check_weights(model.folder)
        packed = quantisation(model.folder)
        if packed is not None:
            check_packing(packed, has_gpu(device))
    num_rows = stated_rows(model.folder)
    if num_rows is not None and model.spec.gguf is None and model.spec.backend != "logged":
        check_rows(model.renderer, num_rows)
    assert model.renderer


def _compiler_fault(device: str) -> list[str]:
    """On a CPU torch.compile writes C++."""
    compilers = (shutil.which("g++"), shutil.which("clang++"), os.environ.get("CXX"))
    if has_gpu(device) or any(compilers):
        return []
    return [
        'scoring.path: "compiled" needs a C++ compiler, and there is none: install g++, or '
        'take path = "exact"'
    ]


def _identify(model: Model) -> None:
    """Every model of an experiment scores; one whose server is down, and was known before, may
    not be needed any more."""
    model.identity()
    if model.spec.backend == "server":
        with suppress(ConnectionError):
            model.remote.require_sampling()
            model.remote.require_scoring()


def _faults(kind: str, things: Mapping[str, Any], check: Callable[[Any], object]) -> list[str]:
    """What is wrong with each of them, one line with its name each. Raises ConnectionError with
    what could not be reached where nothing else is wrong, NoRoom where a disk is full."""
    lines, unreachable = [], []
    for name, thing in things.items():
        try:
            check(thing)
        except ConnectionError as error:
            unreachable.append(f"{kind}{name}: {error}")
        except (ValueError, OSError) as error:
            full = no_room(error)
            if full is not None:
                raise full from error
            lines.append(f"{kind}{name}: {error}")
    if unreachable and not lines:
        raise ConnectionError("\n".join(unreachable))
    return lines
