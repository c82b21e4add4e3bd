"""Every fault of a file is named at once, with the key as the file spells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings.loading import BadSettings, find_experiment, parse_experiment, read_experiment
from tests.settings.example import experiment


def faults(text: str) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        parse_experiment(text, Path("study.toml"))
    assert refused.value.place == "study.toml"
    return refused.value.lines


def test_all_faults_are_named_at_once() -> None:
    lines = faults('nam = "x"\nseed = "one"\nteachers = [{ name = "t" }]\nstudents = []\n')
    assert "nam: unknown key, did you mean name?" in lines
    assert "name: is required" in lines
    assert "teachers[0].path: is required" in lines
    assert any(line.startswith("seed: 'one' - ") for line in lines)
    assert any(line.startswith("students: []") for line in lines)


def test_a_key_with_no_near_name_is_told_the_keys_of_its_table() -> None:
    (line,) = (one for one in faults("[matrix]\nzzz = 1\n") if one.startswith("matrix"))
    assert line == "matrix.zzz: unknown key; known here: seeds, selectors, students, teachers"


def test_a_table_without_its_kind_is_told_which_key_says_it() -> None:
    assert "traces: needs source" in faults("[traces]\nsamples = 3\n")
    assert "traces.sorce: unknown key, did you mean source?" in faults('[traces]\nsorce = "x"\n')


@pytest.mark.fault("F36")
@pytest.mark.parametrize("text", ["name = ", "a = 1" + "0" * 5000, "a = " + "[" * 5000])
def test_what_is_not_toml_is_said_with_its_place(text: str) -> None:
    assert faults(text)[0].startswith("is not TOML: ")


def test_values_are_not_converted() -> None:
    with pytest.raises(BadSettings, match="seed: '1' - "):
        experiment(seed='"1"')


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    text = find_experiment("smoke").read_text()
    (tmp_path / "mine.toml").write_text("\ufeff" + text, encoding="utf-8")
    assert read_experiment(tmp_path / "mine.toml") == read_experiment(find_experiment("smoke"))


def test_a_file_that_is_not_text_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = \xff")
    with pytest.raises(BadSettings, match="cannot be read"):
        read_experiment(tmp_path / "mine.toml")


def test_a_file_comes_before_a_shipped_experiment_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_experiment("pocket").name == "pocket.toml"
    (tmp_path / "pocket").write_text("")
    assert find_experiment("pocket") == Path("pocket")
    with pytest.raises(BadSettings, match="no file 'pockt'; did you mean pocket"):
        find_experiment("pockt")
