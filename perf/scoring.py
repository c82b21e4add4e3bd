"""How fast rdpt scores, beside what people use today and beside the limit, in one run.

    .venv/bin/python perf/scoring.py --rounds 3 --json perf/results/scoring.json

64 traces of 200 to 4,000 tokens (lognormal) under a Qwen3-shaped model with random weights and the
real vocabulary of 151,936. Every method is a process of its own with the model loaded; the rounds
go through all methods in turn, so a machine that slows down slows all of them. A ratio is the
median over the rounds of (rdpt's tokens per CPU-second) / (the method's, in the same round).

A round of the whole list may take most of an hour, so the file is written after each; with
--resume the rounds that it holds of the same work on the same machine count, and those that are
left are made.

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
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from workload import Shape, traces, write_model

from rdpt_core.models.spec import Scoring

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / ".venv"
IN_PEERS = ("lm_eval", "minicons")
METHODS = ("hf_loop", "padded", "padded_sorted", "lm_eval", "minicons",
           "exact", "limit", "compiled", "limit_compiled")  # fmt: skip
RDPT = ("exact", "compiled")
DEFAULT_PATH = Scoring().path


class Process:
    """A method that waits for its rounds."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        python = PEERS / "bin" / "python" if name in IN_PEERS else Path(sys.executable)
        arguments = [str(python), str(HERE / "methods.py"), name, str(folder), str(threads)]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1",
                 "OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_CACHE_DIR": str(HERE / ".cache")},
        )  # fmt: skip

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


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers at least as fast as float32 ones."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        one = torch.randn(256, 512).to(dtype)
        one @ one.T
        begun = time.process_time()
        for _ in range(10):
            one @ one.T
        seconds[dtype] = time.process_time() - begun
    return seconds[torch.bfloat16] <= seconds[torch.float32]


def prepare_peers() -> None:
    done = PEERS / "requirements.txt"
    wanted = HERE / "requirements.txt"
    if done.exists() and done.read_bytes() == wanted.read_bytes():
        return
    print("building the peers' virtual environment, once ...", file=sys.stderr)
    shutil.rmtree(PEERS, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    subprocess.run(
        [str(PEERS / "bin" / "python"), "-m", "pip", "install", "--quiet", "-c",
         str(ROOT / "constraints.txt"), "-r", str(wanted)],
        check=True,
    )  # fmt: skip
    shutil.copyfile(wanted, done)


def measure(folder: Path, rounds: int, found: dict[str, list[Any]], threads: int) -> Iterator[None]:
    """Adds to `found`, by method, the rounds that are left; yields after each. Only one process
    computes at a time."""
    processes = {name: Process(name, folder, threads) for name in found}
    for name, process in processes.items():
        # The compiled paths meet every shape once before they are timed; the others warm up.
        process.round("run" if "compiled" in name else "warm")
    for number in range(min(map(len, found.values())), rounds):
        for name, process in processes.items():
            found[name].append(process.round())
            rate = found[name][-1]["tokens"] / found[name][-1]["cpu_s"]
            print(f"round {number + 1}  {name:<15} {rate:8,.0f} tokens/CPU-s", file=sys.stderr)
        yield
    for process in processes.values():
        process.stop()


def ratios(found: dict[str, list[Any]], path: str) -> dict[str, float]:
    """Of `path`'s rate to each method's, the limit in the same mode."""
    other = {"limit": "limit" if path == "exact" else "limit_compiled"}
    names = ("hf_loop", "padded", "padded_sorted", "lm_eval", "minicons", "limit")
    return {
        name: statistics.median(
            theirs["cpu_s"] / ours["cpu_s"]
            for ours, theirs in zip(found[path], found[other.get(name, name)], strict=True)
        )
        for name in names
        if other.get(name, name) in found
    }


def main() -> None:
    asked = arguments()
    if set(asked.methods) & set(IN_PEERS):
        prepare_peers()
    shape = Shape(asked.vocabulary, asked.width, asked.layers)
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32
    work = description(shape, asked.traces, asked.threads, dtype)
    found: dict[str, list[Any]] = {name: [] for name in asked.methods}
    if asked.resume:
        found |= rounds_of(asked.json, work, asked.methods)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(shape, folder, dtype)
        list_ = traces(asked.traces, shape.vocabulary)
        (folder / "traces.json").write_text(json.dumps(list_))
        for _ in measure(folder, asked.rounds, found, asked.threads):
            if asked.json:
                beside = asked.json.with_name(f".{asked.json.name}.tmp")
                beside.write_text(json.dumps(report(work, found), indent=1) + "\n")
                beside.replace(asked.json)
    for path in RDPT:
        if path in found:
            print(f"{path}: tokens per CPU-second as a multiple of")
            for name, ratio in ratios(found, path).items():
                print(f"  {name:<14} {ratio:6.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="written anew after each round")
    parser.add_argument("--resume", action="store_true", help="go on with the rounds of --json")
    parser.add_argument("--traces", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=Shape.vocabulary)
    parser.add_argument("--width", type=int, default=Shape.width)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    asked = parser.parse_args()
    if asked.resume and not asked.json:
        parser.error("--resume goes on with a file: name it by --json")
    return asked


def description(shape: Shape, num_traces: int, threads: int, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "num_traces": num_traces,
        "threads": threads,
        "shape": asdict(shape),
        "dtype": str(dtype).removeprefix("torch."),
        "machine": {"cpu": cpu_name(), "torch": torch.__version__,
                    "amx": torch.cpu._is_amx_tile_supported()},
    }  # fmt: skip


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
