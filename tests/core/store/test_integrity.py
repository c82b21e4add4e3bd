"""Every kind of damage is found, named and set aside; what holds is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rdpt_core.store import integrity
from rdpt_core.store.parts import Damaged, Store
from rdpt_core.store.record import Part, TooNew
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome


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


def record_file(store: Store, part: Part) -> Path:
    return store.root / "grades" / f"{part.key}.json"


def edit_record(store: Store, part: Part, change: Callable[[dict], object]) -> None:
    """Writes the record like an earlier release: without a digest."""
    path = record_file(store, part)
    value = json.loads(path.read_text())
    for later in ("digest", "coordinate"):
        value.pop(later, None)
    value["format"] = 1
    value["part"]["chain"] = [part.content]
    change(value)
    path.write_text(json.dumps(value))


def keep_digest(value: dict) -> None:
    value["digest"] = "0" * 32


def test_a_sound_store_holds_and_all_of_it_is_read(store: Store) -> None:
    read: list[int] = []
    assert list(integrity.damages(store, read.append)) == []
    assert sum(read) == integrity.num_bytes(store) > 10


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda s, p: flip(s.file(p)), "its file has changed since it was committed"),
        (lambda s, p: s.file(p).write_bytes(b""), "its file has 0 bytes instead of"),
        (lambda s, p: s.file(p).unlink(), "its file is missing"),
        (lambda s, p: record_file(s, p).write_bytes(b""), "its record is empty"),
        (lambda s, p: record_file(s, p).write_bytes(b"\xff{"), "its record is not JSON"),
        (lambda s, p: record_file(s, p).write_bytes(b"[]"), "its record has another shape"),
        (
            lambda s, p: record_file(s, p).write_text("[" * 100_000 + "]" * 100_000),
            "its record is not JSON",
        ),
        (lambda s, p: record_file(s, p).write_text('{"format": ' * 100_000), "is not JSON"),
        (lambda s, p: edit_record(s, p, keep_digest), "has changed since it was committed"),
        (lambda s, p: edit_record(s, p, lambda v: v.update(more=1)), "has another shape"),
        (lambda s, p: edit_record(s, p, lambda v: v.pop("hash")), "has another shape"),
        (lambda s, p: edit_record(s, p, lambda v: v["part"].update(size="x")), "another shape"),
        (
            lambda s, p: edit_record(s, p, lambda v: v["recipe"]["parameters"].update(n=7)),
            "the recipe in it gives another key",
        ),
        (
            lambda s, p: edit_record(s, p, lambda v: v["part"].update(content="0" * 32)),
            "the chain does not end in the content",
        ),
        (
            lambda s, p: edit_record(s, p, lambda v: v["part"].update(num_rows=2)),
            "its file has 3 rows, its record says 2",
        ),
    ],
)
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


@pytest.mark.fault("F10")
def test_no_byte_of_a_record_can_change_unseen(store: Store) -> None:
    """Each byte in turn is another digit, or another character of those that JSON is made of."""
    victim, _ = parts(store)
    file = record_file(store, victim)
    written = file.read_bytes()
    meant = json.loads(written)
    looking = Store(store.root, read_only=True)
    for at in range(len(written)):
        for byte in b"17a,":
            changed = written[:at] + bytes([byte]) + written[at + 1 :]
            file.write_bytes(changed)
            found = looking.record("grades", victim.key)
            assert found is None or json.loads(changed) == meant, changed[at - 20 : at + 20]
    file.write_bytes(written)
    assert looking.record("grades", victim.key) is not None


def test_a_run_sets_a_part_with_a_changed_record_aside_and_says_so(store: Store) -> None:
    victim, _ = parts(store)
    file = record_file(store, victim)
    said: list[str] = []
    file.write_text(file.read_text().replace(victim.content, "0" + victim.content[1:], 1))
    assert Store(store.root, warn=said.append).find("grades", victim.key) is None
    assert said == [
        f"warning: grades/{victim.key[:12]}: its record has changed since it was "
        "committed; it is set aside"
    ]
    assert not store.file(victim).exists()


@pytest.mark.fault("F38")
def test_records_of_an_earlier_release_count_and_verify_gives_them_a_digest(store: Store) -> None:
    plain, loaded = parts(store)
    for part in (plain, loaded):
        edit_record(store, part, lambda value: None)
        assert store.find("grades", part.key) == part
    before = record_file(store, loaded).read_bytes()
    assert found(store) == []
    assert integrity.seal(store, {("grades", loaded.key)}) == 1
    assert record_file(store, loaded).read_bytes() == before
    sealed = store.record("grades", plain.key)
    assert sealed is not None
    assert sealed.is_sealed
    assert sealed.part == plain
    assert sealed.coordinate is None, "a record of format 1 does not say it"
    assert integrity.seal(store, set()) == 1
    assert integrity.seal(store, set()) == 0
    with store.lock("grades", plain.key):
        edit_record(store, plain, lambda value: None)
        assert integrity.seal(store, set()) == 0, "a run has it in hand"
    record_file(store, loaded).write_bytes(b"")
    assert integrity.seal(store, set()) == 1
    assert record_file(store, loaded).exists(), "only a repair sets aside"


@pytest.mark.fault("F38")
def test_a_record_of_a_newer_rdpt_is_refused_and_left_alone(store: Store) -> None:
    """Unlike one whose format alone is another digit, which is damaged."""
    part, _ = parts(store)
    edit_record(store, part, lambda value: value.update(format=3, more="fields", digest="newer"))
    with pytest.raises(TooNew, match="written by a newer rdpt \\(format 3\\)"):
        store.find("grades", part.key)
    assert record_file(store, part).exists()


def test_a_stray_file_beside_a_model_goes_and_the_model_stays(store: Store) -> None:
    """Training again would take hours, and the committed bytes are all there."""
    _, victim = parts(store)
    folder = store.root / "grades" / victim.key / "checkpoint"
    (folder / "tokenizer.json").write_text("{}")
    (folder / "weights.lnk").symlink_to("nowhere")
    (one,) = found(store)
    assert one.strangers == ("checkpoint/tokenizer.json", "checkpoint/weights.lnk")
    assert integrity.repair(store, one)
    assert found(store) == []
    assert store.find("grades", victim.key) == victim
    assert store.payload(victim).exists()
    aside = [path.name for path in (store.root / "quarantine").iterdir()]
    assert [name.rpartition("-")[0] for name in sorted(aside)] == [
        "checkpoint-tokenizer.json",
        "checkpoint-weights.lnk",
    ]
    (folder / "tokenizer.json").write_text("{}")
    flip(folder / "weights")
    (one,) = found(store)
    assert integrity.repair(store, one), "what was committed is damaged too"
    assert store.find("grades", victim.key) is None


@pytest.mark.fault("F10")
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
