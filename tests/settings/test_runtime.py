"""The machine's settings, from variables and `.env`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import runtime
from settings.runtime import Runtime, unknown_variables


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without `.env`, and no variable of a developer's shell."""
    monkeypatch.chdir(tmp_path)
    for name in ("RDPT_WORKSPACE", "RDPT_THREADS", "RDPT_WORKERS", "RDPT_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_variable_comes_before_the_env_file_and_that_before_the_default(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Runtime().threads == 1
    (alone / ".env").write_text("RDPT_THREADS=2\nRDPT_GRADERS=7\n")
    assert (Runtime().threads, Runtime().graders) == (2, 7)
    monkeypatch.setenv("RDPT_THREADS", "3")
    assert (Runtime().threads, Runtime().graders) == (3, 7)


def test_all_that_a_workspace_holds_lies_in_it() -> None:
    found = Runtime(workspace=Path("here"))
    assert (found.store_folder, found.catalog) == (Path("here/store"), Path("here/rdpt.duckdb"))
    assert found.tracking_uri == "sqlite:///here/mlflow.db"
    assert Runtime(tracking="http://lab:5000").tracking_uri == "http://lab:5000"


def test_the_parts_may_lie_elsewhere_than_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDPT_STORE", "/shared/store")
    found = Runtime(workspace=Path("here"))
    assert (found.store_folder, found.catalog) == (
        Path("/shared/store"),
        Path("here/rdpt.duckdb"),
    )


@pytest.mark.parametrize(
    ("store", "line"),
    [
        ("gs://bucket/prefix", "is neither a folder nor an address such as s3://bucket/prefix"),
        ("s3://", "is neither a folder nor an address"),
        ("s3://key:very-secret@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/prefix?X-Amz-Security-Token=very-secret", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_the_address_of_a_store_holds_no_secret(store: str, line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        Runtime(store=store)


def test_an_object_store_has_a_cache_of_its_own_in_the_workspace() -> None:
    one, other = Runtime(store="s3://bucket/one"), Runtime(store="s3://bucket/other")
    assert one.store_folder.parent == Path("workspace/cache")
    assert one.store_folder != other.store_folder
    assert one.store_folder == Runtime(store="s3://bucket/one/").store_folder
    assert (Runtime().store_address, one.store_address) == (None, "s3://bucket/one")


def test_no_more_workers_than_fit_into_memory_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_gpu", lambda device: False)
    monkeypatch.setattr(runtime, "num_processors", lambda: 64)
    assert Runtime().workers == runtime.MOST_WORKERS
    monkeypatch.setattr(runtime, "num_processors", lambda: 2)
    assert Runtime().workers == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("RDPT_WORKSPASE", "did you mean RDPT_WORKSPACE?"),
        ("RDPT_SERVERS__LAB__API_KEI", "did you mean RDPT_SERVERS__LAB__API_KEY?"),
        ("rdpt_thread", "did you mean RDPT_THREADS?"),
    ],
)
def test_an_unknown_variable_is_told_its_nearest_name(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert unknown_variables() == [f"{name} is not a setting of rdpt, {line}"]


def test_an_unknown_name_in_the_env_file_is_found_too(alone: Path) -> None:
    (alone / ".env").write_text("RDPT_GRADER=2\nOTHER=1\n")
    assert unknown_variables() == [
        "RDPT_GRADER is not a setting of rdpt, did you mean RDPT_GRADERS?"
    ]


def test_a_fault_of_a_server_repeats_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDPT_SERVERS", '{"lab": {"url": 3, "api_key": "canary-0123456789"}}')
    with pytest.raises(ValidationError) as refused:
        Runtime()
    (error,) = refused.value.errors(include_input=False)
    assert "url" in error["msg"]
    assert "canary" not in error["msg"]


@pytest.mark.parametrize("address", ["http://me:secret@lab:5000", "https://lab/?token=secret"])
def test_an_address_of_mlflow_holds_no_secret(address: str) -> None:
    with pytest.raises(ValidationError, match="MLFLOW_TRACKING_PASSWORD"):
        Runtime(tracking=address)
