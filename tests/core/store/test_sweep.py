"""What nobody reaches is found whole, and removing it touches nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdpt_core.store import sweep
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome


def commit(store: Store, number: int, payload: Path | None = None) -> Part:
    recipe = Recipe("grades", 1, {"n": number}, {})
    return store.commit(Grade, recipe, [Grade(str(number), Outcome.CORRECT, None)], payload=payload)


def test_parts_that_are_reached_are_no_strays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept, lost = commit(store, 0), commit(store, 1)
    (stray,) = sweep.strays(store, {("grades", kept.key)}, set())
    assert (stray.kind, stray.part) == ("part", ("grades", lost.key))
    assert stray.size == sum(path.stat().st_size for path in stray.paths)
    assert sweep.remove(store, stray)
    assert store.find("grades", kept.key) == kept
    assert {path.name.partition(".")[0] for path in (tmp_path / "grades").glob("[!.]*")} == {
        kept.key
    }


def test_what_crashes_leave_is_found(tmp_path: Path) -> None:
    """A file without record, a temporary file, work of a part, a part set aside."""
    store = Store(tmp_path)
    orphan = commit(store, 0)
    (tmp_path / "grades" / f"{orphan.key}.json").unlink()
    (tmp_path / "grades" / ".x.json.1-2.tmp").write_text("half")
    for key in ("wanted", "given-up"):
        store.workdir("grades", key).mkdir(parents=True)
        (store.workdir("grades", key) / "batch").write_text("rows")
    store.quarantine("grades", commit(store, 1).key, "of the test")
    found = [(s.kind, s.name) for s in sweep.strays(store, set(), {("grades", "wanted")})]
    assert [kind for kind, _ in found] == [
        "leftover",
        "leftover",
        "unfinished part",
        "quarantined",
        "quarantined",
        "quarantined",
    ]
    assert ("unfinished part", "grades/given-up") in found


def test_a_part_in_the_hands_of_a_run_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    part = commit(store, 0)
    (stray,) = sweep.strays(store, set(), set())
    with store.lock("grades", part.key):
        assert not sweep.remove(store, stray)
    assert store.find("grades", part.key) == part


def test_what_vanishes_while_it_is_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run beside renames its temporary files and deletes its work folders."""
    store = Store(tmp_path)
    folder = store.workdir("grades", "key")
    folder.mkdir(parents=True)
    (folder / "batch").write_text("rows")
    (folder / "vanishing").write_text("more rows")
    (tmp_path / "grades" / ".vanishing.tmp").write_text("half")
    lstat = Path.lstat

    def too_late(path: Path) -> os.stat_result:
        if "vanishing" in path.name:
            path.unlink(missing_ok=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", too_late)
    (stray,) = sweep.strays(store, set(), set())
    assert (stray.kind, stray.paths, stray.size) == ("unfinished part", (folder,), 4)
    assert list(sweep.leftovers([tmp_path / "gone"])) == []


@pytest.mark.fault("X5")
def test_no_link_is_followed(tmp_path: Path) -> None:
    """Neither in a payload, nor as a payload, nor as the folder of a table."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload" / "file").write_text("x")
    store = Store(tmp_path / "store")
    linked = commit(store, 0, tmp_path / "payload")
    (store.root / "grades" / linked.key / "link").symlink_to(outside)
    bare = commit(store, 1)
    (store.root / "grades" / bare.key).symlink_to(outside)
    (store.root / "traces").symlink_to(outside)
    found = list(sweep.strays(store, set(), set()))
    assert len(found) == 2
    assert all(stray.size < 10_000 and sweep.remove(store, stray) for stray in found)
    assert (outside / "precious").read_text() == "kept"
    assert list((store.root / "grades").glob("[!.]*")) == []
    assert (store.root / "traces").is_symlink()
