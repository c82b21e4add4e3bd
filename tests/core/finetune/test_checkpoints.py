"""Checkpoints count only whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdpt_core.finetune import checkpoints


@pytest.mark.fault("F05")
@pytest.mark.parametrize("damage", ["marker", "truncated", "flipped", "missing", "another run"])
def test_a_checkpoint_that_is_not_whole_is_never_resumed_from(tmp_path: Path, damage: str) -> None:
    for number in (2, 10):
        folder = tmp_path / f"checkpoints/checkpoint-{number}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(bytes(1000))
        checkpoints.seal(folder, "run-a")
    weights_file = folder / "model.safetensors"
    if damage == "marker":
        (folder / checkpoints.MARKER).write_bytes(b'{"run": "ru')
    elif damage == "truncated":
        os.truncate(weights_file, 999)
    elif damage == "flipped":
        weights_file.write_bytes(bytes(500) + b"\x01" + bytes(499))
    elif damage == "missing":
        weights_file.unlink()
    else:
        checkpoints.seal(folder, "run-b")
    quarantine = tmp_path / "quarantine"
    found = checkpoints.newest_whole(tmp_path / "checkpoints", "run-a", quarantine)
    assert found == tmp_path / "checkpoints/checkpoint-2"
    assert [path.name for path in quarantine.iterdir()] == ["000-checkpoint-10"]
