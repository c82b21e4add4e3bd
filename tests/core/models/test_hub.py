"""Hub ids without a network: a stand-in for the API, and a cache laid out as the client does."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import OfflineModeIsEnabled

from flows import cli
from rdpt_core.models import hub
from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPEC = ModelSpec(path="somebody/small-model")


@pytest.fixture
def cached(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds one commit of one model; the hub is out of reach."""
    root = tmp_path / "hub" / "models--somebody--small-model"
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    for source in sorted((models / "qwen").iterdir()):
        blob = root / "blobs" / _etag(source)
        blob.write_bytes(source.read_bytes())
        (snapshot / source.name).symlink_to(blob)
    _unreachable(monkeypatch, tmp_path / "hub")
    return snapshot


def _unreachable(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(HfApi, "model_info", refuse)


def _online(monkeypatch: pytest.MonkeyPatch, folder: Path, *others: str) -> None:
    def sibling(path: Path) -> SimpleNamespace:
        large = path.suffix == ".safetensors"
        lfs = SimpleNamespace(sha256=_etag(path)) if large else None
        return SimpleNamespace(rfilename=path.name, lfs=lfs, blob_id=_etag(path))

    extra = [SimpleNamespace(rfilename=name, lfs=None, blob_id="x") for name in others]
    siblings = [sibling(path) for path in folder.iterdir()] + extra
    info = SimpleNamespace(sha=COMMIT, siblings=siblings)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(hub, "hf_hub_download", lambda _, name, revision: str(folder / name))


def _etag(path: Path) -> str:
    """The hub knows large files by SHA-256 and small ones by git's hash."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.mark.fault("F37")
def test_the_cache_answers_offline(cached: Path, tmp_path: Path) -> None:
    assert identify(SPEC, tmp_path).revision == COMMIT
    assert load(SPEC, tmp_path, threads=1).identity == identify(SPEC, tmp_path)


def test_t24_how_weights_are_packed_is_known_of_a_hub_id_too(
    cached: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packed"
    shutil.copytree(models / "qwen", folder)
    config = json.loads((folder / "config.json").read_text())
    packing = {"quant_method": "awq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": packing}))
    _online(monkeypatch, folder)
    known = identify(SPEC, tmp_path)
    assert json.loads(known.quantisation or "") == packing
    with pytest.raises(ValueError, match=r"quantised \(awq\), which needs a GPU"):
        load(SPEC, tmp_path, threads=1)


def test_texts_are_scored_by_a_hub_id_and_its_commit(cached: Path, tmp_path: Path) -> None:
    """By the tool: the rows say which model it was."""
    file, scores = tmp_path / "texts.jsonl", tmp_path / "scores.jsonl"
    file.write_text(json.dumps({"trace_id": "a", "prompt": "12 + 30?", "text": "So 42."}))
    asked = ["score", str(file), "--model", SPEC.path, "--revision", COMMIT, "-o", str(scores)]
    assert cli.main(asked) == 0
    (row,) = map(json.loads, scores.read_text().splitlines())
    pinned = SPEC.model_copy(update={"revision": COMMIT})
    assert (row["status"], row["scorer"]) == ("ok", identify(pinned, tmp_path).digest)


def test_online_and_offline_agree(
    cached: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = identify(SPEC, tmp_path)
    _online(monkeypatch, models / "qwen", "README.md", "onnx/model.onnx")
    assert identify(SPEC, tmp_path) == offline


@pytest.mark.fault("X1")
def test_x1_a_repository_with_code_is_refused_before_any_download(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _online(monkeypatch, models / "qwen", "modeling_evil.py")
    with pytest.raises(ValueError, match=r"modeling_evil\.py"):
        identify(SPEC, tmp_path)


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Data processing error: No space left on device (os error 28)"),
    ],
)
def test_a_cache_whose_disk_is_full_exits_7(
    cached: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    """Part of a download lies in the cache by then: it is not taken for the whole model."""

    def fail(*_: object, local_files_only: bool = False, **__: object) -> str:
        if local_files_only:
            return str(cached)
        raise error

    (cached / "model.safetensors").unlink()
    _online(monkeypatch, models / "qwen")
    monkeypatch.setattr(hub, "snapshot_download", fail)
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "problems.jsonl").write_text('{"problem": "1 + 1?", "answer": "2"}')
    file = tmp_path / "study.toml"
    file.write_text(
        'name = "study"\nproblems = { source = "file", path = "problems.jsonl" }\n'
        'traces = { source = "generate" }\nselectors = [{ name = "teacher_count" }]\n'
        f'teachers = [{{ name = "t", path = "{SPEC.path}" }}]\n'
        f'students = [{{ name = "s", path = "{SPEC.path}" }}]\n'
    )
    assert cli.main(["run", str(file)]) == 7
    assert "not enough room on the disk: " + str(tmp_path / "hub") in capsys.readouterr().err


class Unresolved(Exception):
    """An error of an HTTP library, which is not an OSError."""


@pytest.mark.fault("F37")
def test_a_wrong_path_names_what_was_looked_for_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Unresolved("[Errno -2] Name or service not known")

    _unreachable(monkeypatch, tmp_path / "hub")
    monkeypatch.setattr(HfApi, "model_info", refuse)
    with pytest.raises(ConnectionError) as found:
        identify(ModelSpec(path="models/techer"), tmp_path)
    said = str(found.value)
    assert said.startswith("path = 'models/techer': there is no such folder")
    assert "the hub cannot be reached ([Errno -2] Name or service not known)" in said
    assert "correct the path, or go online once" in said
