"""By what a model behind a server is known: its dtype counts, its rounding and its name do not."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.models.loading.weights import load
from rdpt_core.models.serving.dialects import Completion
from rdpt_core.models.serving.fingerprint import (
    CLOSE,
    KNOWN,
    Fingerprint,
    KnownServers,
    distance,
    fingerprint_of,
    is_same,
)
from rdpt_core.models.serving.probe import NUM_TOKENS, TEXTS, TOP
from rdpt_core.models.spec import ModelSpec
from rdpt_core.store import notes
from rdpt_core.store.notes import Notes
from tests.core.models.serving.model_server import Brain

MODELS = Path(__file__).resolve().parents[4] / "rdpt_core" / "pocket" / "models"
GREEDY = {"temperature": 0.0}


def written(name: str, dtype: str) -> list[Completion]:
    """The greedy texts of a pocket model, with their candidates."""
    spec = ModelSpec.model_validate({"path": str(MODELS / name), "dtype": dtype})
    brain = Brain(load(spec, Path(), threads=1))
    found = []
    for text in TEXTS:
        own = brain.write(brain.vocabulary.encode(text), GREEDY, NUM_TOKENS)
        best = [{str(int(i)): float(row[i]) for i in row.topk(TOP).indices} for row in own.rows]
        found.append(Completion(brain.text(own), own.stopped, len(own.ids), best=tuple(best)))
    return found


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_the_dtype_of_one_model_is_told_apart(name: str) -> None:
    whole, half = (written(name, dtype) for dtype in ("float32", "bfloat16"))
    one, other = fingerprint_of(whole, whole), fingerprint_of(half, half)
    assert 3 * CLOSE < distance(one, other) < 0.1
    assert not is_same(one, other)


def test_other_weights_are_another_model_whatever_the_noise() -> None:
    one, other = (written(name, "float32") for name in ("teacher", "student"))
    noisy = fingerprint_of(one, one).model_copy(update={"noise": 1.0})
    assert not is_same(noisy, fingerprint_of(other, other))


def mark(*values: float, noise: float = 0.0, text: str = "a b c") -> Fingerprint:
    """One greedy text of three tokens, whose likeliest candidates have these values."""
    best = [{"a": value, "b": value - 2.0} for value in values]
    return Fingerprint(texts=(text,), best=(tuple(best),), noise=noise)


BASE = mark(-0.1, -0.2, -0.3)


def shifted(by: float, noise: float = 0.0) -> Fingerprint:
    return mark(-0.1 - by, -0.2 - by, -0.3 - by, noise=noise)


def test_rounding_makes_no_other_model() -> None:
    assert is_same(BASE, shifted(CLOSE * 0.9))
    assert not is_same(BASE, shifted(CLOSE * 1.1))


def test_a_server_that_is_noisy_from_batch_to_batch_has_a_wider_tolerance() -> None:
    assert is_same(BASE, shifted(0.03, noise=0.01))
    assert not is_same(BASE, shifted(0.2, noise=1.0))


def test_two_choices_that_part_at_a_tie_are_rounding_and_elsewhere_another_model() -> None:
    tie = {"a": -0.700, "b": -0.701}, {"a": -0.701, "b": -0.700}
    clear = {"a": -0.1, "b": -3.0}, {"a": -3.0, "b": -0.1}
    for (mine, theirs), same in ((tie, True), (clear, False)):
        after = {"x": -0.5}, {"y": -0.5}
        one = Fingerprint(texts=("a x",), best=((mine, after[0]),))
        other = Fingerprint(texts=("b y",), best=((theirs, after[1]),))
        assert is_same(one, other) is same


def test_one_clear_difference_is_enough_however_much_is_alike() -> None:
    alike = ({"a": -0.1, "b": -3.0},) * 20
    ends = ({"a": -0.1, "b": -3.0},), ({"a": -3.0, "b": -0.1},)
    one, other = (Fingerprint(texts=("a", "b"), best=(alike, end)) for end in ends)
    assert distance(one, one) == 0.0
    assert distance(one, other) == math.inf


def test_a_server_that_never_writes_the_same_has_a_noise_that_can_be_kept(tmp_path: Path) -> None:
    a, b = (Completion(text, stopped=True, num_tokens=1) for text in ("a horse", "the sky"))
    found = fingerprint_of([a], [b])
    known = known_in(tmp_path)
    assert known.identify("here", found) == found.digest
    assert known.identify("here", fingerprint_of([a], [a])) == found.digest


def test_without_candidates_the_texts_tell() -> None:
    def texts(*said: str) -> Fingerprint:
        return Fingerprint(texts=said, best=((),) * len(said))

    long = "the market and bought some apples"
    assert is_same(texts(long), texts("the market and bought some pears"))
    assert not is_same(texts(long), texts("a horse"))
    assert distance(texts(long), mark(-0.1)) == math.inf


def known_in(folder: Path, read_only: bool = False) -> KnownServers:
    notes = Notes(folder / "quarantine", read_only=read_only)
    return KnownServers(folder / "servers.json", notes)


def test_the_first_fingerprint_names_a_model_and_never_moves(tmp_path: Path) -> None:
    """A chain of small differences leads to no third model."""
    notes = known_in(tmp_path)
    first = notes.identify("here", BASE)
    assert first == BASE.digest
    near, far = shifted(CLOSE * 0.8), shifted(CLOSE * 1.6)
    assert is_same(near, far)
    assert notes.identify("there", near) == first
    assert notes.identify("beyond", far) == far.digest != first


def test_two_runs_that_meet_two_models_at_once_both_leave_their_note(tmp_path: Path) -> None:
    """A name that is forgotten would be given anew, from numbers that round differently."""
    together = threading.Barrier(2)

    class Slow(Notes):
        def read(self, path: Path, shape: Any) -> Any:
            found = Notes.read(self, path, shape)
            with suppress(threading.BrokenBarrierError):  # the other one has to wait
                together.wait(0.3)
            return found

    def identify(one: Fingerprint) -> str:
        return KnownServers(tmp_path / "servers.json", Slow(tmp_path)).identify("here", one)

    with ThreadPoolExecutor(2) as pool:
        names = set(pool.map(identify, (BASE, shifted(1.0))))
    assert notes.parse((tmp_path / "servers.json").read_bytes(), KNOWN).models.keys() == names
    assert len(names) == 2


def test_of_two_notes_within_the_tolerance_the_nearest_counts(tmp_path: Path) -> None:
    notes = known_in(tmp_path)
    first, second = (notes.identify("here", one) for one in (BASE, shifted(0.02)))
    assert first != second
    assert notes.identify("x", shifted(0.012, noise=0.01)) == second
    assert notes.identify("x", shifted(0.008, noise=0.01)) == first


def test_what_a_place_showed_last_is_known_while_it_is_away(tmp_path: Path) -> None:
    notes = known_in(tmp_path)
    assert notes.last("here") is None
    name = notes.identify("here", BASE)
    assert notes.last("here") == name
    assert notes.last("there") is None


@pytest.mark.fault("F39")
def test_a_read_only_workspace_takes_no_note(tmp_path: Path) -> None:
    notes = known_in(tmp_path, read_only=True)
    assert notes.identify("here", BASE) == BASE.digest
    assert not notes.file.exists()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"models": 1}', '{"models": {"x": {"texts": 3}}}', "[" * 99999]
)
def test_damaged_notes_are_taken_again(tmp_path: Path, content: str) -> None:
    notes = known_in(tmp_path)
    notes.file.write_text(content)
    assert notes.identify("here", BASE) == BASE.digest
    assert notes.last("here") == BASE.digest
