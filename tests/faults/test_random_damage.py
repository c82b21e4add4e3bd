"""200 flipped bits, cuts and deletions over every kind of file of a finished workspace, 40 at a
time: a command names each of them or makes the file again, and no result is lost.

The other tests of damage hit one file at a time, with damage that is easy to see.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from flows.workspace import Opened, open_frozen
from tasks.plan import Plan
from tests.faults.test_damaged_files import asked, finished, here
from tests.flows.example_experiments import Studio

__all__ = ["finished", "here"]

Capture = pytest.CaptureFixture[str]
ROUNDS, AT_ONCE = 5, 40
KEY_LENGTH = 20
BESIDE = ("models.json", "rdpt.duckdb", "logs/*", "runs/*/*", "running/*", "store/sources/*.json")
"""What lies next to the parts, besides measured noise: nothing makes that again but measuring."""
APART = ("sources", "quarantine", "catalogue")
"""Folders of the store without parts."""
EXPERIMENTS = ("study", "second")


def flip(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def cut(path: Path, dice: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: dice.randrange(max(len(content), 1))])


def delete(path: Path, dice: random.Random) -> None:
    path.unlink()


def kinds(workspace: Path) -> dict[str, list[Path]]:
    """Files by what they are: a part's by table and suffix, those of a payload by their name."""
    found: dict[str, list[Path]] = {pattern: sorted(workspace.glob(pattern)) for pattern in BESIDE}
    for path in sorted(workspace.glob("store/*/*.*")):
        if path.suffix in (".json", ".parquet") and path.parent.name not in APART:
            found.setdefault(f"{path.parent.name}/*{path.suffix}", []).append(path)
    for path in sorted(workspace.glob("store/*/[!.]*/**/*")):
        if path.is_file() and path.relative_to(workspace).parts[1] not in APART:
            found.setdefault(f"payload/{path.name}", []).append(path)
    return found


def victims(workspace: Path, dice: random.Random) -> list[Path]:
    """Files of every kind in turn, none of them twice."""

    def drawn() -> Iterator[Path]:
        left = {kind: dice.sample(paths, len(paths)) for kind, paths in kinds(workspace).items()}
        names = cycle(dice.sample(sorted(left), len(left)))
        yield from (left[name].pop() for name in names if left[name])

    return list(islice(drawn(), AT_ONCE))


def contents(opened: Opened) -> list[str]:
    plan = Plan(opened.store)
    return [p.content for table in opened.study.tables() for p in plan.state(table).parts]


@pytest.mark.fault("F10", "F11")
@pytest.mark.timeout(600)
def test_two_hundred_damaged_files_are_named_or_made_again_and_no_result_is_lost(
    here: Studio, capsys: Capture, record_property: Callable[[str, object], None]
) -> None:
    workspace, dice = here.folder / "workspace", random.Random(7)

    def results() -> list[list[str]]:
        return [contents(open_frozen(name, here.open().runtime)) for name in EXPERIMENTS]

    golden, fates, hit = results(), Counter[str](), set[str]()
    assert all(golden)
    for _ in range(ROUNDS):
        damaged: dict[Path, bytes] = {}
        for path in victims(workspace, dice):
            before = path.read_bytes()
            dice.choice((flip, cut, delete))(path, dice)
            if not path.exists() or path.read_bytes() != before:
                damaged[path] = before
        hit |= {str(path.relative_to(workspace).parent) for path in damaged}
        code, named = asked(capsys, "verify")
        assert code == 6
        assert asked(capsys, "verify", "--repair")[0] == 0
        for name in EXPERIMENTS:
            code, said = asked(capsys, "run", "study.toml" if name == "study" else "second.toml")
            assert code == 0, said
            assert "Traceback" not in said
        assert results() == golden
        assert asked(capsys, "verify")[0] == 0
        for path, before in damaged.items():
            fates[fate(path, before, named, workspace)] += 1
    assert fates.total() > 0.95 * ROUNDS * AT_ONCE, "a file that is empty cannot be damaged"
    assert set(fates) <= {"named", "the same again", "written again"}
    record_property("figure", f"{fates.total()} damaged files in {len(hit)} folders: {dict(fates)}")


def fate(path: Path, before: bytes, named: str, workspace: Path) -> str:
    """What became of a damaged file."""
    inside = path.relative_to(workspace)
    keys = [name for part in inside.parts if len(name := part.partition(".")[0]) >= KEY_LENGTH]
    if str(inside) in named or any(key in named for key in keys):
        return "named"
    if path.exists() and path.read_bytes() == before:
        return "the same again"
    return "written again" if path.exists() else "removed"
