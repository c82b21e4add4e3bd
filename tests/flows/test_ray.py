"""Workers on a real Ray cluster of two nodes, of which one is killed. Skipped without ray."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.runners import runner_of
from flows.titles import jobs_of
from flows.workspace import freeze
from tasks.progress import TableProgress
from tasks.running import Activity, activities
from tests.flows.test_workers import contents, folder, golden, opened_in

__all__ = ["folder", "golden"]

ray = pytest.importorskip("ray", reason="needs ray: pip install 'rdpt[ray]'")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without processors, so that workers run on two other nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    ray.shutdown()
    made.shutdown()


def processes_of(node: Any) -> list[psutil.Process]:
    """The node's raylet and all that it has started."""
    (raylet,) = node.all_processes["raylet"]
    found = psutil.Process(raylet.process.pid)
    return [found, *found.children(recursive=True)]


def worker_at_scores(workspace: Path, pids: set[int]) -> Activity | None:
    seen = [activity for activity, lives, _ in activities(workspace) if lives]
    return next((a for a in seen if a.title.startswith("scores") and a.pid in pids), None)


def kill_in_the_middle(node: Any, workspace: Path, killed: list[str]) -> None:
    """Kills every process of the node once a worker there scores."""
    over = time.monotonic() + 120
    while time.monotonic() < over:
        processes = processes_of(node)
        if found := worker_at_scores(workspace, {one.pid for one in processes}):
            for one in processes:
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
            killed.append(found.title)
            return
        time.sleep(0.02)


def test_another_node_takes_what_a_killed_one_left(
    folder: Path, golden: dict[str, list[str]], cluster: Any
) -> None:
    ray_settings = {"address": cluster.address}
    opened = opened_in(folder, "ray", runner="ray", workers=2, ray=ray_settings)
    freeze(opened)
    killed: list[str] = []
    args = (cluster.nodes[0], opened.runtime.workspace, killed)
    killer = threading.Thread(target=kill_in_the_middle, args=args, daemon=True)
    killer.start()
    with runner_of(opened) as runner:
        for job in jobs_of(opened.study):
            runner.build(job, TableProgress(job.title, job.unit, quiet=True))
    killer.join(1)
    assert len(killed) == 1, "no worker was killed"
    assert contents(opened) == golden
