"""Whatever a user feeds it: a clear refusal before any work, or a row that is counted.

What becomes of single values (columns, answers, token ids, log-probabilities) stands in
`tests/core/sources/test_traces.py` and `test_benchmarks.py`; of experiment files, in
`tests/flows/test_cli.py`; of a disk and a folder that take nothing, in `test_no_room.py`.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from tests.core.models import tiny
from tests.flows.recorded_requests import refused

STUDY = """
name = "x"
traces = { source = "import", path = "traces.jsonl" }
teachers = [{ name = "t", path = "teacher" }]
students = [{ name = "s", path = "teacher", source = "select" }]
selectors = [{ name = "random" }]
"""
ROW = {"problem": "How much is 1 and 1?", "answer": "2", "trace": "One more. It is 2."}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_qwen(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture
def here(elsewhere: Path, model: Path) -> Path:
    """A folder with all that a run needs; each test spoils one thing of it."""
    shutil.copytree(model, elsewhere / "teacher")
    (elsewhere / "traces.jsonl").write_text(json.dumps(ROW) + "\n")
    (elsewhere / "study.toml").write_text(STUDY)
    return elsewhere


def test_the_folder_that_the_others_spoil_is_sound(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", "study.toml"]) == 0
    assert "to build" in capsys.readouterr().out


Spoil = Callable[[Path], object]


def write(name: str, data: bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(data)


def swap(old: str, new: str) -> Spoil:
    """Another text in the experiment file."""
    return lambda folder: (folder / "study.toml").write_text(STUDY.replace(old, new))


def cut(name: str, num_bytes: int) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-num_bytes])


def setting(name: str, key: str, value: object) -> Spoil:
    """A key in a JSON file of the model."""
    file = f"teacher/{name}"
    return lambda folder: (folder / file).write_text(
        json.dumps(json.loads((folder / file).read_text()) | {key: value})
    )


def drop(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def pickled(folder: Path) -> None:
    (folder / "teacher/model.safetensors").rename(folder / "teacher/pytorch_model.bin")


def untold(folder: Path) -> None:
    """No template, and no tags among its tokens: nothing says how it thinks."""
    shutil.rmtree(folder / "teacher")
    tiny.write_folder(
        folder / "teacher",
        tokenizer := tiny.byte_level(["<|im_end|>"]),
        tiny.qwen(tiny.size_of(tokenizer)),
        None,
        {},
    )


def as_parquet(*changes: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        pq.write_table(pa.Table.from_pylist([ROW] * 2000), folder / "traces.parquet")
        for change in (swap("traces.jsonl", "traces.parquet"), *changes):
            change(folder)

    return spoil


TOML, ROWS = "study.toml", "traces.jsonl"
REFUSED: dict[str, tuple[Spoil, str]] = {
    # The experiment file.
    "TOML that is cut": (cut(TOML, 3), "is not TOML"),
    "TOML that is not UTF-8": (write(TOML, b'name = "\xff"'), "cannot be read"),
    "TOML without a bottom": (write(TOML, b"a = " + b"[" * 5000), "is not TOML"),
    "a number of 5000 digits": (write(TOML, b"seed = " + b"9" * 5000), "is not TOML"),
    "an unknown key": (swap("name = ", "nme = "), "nme: unknown key, did you mean name?"),
    "text for a number": (swap('"x"', '"x"\nseed = "1"'), "seed: '1' - input should be a valid i"),
    "a truth for a number": (swap('"x"', '"x"\npart_size = true'), "part_size: True"),
    "a number that never ends": (swap('"x"', '"x"\n[labels]\nbeta = inf'), "labels"),
    "a seed that NumPy refuses": (swap("selectors", "matrix = { seeds = [-1] }\nselectors"), "-1"),
    "no seed at all": (swap("selectors", "matrix = { seeds = [] }\nselectors"), "matrix.seeds: []"),
    "a seed twice": (swap("selectors", "matrix = { seeds = [1, 1] }\nselectors"), "given twice"),
    "a pocket problem of no step": (
        swap(
            'source = "import", path = "traces.jsonl" }',
            'source = "generate" }\nproblems = { source = "pocket", limit = 2, depths = [0] }',
        ),
        "problems.pocket.depths[0]: 0",
    ),
    "a path with NUL": (swap("traces.jsonl", "a\\u0000b.jsonl"), "is not a file"),
    "a path without end": (swap("traces.jsonl", "a" * 5000), "is not a file"),
    # The rows.
    "no such file": (drop(ROWS), "traces.jsonl is not a file"),
    "a folder of other things": (swap("traces.jsonl", "teacher"), "looks like the problem"),
    "a folder of nothing": (
        lambda f: (
            swap("traces.jsonl", "none")(f),
            shutil.copytree(f / "teacher", f / "none", ignore=lambda place, names: names),
        ),
        "holds no file that",
    ),
    "an empty file": (write(ROWS, b""), "traces.jsonl is empty"),
    "blank lines": (write(ROWS, b"\n \r\n"), "traces.jsonl has no column"),
    "a file of something else": (write(ROWS, b"\x89PNG\xff"), "first line is not UTF-8 at byte 0"),
    "JSON, not JSONL": (write(ROWS, b"[\n{}\n]"), "first line is not JSON"),
    "a missing column": (write(ROWS, b'{"problem": "A"}'), "looks like the trace"),
    "a column under another name": (
        swap('.jsonl"', '.jsonl", columns = { trace = "trac" }'),
        "did you mean 'trace'",
    ),
    "CSV": (swap("traces.jsonl", "teacher/../a.csv"), "a.csv is not a file"),
    "CSV with a column twice": (
        lambda f: (
            write("a.csv", b"\xef\xbb\xbfproblem,trace,trace\nA,B,C\n")(f),
            swap("traces.jsonl", "a.csv")(f),
        ),
        "two columns 'trace'",
    ),
    "a pickle": (
        lambda f: (write("a.pkl", b"\x80\x04N.")(f), swap("traces.jsonl", "a.pkl")(f)),
        "ends in .pkl: rdpt reads .jsonl",
    ),
    "gzip that is cut": (
        lambda f: (
            write("a.jsonl.gz", gzip.compress(b"{}\n" * 9)[:-9])(f),
            swap("traces.jsonl", "a.jsonl.gz")(f),
        ),
        "is not gzip, or is cut",
    ),
    "gzip that is none": (
        lambda f: (write("a.jsonl.gz", b"{}")(f), swap("traces.jsonl", "a.jsonl.gz")(f)),
        "is not gzip, or is cut",
    ),
    "Parquet without its end": (as_parquet(cut("traces.parquet", 9)), "is cut or damaged"),
    "Parquet of no bytes": (as_parquet(write("traces.parquet", b"")), "is empty"),
    "Parquet that is none": (as_parquet(write("traces.parquet", b"PAR1")), "is cut or damaged"),
    "a table without rows": (
        as_parquet(
            lambda f: pq.write_table(
                pa.table({"problem": [""], "trace": [""]}).slice(1), f / "traces.parquet"
            )
        ),
        "it has no rows",
    ),
    "rows of which none is good": (
        write(ROWS, b'{"problem": "", "trace": ""}'),
        "row 1: no problem text in 'problem'",
    ),
    # The model.
    "no weights": (drop("teacher/model.safetensors"), "has no *.safetensors"),
    "pickled weights": (pickled, "only pickled weights (pytorch_model.bin)"),
    "weights that are cut": (cut("teacher/model.safetensors", 100), "cut or damaged"),
    "weights of no bytes": (write("teacher/model.safetensors", b""), "cut or damaged"),
    "code beside the weights": (write("teacher/model.py", b""), "brings code (model.py)"),
    "code from elsewhere": (setting("config.json", "auto_map", {}), "asks for code from elsewhere"),
    "trusted code": (
        setting("tokenizer_config.json", "x", [{"trust_remote_code": True}]),
        "asks for code",
    ),
    "a cut configuration": (cut("teacher/config.json", 9), "config.json is not JSON"),
    "a configuration that is a list": (write("teacher/config.json", b"[]"), "a JSON list"),
    "packed weights on a CPU": (
        setting("config.json", "quantization_config", {"quant_method": "awq"}),
        "needs a GPU",
    ),
    "a cut tokenizer": (cut("teacher/tokenizer.json", 9), "the tokenizer of"),
    "a tokenizer of nothing": (write("teacher/tokenizer.json", b"{}"), "the tokenizer of"),
    "a template that is none": (
        write("teacher/chat_template.jinja", b"{% for %}"),
        "the chat template of",
    ),
    "a template that refuses": (
        write("teacher/chat_template.jinja", b"{{ raise_exception('no') }}"),
        "TemplateError: no",
    ),
    "no template where one is needed": (untold, "thinking"),
    "a home of nobody's": (swap('"teacher"', '"~nobody-here/x"'), "there is no such folder"),
}


@pytest.mark.fault("F36")
@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_before_any_work_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    spoil, told = REFUSED[case]
    spoil(here)
    capsys.readouterr()
    verb = "plan" if told.startswith(("row 1", "it has no")) else "run"  # found when all is read
    said = refused(capsys, verb, "study.toml")
    assert told in said
    assert len(said.splitlines()) <= 9  # the line that a run begins with, and eight of reasons


def test_a_damaged_page_of_parquet_is_named_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(folder: Path) -> None:
        data = bytearray((folder / "traces.parquet").read_bytes())
        data[40:60] = bytes(20)
        (folder / "traces.parquet").write_bytes(data)

    as_parquet(damage)(here)
    assert "traces.parquet is no Parquet file, or is cut or damaged" in refused(
        capsys, "plan", "study.toml"
    )


@pytest.mark.fault("F36")
def test_everything_that_is_wrong_is_told_at_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(ROWS)(here)
    cut("teacher/model.safetensors", 1)(here)
    said = refused(capsys, "run", "study.toml")
    assert "traces: " in said
    assert "model t: " in said


@pytest.mark.parametrize("data", [b"RDPT_THREADS=\xff\n", b"RDPT_THREADS=0\n", b"RDPT_THREDS=1\n"])
def test_a_bad_env_file_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    (here / ".env").write_bytes(data)
    assert ".env" in refused(capsys, "run", "study.toml")


@pytest.mark.fault("F39")
@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize("place", ["traces.jsonl", "traces.jsonl/below"])
def test_a_workspace_that_is_a_file_is_refused(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    place: str,
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", place)
    assert "traces.jsonl is not a folder: set RDPT_WORKSPACE to another folder" in refused(
        capsys, verb, "study.toml"
    )


def test_compiling_without_a_compiler_is_refused_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = here / "study.toml"
    file.write_text(file.read_text() + '\n[scoring]\npath = "compiled"\n')
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "needs a C++ compiler" in refused(capsys, "run", "study.toml")
