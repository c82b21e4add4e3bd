"""Every format gives the same rows, in bounded memory, and nothing that could hold code is read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from rdpt_core.files import opening
from rdpt_core.files.records import BadTable
from rdpt_core.sources.problems import FileSource, blocks
from rdpt_core.sources.traces import TraceSource, import_blocks
from rdpt_core.tables import columns
from rdpt_core.tables.rows import Problem, Trace
from tasks import sources

ROWS = [
    {
        "problem": f'P{n} \u00e9\n"[{{,\\',
        "answer": f"0{n}",
        "trace": f'trace {k} of {n}\r\n,"x"',
        "model": "m",
    }
    for k in range(3)
    for n in range(5)
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def to_csv(path: Path) -> None:
    cells = [list(ROWS[0]), *([str(value) for value in row.values()] for row in ROWS)]
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(quoted).encode())


def to_zst(path: Path) -> None:
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(LINES)


def to_shards(path: Path) -> None:
    (path / "data").mkdir(parents=True)
    (path / "README.md").write_text("not data")
    (path / "set.py").write_text("raise SystemExit")
    (path / "rows.pkl").write_bytes(b"\x80\x04.")
    (path / ".hidden.jsonl").write_text("not data")
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table.slice(0, 4), path / "data/train-00000-of-00003.parquet")
    (path / "data/train-00001-of-00003.jsonl").write_bytes(b"\n".join(LINES.splitlines()[4:9]))
    (path / "data/train-00002-of-00003.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(LINES.splitlines()[9:]))
    )
    (path / "data/test-00000-of-00001.jsonl").write_text('{"problem": "no", "trace": "no"}\n')


FORMATS: dict[str, Callable[[Path], object]] = {
    "set.jsonl": lambda path: path.write_bytes(LINES),
    "set.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "set.jsonl.zst": to_zst,
    "set.json": lambda path: path.write_text(json.dumps(ROWS, indent=2), "utf-8"),
    "lines.json": lambda path: path.write_bytes(LINES),
    "spread.json": lambda path: path.write_text("\n".join(json.dumps(r, indent=1) for r in ROWS)),
    "set.csv": to_csv,
    "set.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=4),
    "shards": to_shards,
    "saved": lambda path: Dataset.from_list(ROWS).save_to_disk(str(path)),
    "saved-splits": lambda path: DatasetDict(
        {"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])}
    ).save_to_disk(str(path)),
}


def digests(folder: Path, name: str, shuffle: bool = False) -> tuple[str, ...]:
    """Contents of the problems and traces that a place gives."""
    source = TraceSource(path=name, name="set", delimiters="none")
    found = list(import_blocks(source, 2, folder))
    assert not [reject for block in found for reject in block.rejects]
    problems = [problem for block in found for problem in block.problems]
    traces = [trace for block in found for group in block.traces for trace in group]
    own = FileSource(source="file", path=name, name="set", split="train", shuffle=True)
    shuffled = [problem for block in blocks(own, 2, folder) for problem in block.problems]
    tables: list[tuple[type, list[Any]]] = [(Problem, problems), (Trace, traces)]
    return (
        *(columns.content_digest(kind, columns.in_key_order(kind, t)) for kind, t in tables),
        columns.content_digest(Problem, shuffled),
    )


@pytest.mark.fault("X2", "X10")
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    FORMATS["set.jsonl"](tmp_path / "reference.jsonl")
    FORMATS[name](tmp_path / name)
    assert digests(tmp_path, name) == digests(tmp_path, "reference.jsonl")


@pytest.mark.parametrize("name", ["shards", "saved-splits"])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, name: str
) -> None:
    FORMATS[name](tmp_path / name)
    source = TraceSource(path=name, split="dev")
    with pytest.raises(BadTable, match=r"the splits test, train, and 'dev' is asked for"):
        list(import_blocks(source, 2, tmp_path))
    assert len(opening.files_of(tmp_path / name, "train")) == 3


def test_a_folder_is_known_by_what_its_files_hold(tmp_path: Path) -> None:
    def digest(name: str) -> str:
        return sources.imported(TraceSource(path=name, name="set"), 4, tmp_path)[0].digest

    for name in ("a", "b"):
        to_shards(tmp_path / name)
    first = digest("a")
    assert digest("b") == first
    (tmp_path / "b/README.md").write_text("another")
    assert digest("b") == first
    (tmp_path / "b/data/train-00001-of-00003.jsonl").write_bytes(b"\n".join(LINES.splitlines()[:2]))
    assert digest("b") != first


@pytest.mark.fault("X5", "X10")
def test_a_saved_set_that_names_a_file_outside_is_refused(tmp_path: Path) -> None:
    FORMATS["saved"](tmp_path / "saved")
    FORMATS["saved"](tmp_path / "other")
    state = json.loads((tmp_path / "saved/state.json").read_text())
    state["_data_files"] = [{"filename": "../other/data-00000-of-00001.arrow"}]
    (tmp_path / "saved/state.json").write_text(json.dumps(state))
    with pytest.raises(BadTable, match="is not a file of the folder"):
        list(import_blocks(TraceSource(path="saved"), 2, tmp_path))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("set.json", b'[{"problem": "A", "trace": "x"}, {"problem": "cut', "not JSON"),
        ("set.json", b'[{"problem": "A", "trace": "x"}, 3, "a,b", null]', "a JSON int"),
        (
            "set.jsonl",
            b'{"problem": "A", "trace": "x"}\n{"trace": "a", "trace": "b"}',
            "the key 'trace' appears twice",
        ),
        ("set.csv", b"problem,trace\nA,x\nB,y,z\n", "3 cells where the line of names has 2"),
        ("set.csv", b"problem,trace\nA,x\n\xff,y\n", "not UTF-8"),
        ("set.csv", b'problem,trace\nA,x\nB,"y"z\n', "not CSV"),
    ],
)
def test_a_row_that_cannot_be_read_is_a_reject_and_the_others_are_used(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    found = list(import_blocks(TraceSource(path=name), 9, tmp_path))
    assert [problem.prompt for block in found for problem in block.problems] == ["A"]
    assert reason in next(reject.reason for block in found for reject in block.rejects)


def test_a_csv_cell_is_text_as_it_stands_and_an_empty_one_is_missing(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("problem,answer\nA,007\nB,\nC,1e5\n")
    (block,) = blocks(FileSource(source="file", path="set.csv"), 9, tmp_path)
    assert [problem.answer for problem in block.problems] == ["007", None, "1e5"]


@pytest.mark.fault("X10")
@pytest.mark.parametrize("name", ["set.jsonl.gz", "set.jsonl"])
def test_x10_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a file of a kilobyte that unpacks to one line of a gigabyte."""
    monkeypatch.setattr("rdpt_core.files.records.MOST_LINE", 2**20)
    bomb = b'{"problem": "A", "trace": "x"}\n{"problem": "' + bytes(2**22)
    (tmp_path / name).write_bytes(gzip.compress(bomb) if name.endswith("gz") else bomb)
    with pytest.raises(BadTable, match=r"line 2: more than 1 MB without a line end"):
        list(import_blocks(TraceSource(path=name), 9, tmp_path))


@pytest.mark.fault("X10")
@pytest.mark.parametrize("name", ["set.py", "set.pkl", "set.zip", "set.tar.gz", "set.pt"])
def test_x10_a_script_a_pickle_and_an_archive_are_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(BadTable, match=r"rdpt reads \.jsonl"):
        list(import_blocks(TraceSource(path=name), 9, tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / name).rename(tmp_path / "folder" / name)
    with pytest.raises(BadTable, match="holds no file that can be read"):
        list(import_blocks(TraceSource(path="folder"), 9, tmp_path))
    assert not (tmp_path / "canary").exists()


MEMORY = """
import resource, sys
from pathlib import Path
from rdpt_core.files import columnar
from rdpt_core.sources import traces

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def read(name):
    found = traces.import_blocks(traces.TraceSource(path=name), 8, Path(sys.argv[1]))
    return sum(len(block.problems) + len(block.rejects) for block in found)

traces.MOST_BYTES = columnar._CACHE_BYTES = 4 * 2**20
read("small" + sys.argv[2])
before = peak()
print(read("large" + sys.argv[2]), peak() - before)
"""


def write_rows(path: Path, num: int) -> None:
    """Rows of 150 kB, every second of which is a reject."""
    body = "Then it is so, and so on. \n" * 5500
    rows = [{"problem": f"P{n}" if n % 2 else "", "trace": f"{n} {body}"} for n in range(num)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
        return
    with pa.output_stream(str(path)) as out:  # compressed as the name says
        out.writelines(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.fault("X10")
@pytest.mark.parametrize("name", [".jsonl", ".json", ".jsonl.zst", ".parquet"])
def test_memory_follows_a_block_and_not_the_file(tmp_path: Path, name: str) -> None:
    """60 MB of rows, read with room for 4 MB of rejects."""
    write_rows(tmp_path / f"small{name}", 20)
    write_rows(tmp_path / f"large{name}", 400)
    command = [sys.executable, "-c", MEMORY, str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    num, more = map(int, done.stdout.split())
    assert num == 400
    assert more < 30, f"{more} MB more"
