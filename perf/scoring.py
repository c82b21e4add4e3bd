"""How fast rdpt scores, beside what people use today and beside the limit, in one run.

    .venv/bin/python perf/scoring.py --rounds 3 --json perf/results/scoring.json

64 traces of 200 to 4,000 tokens (lognormal) under a Qwen3-shaped model with random weights, stored
in bfloat16, and the real vocabulary of 151,936. Every method is a process of its own with the model
loaded; the rounds go through all methods in turn, so a machine that slows down slows all of them. A
ratio is the median over the rounds of (rdpt's tokens per CPU-second) / (the method's, in the same
round).

A CPU without bfloat16 units needs hours for a round of the whole list, so the file is written
after each method's; with --resume what it holds of the same work on the same machine counts, and
what is left is made. --dtype float32 has every method multiply float32 numbers.

The peers' virtual environment is built from perf/requirements.txt on first use.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from operator import truediv
from pathlib import Path
from typing import Any

import torch
from workload import Shape, traces, write_model

from rdpt_core.files.replacing import replacing
from rdpt_core.models.spec import Scoring

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / ".venv"
IN_PEERS = ("lm_eval", "minicons")
METHODS = (
    "exact",
    "limit",
    "compiled",
    "limit_compiled",
    "hf_loop",
    "lm_eval",
    "padded_sorted",
    "minicons",
    "padded",
)
RDPT = ("exact", "compiled")
DEFAULT_PATH = Scoring().path


class Process:
    """A method that waits for its rounds."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        python = PEERS / "bin" / "python" if name in IN_PEERS else Path(sys.executable)
        arguments = [str(python), str(HERE / "methods.py"), name, str(folder), str(threads)]
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PYTHONPATH": str(ROOT),
                "PATH": "/usr/bin:/bin",
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": str(threads),
                "TORCHINDUCTOR_CACHE_DIR": str(HERE / ".cache"),
            },
        )

    def round(self, what: str = "run") -> dict[str, Any]:
        self.begin(what)
        return self.answer()

    def begin(self, what: str = "run") -> None:
        assert self._process.stdin
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        self._process.communicate("")


def prepare_peers() -> None:
    done = PEERS / "requirements.txt"
    wanted = HERE / "requirements.txt"
    if done.exists() and done.read_bytes() == wanted.read_bytes():
        return
    print("building the peers' virtual environment, once ...", file=sys.stderr)
    shutil.rmtree(PEERS, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    subprocess.run(
        [
            str(PEERS / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            str(ROOT / "constraints.txt"),
            "-r",
            str(wanted),
        ],
        check=True,
    )
    shutil.copyfile(wanted, done)


def measure(folder: Path, rounds: int, found: dict[str, list[Any]], threads: int) -> Iterator[None]:
    """Adds to `found`, by method, the rounds that are left; yields after each method's. Only one
    process computes at a time."""
    processes: dict[str, Process] = {}
    for number in range(rounds):
        for name, done in found.items():
            if len(done) > number:
                continue
            if name not in processes:
                processes[name] = warm(name, folder, threads)
            done.append(processes[name].round())
            rate = done[-1]["tokens"] / done[-1]["cpu_s"]
            print(f"round {number + 1}  {name:<15} {rate:8,.0f} tokens/CPU-s", file=sys.stderr)
            yield
    for process in processes.values():
        process.stop()


def warm(name: str, folder: Path, threads: int) -> Process:
    """The compiled paths meet every shape once before they are timed."""
    process = Process(name, folder, threads)
    process.round("run" if "compiled" in name else "warm")
    return process


def ratios(found: dict[str, list[Any]], path: str) -> dict[str, float]:
    """`path`'s rate over each method's (the limit in the same mode), over the rounds of both."""
    other = {"limit": "limit" if path == "exact" else "limit_compiled"}
    names = ("hf_loop", "padded", "padded_sorted", "lm_eval", "minicons", "limit")
    ours = [one["cpu_s"] for one in found[path]]
    theirs = {
        name: [one["cpu_s"] for one in found.get(other.get(name, name), [])] for name in names
    }
    return {
        name: statistics.median(map(truediv, some, ours))
        for name, some in theirs.items()
        if some and ours
    }


def main() -> None:
    asked = arguments()
    if set(asked.methods) & set(IN_PEERS):
        prepare_peers()
    shape = Shape(asked.vocabulary, asked.width, asked.layers)
    work = description(shape, asked.traces, asked.threads, asked.dtype)
    found: dict[str, list[Any]] = {name: [] for name in asked.methods}
    if asked.resume:
        found |= rounds_of(asked.json, work, asked.methods)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(shape, folder, getattr(torch, asked.dtype))
        list_ = traces(asked.traces, shape.vocabulary)
        (folder / "traces.json").write_text(json.dumps(list_))
        for _ in measure(folder, asked.rounds, found, asked.threads):
            if asked.json:
                with replacing(asked.json) as new:
                    new.write_text(json.dumps(report(work, found), indent=1) + "\n")
    for path in RDPT:
        if path in found:
            print(f"{path}: tokens per CPU-second as a multiple of")
            for name, ratio in ratios(found, path).items():
                print(f"  {name:<14} {ratio:6.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="written anew after each method's round")
    parser.add_argument("--resume", action="store_true", help="resume with the rounds of --json")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--traces", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=Shape.vocabulary)
    parser.add_argument("--width", type=int, default=Shape.width)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    asked = parser.parse_args()
    if asked.resume and not asked.json:
        parser.error("--resume needs --json: the file to resume")
    return asked


def description(shape: Shape, num_traces: int, threads: int, dtype: str) -> dict[str, Any]:
    return {
        "num_traces": num_traces,
        "threads": threads,
        "shape": asdict(shape),
        "dtype": dtype,
        "machine": {
            "cpu": cpu_name(),
            "torch": torch.__version__,
            "amx": torch.cpu._is_amx_tile_supported(),
        },
    }


def cpu_name(file: Path = Path("/proc/cpuinfo")) -> str:
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rounds_of(file: Path, work: dict[str, Any], methods: list[str]) -> dict[str, list[Any]]:
    """What an earlier run wrote down; nothing where there is no file. Ends the program where it is
    of other work."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text())
    other = [key for key, value in work.items() if kept.get(key) != value]
    if other or set(kept["rounds"]) != set(methods):
        sys.exit(f"{file} is of other {', '.join(other) or 'methods'}: give another file")
    rounds: dict[str, list[Any]] = kept["rounds"]
    return rounds


def report(work: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    paths = [path for path in RDPT if path in found]
    return {
        "path": DEFAULT_PATH,
        "ratios": ratios(found, DEFAULT_PATH) if DEFAULT_PATH in found else {},
        "ratios_by_path": {path: ratios(found, path) for path in paths},
        **work,
        "rounds": found,
    }


if __name__ == "__main__":
    main()
