"""The command line as its user meets it: help, mistakes, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from flows.cli import VERBS
from rdpt_core import __version__
from rdpt_core.defaults import SELECTORS
from settings.loading import BadSettings, read_experiment
from settings.shipped import shipped

HEAVY = ("torch", "prefect", "mlflow", "transformers", "datasets", "duckdb", "pyarrow", "numpy")


def rdpt(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["help"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_after([arguments]) == "[]"


def test_help_of_no_verb_imports_anything_heavy() -> None:
    assert heavy_after([[verb, "--help"] for verb in VERBS]) == "[]"


def heavy_after(commands: list[list[str]]) -> str:
    code = (
        f"import sys; from flows import cli; [cli.main(command) for command in {commands!r}]; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    return shown.stdout.splitlines()[-1]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    assert f"rdpt {verb}" in capsys.readouterr().out.split("Usage")[0]


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_80_columns_and_names_what_an_option_takes(
    verb: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([verb, "--help"] if verb else ["--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"(-o|--\w+) (str|int|float|bool)\b", shown)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["rnu", "smoke"], "did you mean run?"),
        (["run", "--nowait", "smoke"], "did you mean --no-wait?"),
        (["gc", "--dryrun"], "did you mean --dry-run?"),
        (["runs", "--workspce", "x"], "did you mean --workspace?"),
        (["--verison"], "did you mean --version?"),
        (["help", "cmopare"], "did you mean compare?"),
        (["--workspace", "x", "runs"], "rdpt VERB --workspace"),
    ],
)
def test_a_misspelt_verb_or_option_is_told_the_right_one_in_lines_of_a_terminal(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr().err
    assert meant in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_mistake_shows_the_short_usage_of_the_verb_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["rnu", "smoke"], ["run"], ["run", "--nowait", "smoke"], ["run", "a", "b"]):
        assert cli.main(arguments) == 2
        assert capsys.readouterr().err.startswith("usage: rdpt run [--no-wait] FILE\nrdpt")
    assert cli.main(["label", "x"]) == 2
    usage = "usage: rdpt label -o FILE [--alpha FLOAT] [--beta FLOAT] FILE\n"
    assert capsys.readouterr().err == f"{usage}rdpt label: -o is missing\n"


def test_version_and_help_have_two_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 0
        return capsys.readouterr().out

    assert shown("--version") == shown("version") == f"rdpt {__version__}\n"
    assert shown("help") == shown("--help")
    assert shown("help", "gc") == shown("gc", "--help")


def test_selectors_are_listed_in_help_and_in_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["select", "--help"]) == 0
    assert cli.main(["select", "x.csv", "-o", "-", "--selector", "longets"]) == 2
    shown = capsys.readouterr()
    assert "did you mean longest?" in shown.err
    for name in SELECTORS:
        assert re.search(rf"\b{name}\b", shown.out)
        assert re.search(rf"\b{name}\b", shown.err)


@pytest.mark.parametrize("arguments", [["rnu"], ["run"], ["run", "--nowait", "x"], []])
def test_a_misused_command_line_exits_2(arguments: list[str]) -> None:
    assert cli.main(arguments) == 2


def test_the_shipped_experiments_are_valid() -> None:
    assert set(shipped()) >= {"pocket", "pocket-seeds", "smoke", "imported", "attribute"}
    for path in shipped().values():
        assert read_experiment(path).pairings()


MISTAKES = {
    "part_sise = 4": "part_sise: unknown key, did you mean part_size?",
    "seed = -1": "seed: -1",
    'problems = { source = "pocket", limit = 3, splt = "bench" }': "did you mean split?",
    'problems = { source = "paper" }': "problems: ",
    "labels = { alpha = 2 }": "labels.alpha: 2",
    'matrix = { teachers = ["x"] }': "no teacher named 'x' in [[teachers]], which has: t",
    'selectors = [{ name = "longest", seed = 1 }]': "draws nothing: leave `seed` out",
    'selectors = [{ name = "random", seed = 0 }, { name = "random" }]': "both draw with seed 0",
    'selectors = [{ name = "random", match_tokens = "best" }]': "no selector named 'best'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_with_its_key_and_its_rule(tmp_path: Path, line: str) -> None:
    key = line.split(" ")[0]
    kept = [text for text in PLAIN.splitlines() if not text.startswith(f"{key} ")]
    file = tmp_path / "study.toml"
    file.write_text("\n".join([line, *kept]))
    with pytest.raises(BadSettings) as error:
        read_experiment(file)
    assert MISTAKES[line] in str(error.value)


PLAIN = """name = "x"
problems = { source = "pocket", limit = 3 }
traces = { source = "generate" }
teachers = [{ name = "t", path = "t" }]
students = [{ name = "s", path = "s" }]
selectors = [{ name = "random" }]
"""


@pytest.mark.fault("F36")
def test_all_mistakes_are_told_at_once_without_a_traceback_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "study.toml").write_text('nam = "x"\nseed = "one"\nteachers = []\nstudents = []\n')
    done = rdpt("run", "study.toml", cwd=tmp_path)
    assert done.returncode == 2
    for key in ("nam: unknown key, did you mean name?", "name: is required", "seed: 'one'"):
        assert key in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.fault("F36")
def test_an_unknown_variable_exits_2_and_names_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(PLAIN)
    done = rdpt("plan", "study.toml", cwd=tmp_path, RDPT_WORKSPASE="x")
    assert done.returncode == 2
    assert "RDPT_WORKSPASE is not a setting of rdpt, did you mean RDPT_WORKSPACE?" in done.stderr


@pytest.mark.fault("F36")
def test_a_bad_value_of_a_variable_exits_2_and_names_it(tmp_path: Path) -> None:
    done = rdpt("runs", cwd=tmp_path, RDPT_THREADS="many")
    assert done.returncode == 2
    assert "RDPT_THREADS: 'many'" in done.stderr


@pytest.mark.fault("F37")
def test_models_that_are_not_there_are_all_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(PLAIN)
    done = rdpt("run", "study.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "model t: " in done.stderr
    assert "model s: " in done.stderr
    assert not (tmp_path / "workspace").exists()
