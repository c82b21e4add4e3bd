"""Addresses of MLflow's pages."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rdpt_core.defaults import MLFLOW_PORT
from settings.runtime import Runtime
from tasks.tracking import addresses


def test_a_first_visit_opens_the_runs_and_no_page_for_agents() -> None:
    for page in (
        addresses.view_page("http://here", "7", "comparison"),
        addresses.run_page(Runtime(), "7", "abc"),
    ):
        assert "workflowType=machine_learning" in page.partition("#")[2]


def test_an_address_has_the_port_on_which_the_pages_are_served(tmp_path: Path) -> None:
    runtime = Runtime(workspace=tmp_path)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with addresses.served_at(tmp_path, port):
            assert addresses.server_of(runtime) == f"http://127.0.0.1:{port}"
    assert addresses.server_of(runtime) == f"http://127.0.0.1:{MLFLOW_PORT}"


@pytest.mark.parametrize("left", ["", "no port", "1", "99999999"])
def test_what_a_killed_server_left_is_no_port(tmp_path: Path, left: str) -> None:
    (tmp_path / addresses.PORT_FILE).write_text(left)
    assert addresses.server_of(Runtime(workspace=tmp_path)) == f"http://127.0.0.1:{MLFLOW_PORT}"


def test_a_server_elsewhere_is_at_its_own_address(tmp_path: Path) -> None:
    runtime = Runtime(workspace=tmp_path, tracking="https://mlflow.example/")
    with addresses.served_at(tmp_path, 5001):
        assert addresses.server_of(runtime) == "https://mlflow.example"
