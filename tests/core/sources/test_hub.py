"""Data sets of the hub without a network: a stand-in for the API, and a cache as `datasets` has."""

from __future__ import annotations

import json
import time
from pathlib import Path

import datasets
import pytest
from datasets.packaged_modules.json.json import Json
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from flows import cli
from rdpt_core.files.records import BadTable
from rdpt_core.sources import hub
from rdpt_core.sources.hub import HubSet, check_hub, open_hub
from rdpt_core.sources.problems import HubSource
from rdpt_core.store.parts import Store
from tasks import sources
from tests.core.models import tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SUMS = HubSet("path", "somebody/sums", None, "test", None)
SOURCE = HubSource(source="hub", path="somebody/sums")
ROWS = [{"problem": "1 + 1?", "answer": 2}, {"problem": "2 + 1?", "answer": 3}]
STUDY = """
name = "x"
problems = { source = "hub", path = "somebody/sums" }
traces = { source = "generate", samples = 1 }
teachers = [{ name = "t", path = "model" }]
students = [{ name = "s", path = "model", source = "select" }]
selectors = [{ name = "random" }]
[[benchmarks]]
name = "b"
problems = { source = "hub", path = "somebody/others" }
"""


class Unresolved(Exception):
    """An error of an HTTP library, which is not an OSError."""


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hub is out of reach and the cache is empty; the list tells what the hub was asked for."""
    asked: list[str] = []

    def refuse(_: object, path: str, **__: object) -> None:
        asked.append(path)
        raise Unresolved("[Errno -2] Name or service not known")

    def load(*_: object, **__: object) -> None:
        raise AssertionError("`datasets` would try for half a minute")

    monkeypatch.setattr(HfApi, "dataset_info", refuse)
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub._unreachable.cache_clear()
    return asked


@pytest.fixture
def cached(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    cache, files = tmp_path / "cache", {"test": str(file)}
    builder = Json(cache_dir=str(cache), dataset_name="sums", hash=COMMIT, data_files=files)
    builder.download_and_prepare()
    (made,) = (cache / "sums").glob("default-*")
    (cache / "somebody___sums").mkdir()
    made.rename(cache / "somebody___sums" / "default")


@pytest.mark.fault("F37")
def test_a_set_out_of_reach_is_named_with_its_setting() -> None:
    for use in (check_hub, open_hub):
        with pytest.raises(ConnectionError) as found:
            use(SUMS)
        said = str(found.value)
        assert said.startswith("path = 'somebody/sums': the hub cannot be reached ([Errno -2] Name")
        assert "the local cache does not hold the data set" in said
        assert said.endswith("either correct `path`, or go online once")


@pytest.mark.fault("F37")
def test_a_set_that_the_hub_refuses_is_the_user_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise HFValidationError("Repo id must be a name")

    monkeypatch.setattr(HfApi, "dataset_info", refuse)
    with pytest.raises(BadTable, match="path = 'somebody/sums' is not on the hub, or not for you"):
        check_hub(SUMS)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unresolved("[Errno -2] Name or service not known"), ConnectionError),
        (LocalEntryNotFoundError("no connection"), ConnectionError),
        (ValueError("Unknown split"), BadTable),
        (OSError(28, "No space left on device"), OSError),
    ],
)
def test_what_ends_a_download_keeps_its_class(
    error: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(kind):
        open_hub(SUMS)


def test_a_folder_of_the_same_name_is_not_read_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebody" / "sums").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadTable, match="'somebody/sums' is a folder here"):
        check_hub(SUMS)


@pytest.mark.usefixtures("cached")
def test_the_cache_answers_offline() -> None:
    check_hub(SUMS)
    assert [dict(record.values) for record in open_hub(SUMS).scan()] == ROWS
    assert len(list(open_hub(SUMS._replace(revision=COMMIT)).scan())) == 2
    with pytest.raises(BadTable, match=r"Unknown split .*dev.*test"):
        open_hub(SUMS._replace(split="dev"))


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("revision", ["f" * 40, "v2"])
def test_another_revision_in_the_cache_is_not_taken_for_the_one_asked_for(revision: str) -> None:
    with pytest.raises(ConnectionError, match=f"at revision {revision}: .* holds commit {COMMIT}"):
        open_hub(SUMS._replace(revision=revision))


@pytest.mark.usefixtures("cached")
def test_a_set_that_was_read_is_not_asked_for_again(
    tmp_path: Path, away: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    given = sources.source_of(SOURCE, 64, tmp_path).given("problems")
    assert given.read is not None
    given.read(store)
    hub._unreachable.cache_clear()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "emptied")
    away.clear()
    sources.check(SOURCE, 64, tmp_path, store)
    assert away == []


@pytest.mark.fault("F37")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_every_set_of_an_experiment_is_asked_for_before_any_work(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    tiny.make_qwen(tmp_path / "model")
    (tmp_path / "study.toml").write_text(STUDY)
    start = time.process_time()
    assert cli.main([command, str(tmp_path / "study.toml")]) == 5
    assert time.process_time() - start < 5
    said = capsys.readouterr().err
    assert "problems: path = 'somebody/sums': the hub cannot be reached" in said
    assert "benchmark b, problems: path = 'somebody/others': the hub cannot be reached" in said
    assert "Traceback" not in said
    assert not (tmp_path / "workspace").exists()
