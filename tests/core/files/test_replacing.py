"""A file is replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdpt_core.files.replacing import replacing, write_durably


def test_readers_meet_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault("F09")
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as new:
        new.write_text("half" * 10_000 + "\ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_durable_syncs_the_file_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []

    def fsync(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        seen.append(("folder" if is_folder else "file", path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path, durable=durable) as new:
        new.write_text("x")
    assert seen == ([("file", False), ("folder", True)] if durable else [])
    assert path.read_text() == "x"


def test_bytes_are_written_over_a_left_over_of_a_killed_process(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as new:
        new.write_text("x")
    new.write_text("left over")
    write_durably(tmp_path / "a", b"y")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"y")]
