"""What of this machine will stop a run.

Each finding comes with the way out. A failure is what will not work; a warning is what works, but
not as one might expect.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from flows import IGNORED_VARIABLES
from flows.checks import nearest
from flows.commands.doctor.findings import Finding, Level
from flows.commands.ui.servers import listens
from rdpt_core.defaults import MLFLOW_PORT, PREFECT_PORT
from rdpt_core.store.mounts import flock_excludes, mount_of
from settings.runtime import Runtime, num_processors
from tasks.stores import store_of

FREE_FAIL, FREE_WARN = 0.2e9, 5e9
"""Bytes. A pocket experiment takes 0.1 GB; 100,000 traces of 4,000 tokens under three models
take 9 GB (7.3 bytes a token and model)."""
PORTS = {"MLflow": MLFLOW_PORT, "Prefect": PREFECT_PORT}


def machine_findings(runtime: Runtime) -> Iterator[Finding]:
    yield from _packages()
    folder = nearest(runtime.workspace)
    yield _disk(folder)
    yield _writes(folder)
    yield _locks(runtime, folder)
    yield from _ports()
    yield _device(runtime)
    yield _threads(runtime)
    ignored = ", ".join(IGNORED_VARIABLES) or "none"
    yield Finding(Level.OK, "ignored variables", f"{ignored} (those that would move numbers)")


# ---------------------------------------------------------------------------- packages


def _packages() -> Iterator[Finding]:
    """Against the bounds of the package; then against the versions that were tested."""
    wrong = [fault for line in _requirements() if (fault := _package_fault(line))]
    for fault in wrong:
        yield Finding(Level.FAIL, "packages", fault, "install with -c constraints.txt (make venv)")
    if not wrong:
        python = ".".join(map(str, sys.version_info[:3]))
        yield Finding(Level.OK, "packages", f"within their bounds, Python {python}")
    others = [
        f"{name} {have} (tested {pin})"
        for name, pin in _pins()
        if (have := _version(name)) and have.partition("+")[0] != pin
    ]
    if others:
        yield Finding(
            Level.WARN,
            "packages",
            f"not as tested: {', '.join(others)}",
            "fine within the bounds; results may differ in low bits",
        )


def _requirements() -> list[str]:
    """Requirements of the installed package, or of the checkout that this file lies in."""
    try:
        return [line for line in requires("rdpt") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        path = _checkout() / "pyproject.toml"
        text = path.read_text(encoding="utf-8") if path.exists() else "project.dependencies = []"
        return list(tomllib.loads(text)["project"]["dependencies"])


def _package_fault(line: str) -> str | None:
    requirement = Requirement(line)
    have = _version(requirement.name)
    if have is None:
        return f"{requirement.name} is not installed ({line})"
    sound = requirement.specifier.contains(have, prereleases=True)
    return None if sound else f"{requirement.name} is {have}, needed is {requirement.specifier}"


def _pins() -> list[tuple[str, str]]:
    """What constraints.txt holds of the direct dependencies; a wheel brings none."""
    path = _checkout() / "constraints.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))
    names = [Requirement(line).name for line in _requirements()]
    return [(name, pins[name]) for name in names if name in pins]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _checkout() -> Path:
    return Path(__file__).resolve().parents[3]


# ---------------------------------------------------------------------------- the workspace


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    state = Level.FAIL if free < FREE_FAIL else Level.WARN if free < FREE_WARN else Level.OK
    advice = "free some, run `rdpt gc`, or set RDPT_WORKSPACE to another disk"
    return Finding(
        state,
        "disk",
        f"{free / 1e9:,.1f} GB free at {folder}",
        "" if state is Level.OK else advice,
    )


def _writes(folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rdpt-doctor-"):
            return Finding(Level.OK, "writing", f"allowed in {folder}")
    except OSError as error:
        return Finding(
            Level.FAIL,
            "writing",
            f"refused in {folder}: {error.strerror}",
            "set RDPT_WORKSPACE to a folder that you may write to",
        )


def _locks(runtime: Runtime, folder: Path) -> Finding:
    """Notes of the workspace, and the list of its runs, are locked by flock on any file system;
    parts of the store by leases where flock does not reach every machine."""
    kind = mount_of(folder).kind
    if not flock_excludes(folder):
        return Finding(
            Level.FAIL,
            "file locks",
            f"do not hold in {folder} ({kind})",
            "put the workspace on a local disk; only the store may be shared (RDPT_STORE)",
        )
    store = runtime.store_folder
    by = "leases" if store_of(runtime).leases else "flock"
    return Finding(Level.OK, "file locks", f"hold ({kind}); parts by {by} ({mount_of(store).kind})")


# ---------------------------------------------------------------------------- ports, devices


def _ports() -> Iterator[Finding]:
    for name, port in PORTS.items():
        if listens(port):
            flag = f"--{name.lower()}-port {port + 1}"
            yield Finding(
                Level.WARN,
                f"port {port}",
                f"in use, maybe by `rdpt ui` ({name})",
                f"if it is something else: rdpt ui {flag}",
            )
        else:
            yield Finding(Level.OK, f"port {port}", f"free, for {name} of `rdpt ui`")


def _device(runtime: Runtime) -> Finding:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.mem_get_info()[1] / 1e9
        name = f"{torch.cuda.get_device_name()}, {memory:.0f} GB"
        unused = runtime.device == "cpu"
        return Finding(
            Level.WARN if unused else Level.OK,
            "device",
            f"{name}{', not used' if unused else ''}",
            "RDPT_DEVICE=auto uses it" if unused else "",
        )
    if runtime.device == "cuda":
        return Finding(
            Level.FAIL,
            "device",
            "RDPT_DEVICE is cuda; torch sees no GPU",
            "set RDPT_DEVICE=auto, or install torch for CUDA",
        )
    return Finding(Level.OK, "device", "CPU")


def _threads(runtime: Runtime) -> Finding:
    usable = num_processors()
    said = f"{runtime.threads} for each of {runtime.workers} workers, {usable} processors"
    if runtime.threads * runtime.workers > usable:
        return Finding(
            Level.WARN,
            "threads",
            said,
            "set RDPT_WORKERS lower; it moves no number, and RDPT_THREADS moves low "
            "bits of what is sampled",
        )
    return Finding(Level.OK, "threads", said)
