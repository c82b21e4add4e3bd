"""The machine: where an experiment runs. Nothing here reaches a key of the store.

Read from `RDPT_*` variables, a `.env` file and, last, the defaults below.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from rdpt_core.machine.processor import gpus, has_gpu
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.spelling import nearest
from settings.secrets import is_plain

PREFIX = "RDPT_"
NESTED = "__"
MOST_WORKERS = 4
"""Default limit: each worker holds a batch's keys and values, or a training, in memory."""
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
"""Lower case and without a double underscore: it is part of a variable's name."""


class RayCluster(Rule):
    """A Ray cluster, and the resources that a worker on it is given."""

    address: str = "auto"
    """`auto` for the cluster of this machine, `local` to start one here, or `host:port`."""
    cpus: float = Field(default=1.0, ge=0.0)
    gpus: float = Field(default=0.0, ge=0.0)
    """GPUs of a worker, which sees no others."""
    memory_gb: float = Field(default=0.0, ge=0.0)
    """Memory that Ray reserves for a worker; 0 reserves none."""


class Runtime(BaseSettings):
    """Where and with what; see `.env` and the variables `RDPT_WORKSPACE`, `RDPT_THREADS`, ..."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_nested_delimiter=NESTED,
        extra="ignore",
        frozen=True,
    )

    workspace: Path = Path("workspace")
    """Holds store/, rdpt.duckdb, mlflow.db, prefect/, runs/, logs/."""
    store: str | None = None
    """Where the parts are, for machines that share them and have workspaces of their own: a folder,
    or an object store such as `s3://bucket/prefix`, of which the workspace keeps a cache (needs
    `rdpt[s3]`; keys and endpoint come from the AWS_* variables). None is `store` in the workspace.
    """
    locks: Literal["auto", "flock", "lease"] = "auto"
    """How workers keep apart in the store: flock of the kernel, or a lease with a heartbeat. auto
    takes flock where it excludes every machine that mounts the folder."""
    lease_seconds: float = Field(default=60.0, ge=1.0)
    """Time without a heartbeat after which another worker takes a part over. A longer one survives
    longer stalls; a killed worker's part is idle for that long."""
    tracking: str | None = None
    """MLflow address; None is `mlflow.db` in the workspace, "off" logs nothing."""
    tracking_required: bool = False
    """True if a run fails without MLflow (exit 5)."""
    threads: int = Field(default=1, ge=1, le=512)
    """Torch threads of a worker. Fixed, not the machine's core count: sums of another number of
    threads round differently, and sampled texts would no longer repeat."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    device_batch: int = Field(default=4, ge=1)
    """Examples in one forward of a fine-tuning; the recipe names the global batch."""
    runner: Literal["local", "processes", "ray"] = "local"
    """Who builds parts: `local`, threads of the run's process, which share one model in memory;
    `processes`, worker processes that hold a model each; `ray`, such processes on the machines of a
    Ray cluster (needs `rdpt[ray]`). Changes no number."""
    ray: RayCluster = RayCluster()
    """The cluster of `ray`, and what a worker on it gets, such as `RDPT_RAY__GPUS=1`."""
    workers: int = Field(
        default_factory=lambda known: _workers(known.get("device"), known.get("runner")),
        ge=1,
        le=64,
    )
    """Parts that are built at the same time: traces sampled, texts scored, students trained. Moves
    no number. By default one for each processor, 4 at most, and where there are GPUs 1, or with
    `processes` one for each GPU."""
    graders: int = Field(default=2, ge=1, le=256)
    """Processes that check answers."""
    servers: dict[ServerName, ModelServer] = {}
    """Model servers by name, such as `RDPT_SERVERS='{"lab": {"url": "http://127.0.0.1:8000/v1"}}'`;
    a key goes into a variable of its own, `RDPT_SERVERS__LAB__API_KEY`."""
    wait: bool = True
    """True to wait for parts that another run is building, False to exit with 4."""
    gc_grace_days: float = Field(default=7.0, ge=0.0)
    """Age below which `rdpt gc` keeps what no experiment reaches."""
    verbose: bool = False

    @field_validator("servers", mode="wrap")
    @classmethod
    def _without_secrets(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """What is wrong with a server is said without what was found: it may be its key."""
        try:
            return read(value)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
            raise ValueError("; ".join(lines)) from None

    @field_validator("tracking")
    @classmethod
    def _holds_no_secret(cls, tracking: str | None) -> str | None:
        if tracking and tracking.startswith(("http://", "https://")) and not is_plain(tracking):
            raise ValueError(
                "holds a user, a password or a query, which MLflow ignores and prints: give "
                "only the address, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN"
            )
        return tracking

    @field_validator("store")
    @classmethod
    def _is_a_place(cls, store: str | None) -> str | None:
        if store is None or "://" not in store:
            return store or None
        if not store.startswith("s3://") or not store.removeprefix("s3://").strip("/"):
            raise ValueError("is neither a folder nor an address such as s3://bucket/prefix")
        if not is_plain(store):
            raise ValueError(
                "holds a user, a password or a query: give only bucket and prefix, and the keys in "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return store.rstrip("/")

    @property
    def store_address(self) -> str | None:
        """The address of an object store; None if the parts are in a folder."""
        return self.store if self.store and "://" in self.store else None

    @property
    def store_folder(self) -> Path:
        """The folder of the parts, or of the cache of an object store."""
        if self.store_address:
            return self.workspace / "cache" / ids.digest(self.store_address)[:12]
        return Path(self.store) if self.store else self.workspace / "store"

    @property
    def catalog(self) -> Path:
        return self.workspace / "rdpt.duckdb"

    @property
    def tracking_uri(self) -> str:
        return self.tracking or f"sqlite:///{self.workspace / 'mlflow.db'}"


def variables(runtime: Runtime) -> dict[str, str]:
    """The settings as environment variables, for a process that is to work in the same way."""
    values = runtime.model_dump(mode="json", exclude={"servers"}, exclude_none=True)
    values |= {"workspace": str(runtime.workspace.resolve())}
    if runtime.store and not runtime.store_address:
        values |= {"store": str(runtime.store_folder.resolve())}
    servers = {name: one.model_dump(mode="json") for name, one in runtime.servers.items()}
    for name, server in runtime.servers.items():
        servers[name]["api_key"] = server.api_key and server.api_key.get_secret_value()
    found = {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}
    found |= {"servers": json.dumps(servers)} if servers else {}
    return {f"{PREFIX}{name.upper()}": value for name, value in found.items()}


def _workers(device: str | None, runner: str | None) -> int:
    """Either is None where it was not valid, which is an error of its own."""
    if has_gpu(device or "auto"):
        return max(1, len(gpus())) if runner == "processes" else 1
    return min(MOST_WORKERS, num_processors())


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def unknown_variables() -> list[str]:
    """One line for every `RDPT_*` variable, of the environment or of `.env`, that is not a field of
    Runtime, with the nearest name."""
    lines = []
    for name in sorted({*os.environ, *dotenv_values(".env")}):
        known = _known_beside(name.upper())
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = nearest(name.upper(), known)
            lines.append(
                f"{name} is not a setting of rdpt" + (f", did you mean {near}?" if near else "")
            )
    return lines


def _known_beside(name: str) -> list[str]:
    """The names that a variable may have; of a server's settings, those of the same server."""
    server, _, field = name.removeprefix(f"{PREFIX}SERVERS{NESTED}").partition(NESTED)
    if name.startswith(f"{PREFIX}SERVERS{NESTED}") and server and field:
        fields = [one.upper() for one in ModelServer.model_fields]
        return [f"{PREFIX}SERVERS{NESTED}{server}{NESTED}{one}" for one in fields]
    ray = [f"{PREFIX}RAY{NESTED}{one.upper()}" for one in RayCluster.model_fields]
    return [*(PREFIX + one.upper() for one in Runtime.model_fields), *ray]
