"""`rdpt compare`: for people tables that fit, for programs the rows with all digits."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from rich.text import Text

from flows import cli
from flows.commands import compare
from flows.results.tables import print_domains
from flows.workspace import Opened
from rdpt_core.tables.rows import Result
from tasks.tracking.addresses import view_address
from tasks.tracking.client import Mlflow
from tests.flows.recorded_requests import refused

SQL = """
SELECT name, metric, value, low, high FROM results WHERE side = 'test' AND metric IN
    ('accuracy', 'provenance/share/teacher', 'grades/lift', 'grades/difference/teacher_count',
     'provenance/difference/teacher/teacher_count')
UNION ALL SELECT name, metric, value, low, high FROM results WHERE metric IN
    ('tokens', 'selection/difference/tokens/teacher_count')
"""


def test_piped_it_is_the_rows_of_the_results(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", "study"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out), delimiter="\t"))
    found = {
        (row["configuration"], row["metric"]): tuple(
            float(row[name]) if row[name] else None for name in ("value", "low", "high")
        )
        for row in rows
    }
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        expected = {
            (name, metric): tuple(rest) for name, metric, *rest in sql.execute(SQL).fetchall()
        }
    assert len(expected) == 4 + 2 + 2 + 1 + 1 + 2 + 1
    assert len(found) == len(rows)
    assert {key: found[key] for key in expected} == expected
    for name in ("teacher", "student", "teacher_count", "random"):
        assert found[name, "seconds"][0] > 0  # type: ignore[operator]
        assert found[name, "grades/accuracy/even"][0] is not None
    assert found["random", "grades/net_gained"][0] is not None


def test_a_note_may_hold_either_line_end(
    study: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Result("c", "test", "b", "seconds", 1.0, None, None, 1, "a\rb")
    monkeypatch.setattr(compare, "_numbers", lambda one: [row])
    assert cli.main(["compare", "study"]) == 0
    assert '\t1\t"a\rb"\n' in capsys.readouterr().out


def in_a_terminal(folder: Path, *arguments: str, **variables: str) -> str:
    """What is written to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    root = Path(__file__).parents[3]
    size = {"COLUMNS": "80", "LINES": "24"}
    environment = {
        **os.environ,
        **size,
        **variables,
        "PYTHONPATH": str(root),
        "RDPT_TRACKING": "off",
    }
    command = [sys.executable, "-m", "flows.cli", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 1 << 16):
                shown += block
        except OSError:  # what Linux says when the other end is closed
            pass
        os.close(ours)
        assert process.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_in_a_terminal_it_fits_80_columns(study: Opened) -> None:
    written = in_a_terminal(study.base, "compare", "study", TERM="xterm-256color")
    assert "\x1b[1mconfiguration" in written
    shown = Text.from_ansi(written).plain
    assert max(map(len, shown.splitlines())) <= 80
    heading = ["configuration", "accuracy", "95%", "teacher", "student", "shared", "boosted"]
    assert shown.splitlines()[2].split() == heading
    assert "\nrandom - teacher_count\n" in shown
    assert "\nrandom - student\n" in shown
    domains = shown[shown.index("\naccuracy by domain\n") + 1 :].splitlines()
    assert domains[1].split() == ["configuration", "even", "odd"]
    assert ["teacher", "0.00", "0.00"] in [line.split() for line in domains]
    assert domains[6].split() == ["questions", "4", "4"]
    work = shown[shown.index("\nwork: ") + 1 :].splitlines()
    assert work[1].split()[-4:] == ["own", "seconds", "shared", "seconds"]
    changes = shown[shown.index("\nquestions gained and lost") + 1 :].splitlines()
    assert changes[1].split() == ["configuration", "gained", "lost", "net", "95%", "questions"]
    assert [line.split()[0] for line in changes[2:4]] == ["random", "teacher_count"]
    lines = shown[shown.index("random - teacher_count") :].splitlines()
    assert lines[1].split()[:2] == ["accuracy", "+0.0"]
    whats = [line.split()[0] for line in lines[2:7]]
    assert sorted(whats) == ["boosted", "shared", "student", "teacher", "tokens"]
    assert "one seed: conditional on this checkpoint" in shown


def test_a_plan_in_a_terminal_fits_80_columns(tmp_path: Path) -> None:
    lines = in_a_terminal(tmp_path, "plan", "smoke", TERM="dumb").splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "0 of 51 tables cached; 51 to build"
    tables = lines[lines.index("teacher_count and random, train") + 1 :]
    assert tables[0].split()[:2] == ["problems", "to"]
    assert not any(line.startswith("  rejects") for line in lines), "a table of no parts"


def test_a_plan_in_a_terminal_lists_what_is_left(study: Opened) -> None:
    lines = in_a_terminal(study.base, "plan", study.file.name, TERM="dumb").splitlines()
    num = len(study.study.tables())
    assert lines[0] == f"{num} of {num} tables cached; nothing to build"
    assert not any(line.startswith("table ") for line in lines)
    every = in_a_terminal(study.base, "plan", "--all", study.file.name, TERM="dumb")
    assert re.search(r"^  traces +cached +\d of \d$", every, re.MULTILINE)


def test_who_reads_no_further_is_no_error(study: Opened) -> None:
    """`rdpt compare study | head -1` ended with "Broken pipe" and the code of a dead server."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "RDPT_TRACKING": "off"}
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flows.cli", "compare", "study"]
    done = subprocess.run(
        command, cwd=study.base, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_without_results_it_says_how_to_get_them(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    other = study.base / "other.toml"
    other.write_text(
        study.file.read_text()
        .replace('name = "study"', 'name = "other"')
        .replace("beta = 0.1", "beta = 0.2")
        .replace("= 6", "= 7")
    )
    assert "no results yet: rdpt run other.toml" in refused(capsys, "compare", "other.toml")


# ---------------------------------------------------------------------------- the address


def test_the_address_opens_the_view_of_the_experiment(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow = Mlflow(study.runtime, "study")
    mlflow.open()
    assert cli.main(["compare", "study"]) == 0
    identity = mlflow._experiment.experiment_id
    page = f"http://127.0.0.1:5000/#/experiments/{identity}/runs?workflowType=machine_learning"
    assert capsys.readouterr().err.rstrip().endswith(f"{page}&viewStateShareKey=comparison")


def test_an_mlflow_that_knows_nothing_is_not_made(tmp_path: Path, study: Opened) -> None:
    runtime = study.runtime.model_copy(update={"workspace": tmp_path})
    assert view_address(runtime, "study", "comparison") is None
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("address", ["off", "http://127.0.0.1:1"])
def test_without_an_mlflow_there_is_no_address(study: Opened, address: str) -> None:
    runtime = study.runtime.model_copy(update={"tracking": address})
    assert view_address(runtime, "study", "comparison") is None


# ---------------------------------------------------------------------------- domains


def in_domains(*names: str) -> dict[str, dict[str, Result]]:
    metrics = [f"grades/accuracy/{name}" for name in names]
    rows = {m: Result("c", "test", "b", m, 0.555, 0.4, 0.7, 40, None) for m in metrics}
    return {"random": rows}


def test_what_all_domains_begin_with_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_domains(in_domains("depth-1", "depth-2"))
    assert capsys.readouterr().out == (
        "\naccuracy by domain (depth-...)\n"
        "configuration     1     2\n"
        "random         0.56  0.56\n"
        "questions        40    40\n"
    )
    print_domains(in_domains("algebra", "arithmetic"))
    assert "(a" not in capsys.readouterr().out, "words are not cut"


def test_the_depths_of_the_pocket_study_fit_79_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = in_domains(*(f"depth-{depth}" for depth in range(1, 7)))["random"]
    for metric, value in (("gained", 110.0), ("lost", 105.0), ("net_gained", -100.0)):
        name = f"grades/{metric}"
        rows[name] = Result("c", "test", "b", name, value, -124.4, -95.1, 240, None)
    arms = ("teacher_count_seed0", "random_draw1_seed0", "random_matched_teacher_count_seed0")
    print_domains(dict.fromkeys(arms, rows))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 79
    assert len(lines) == 4 + len(arms) + 3 + len(arms)


def test_nine_domains_are_not_set_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    print_domains(in_domains(*"abcdefghi"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "accuracy in 9 domains: `rdpt compare` in a pipe" in shown.err
