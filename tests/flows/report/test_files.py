"""The page as a file: the same bytes for the same inputs, and written only when they change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flows.catalogue import keep_noise
from flows.report import write
from flows.report.files import default_path, is_current, publish, update
from flows.workspace import Opened
from rdpt_core.store.contents import NoiseRow
from tests.flows.conftest import TWO_ARMS
from tests.flows.example_experiments import Studio
from tests.flows.report.pages import Page


@pytest.fixture
def own(built: Opened, tmp_path: Path) -> Opened:
    """A copy that a test may change, without the pages that tests of verbs wrote into `built`."""
    shutil.copytree(built.base, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "workspace" / "reports", ignore_errors=True)
    return Studio(tmp_path / "study").open(students=TWO_ARMS)


def test_the_same_inputs_give_the_same_bytes(built: Opened, own: Opened) -> None:
    assert write(built) == write(built) == write(own)


def test_a_page_is_written_again_only_where_its_inputs_changed(own: Opened) -> None:
    path = update(own)
    assert path == default_path(own) == own.runtime.workspace / "reports" / "study.html"
    path.write_bytes(b"mine" + path.read_bytes())
    update(own)
    assert path.read_bytes().startswith(b"mine"), "nothing had changed"
    keep_noise(own, [NoiseRow("x", "x", None, 0.1, 0.1, None, 32)])
    update(own)
    assert not path.read_bytes().startswith(b"mine")
    assert is_current(path, own)


def test_another_threshold_makes_another_page(own: Opened) -> None:
    path = update(own)
    assert path is not None
    rule = own.experiment.labels.model_copy(update={"beta": 0.2})
    changed = own.experiment.model_copy(update={"labels": rule})
    assert not is_current(path, replace(own, experiment=changed))


def test_measured_noise_says_which_labels_are_undetermined(own: Opened) -> None:
    assumed = Page(write(own).decode()).data
    assert set(assumed["is_measured"]) == {False}
    from flows.catalogue import contents_of

    scorers = [row.scorer for row in contents_of(own).scorers]
    keep_noise(
        own, [NoiseRow(s, s, None, 0.001, 0.002 * i, None, 32) for i, s in enumerate(scorers)]
    )
    measured = Page(write(own).decode()).data
    names = [one["name"] for one in measured["configurations"]]
    assert measured["is_measured"] == [name in ("teacher_count", "random") for name in names]
    at = names.index("random")
    own_scorers = {u.scorer for u in contents_of(own).uses if u.role and u.scorer}
    assert own_scorers <= set(scorers)
    assert measured["near"][at] in [2 * 0.002 * i for i in range(len(scorers))]
    assert len(measured["numbers"]["noise of the scorers"]) == 1 + len(scorers)


def test_a_page_that_cannot_be_made_is_a_warning(
    own: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own.runtime.workspace / "reports").write_text("in the way")
    assert update(own) is None
    assert "warning: the report could not be written: " in capsys.readouterr().err


def test_a_folder_for_a_static_host(tmp_path: Path) -> None:
    path = publish(tmp_path / "new" / "site", b"<p>")
    assert sorted(p.name for p in path.parent.iterdir()) == [".nojekyll", "index.html"]
    assert path.read_bytes() == b"<p>"
