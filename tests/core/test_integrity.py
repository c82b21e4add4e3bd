"""Every kind of damage is found, named and set aside; what holds is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rdpt_core import integrity
from rdpt_core.recipe import Recipe
from rdpt_core.rows import Grade, Outcome
from rdpt_core.store import Damaged, Part, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two parts, one of them with a payload."""
    made = Store(tmp_path / "store")
    for number in range(2):
        payload = tmp_path / f"payload{number}" if number else None
        if payload:
            (payload / "checkpoint").mkdir(parents=True)
            (payload / "checkpoint" / "weights").write_bytes(b"0123456789")
        rows = [Grade(f"{number}{n}", Outcome.CORRECT, None) for n in range(3)]
        recipe = Recipe("grades", 1, {"n": number, "rate": 5e-4}, {})
        made.commit(Grade, recipe, rows, payload=payload)
    return made


def parts(store: Store) -> tuple[Part, Part]:
    plain, loaded = sorted((r.part for r in store.records("grades")), key=lambda p: p.has_payload)
    return plain, loaded


def found(store: Store) -> list[integrity.Damage]:
    return list(integrity.damages(Store(store.root, read_only=True), lambda num_read: None))


def keep_time(path: Path, content: bytes) -> None:
    """Other bytes of the same size and mtime: what only a hash can see."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    keep_time(path, bytes(data))


def edit_record(store: Store, part: Part, change: Callable[[dict], None]) -> None:
    path = store.root / "grades" / f"{part.key}.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_sound_store_holds_and_all_of_it_is_read(store: Store) -> None:
    read: list[int] = []
    assert list(integrity.damages(store, read.append)) == []
    assert sum(read) == integrity.num_bytes(store) > 10


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda s, p: flip(s.file(p)), "its file has changed since it was committed"),
        (lambda s, p: s.file(p).write_bytes(b""), "its file has 0 bytes instead of"),
        (lambda s, p: s.file(p).unlink(), "its file is missing"),
        (lambda s, p: (s.root / "grades" / f"{p.key}.json").write_bytes(b"\xff{"),
         "its record cannot be read"),
        (lambda s, p: (s.root / "grades" / f"{p.key}.json").write_bytes(b"[]"),
         "its record cannot be read"),
        (lambda s, p: edit_record(s, p, lambda v: v["recipe"]["parameters"].update(n=7)),
         "the recipe in it gives another key"),
        (lambda s, p: edit_record(s, p, lambda v: v["part"].update(content="0" * 32)),
         "the chain does not end in the content"),
        (lambda s, p: edit_record(s, p, lambda v: v["part"].update(num_rows=2)),
         "its file has 3 rows, its record says 2"),
    ],
)  # fmt: skip
def test_damage_of_a_part_is_found_and_repaired_alone(
    store: Store, damage: Callable[[Store, Part], None], reason: str
) -> None:
    victim, other = parts(store)
    damage(store, victim)
    (one,) = found(store)
    assert (one.table, one.key) == ("grades", victim.key)
    assert reason in one.reason
    assert integrity.repair(store, one)
    assert store.find("grades", victim.key) is None
    assert store.find("grades", other.key) == other
    assert found(store) == []
    assert reason in (store.root / "quarantine" / f"{victim.key}.reason").read_text()


@pytest.mark.parametrize("kind", ["flipped", "cut", "missing", "strange"])
def test_damage_of_a_payload_is_found_with_its_file(store: Store, kind: str) -> None:
    _, victim = parts(store)
    weights = store.root / "grades" / victim.key / "checkpoint" / "weights"
    if kind == "flipped":
        flip(weights)
    elif kind == "cut":
        weights.write_bytes(b"012")
    elif kind == "missing":
        weights.unlink()
    else:
        (weights.parent / "tokenizer.json").write_text("{}")
    (one,) = found(store)
    assert one.key == victim.key
    assert "checkpoint/" in one.reason


def test_looking_changes_nothing(store: Store) -> None:
    victim, _ = parts(store)
    store.file(victim).unlink()
    before = sorted(store.root.rglob("*"))
    assert found(store)
    assert sorted(store.root.rglob("*")) == before


@pytest.mark.parametrize("read_only", [True, False])
def test_who_only_reads_says_what_sets_a_part_aside(store: Store, read_only: bool) -> None:
    said: list[str] = []
    reader = Store(store.root, warn=said.append, read_only=read_only)
    victim, loaded = parts(store)
    flip(store.file(victim))
    flip(store.root / "grades" / loaded.key / "checkpoint" / "weights")
    for part, read in ((victim, reader.sound_file), (loaded, reader.payload)):
        with pytest.raises(Damaged) as error:
            read(part)
        for line in (str(error.value), said.pop()):
            assert line.endswith("rdpt verify --repair sets it aside") == read_only
            assert line.endswith("is set aside") != read_only
        assert store.file(part).exists() == read_only


def test_a_part_that_a_run_has_in_hand_is_left_to_it(store: Store) -> None:
    victim, _ = parts(store)
    flip(store.file(victim))
    (one,) = found(store)
    with store.lock("grades", victim.key):
        assert not integrity.repair(store, one)
    assert store.record("grades", victim.key) is not None


def test_a_part_that_was_built_again_since_is_not_set_aside(store: Store) -> None:
    victim, _ = parts(store)
    content = store.file(victim).read_bytes()
    flip(store.file(victim))
    (one,) = found(store)
    keep_time(store.file(victim), content)
    assert not integrity.repair(store, one)
    assert store.find("grades", victim.key) == victim
