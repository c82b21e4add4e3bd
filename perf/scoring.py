"""How fast rdpt scores, beside what people use today and beside the limit, in one run.

    .venv/bin/python perf/scoring.py --rounds 3 --json perf/results/scoring.json

64 traces of 200 to 4,000 tokens (lognormal) under a Qwen3-shaped model with random weights and the
real vocabulary of 151,936. Every method is a process of its own with the model loaded; the rounds
go through all methods in turn, so a machine that slows down slows all of them. A ratio is the
median over the rounds of (rdpt's tokens per CPU-second) / (the method's, in the same round).

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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / ".venv"
IN_PEERS = ("lm_eval", "minicons")
METHODS = ("hf_loop", "padded", "padded_sorted", "lm_eval", "minicons",
           "exact", "limit", "compiled", "limit_compiled")  # fmt: skip
RDPT = ("exact", "compiled")
DEFAULT_PATH = "exact"


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


def measure(
    folder: Path, rounds: int, methods: list[str], threads: int
) -> Iterator[dict[str, list[Any]]]:
    """Rounds per method, after each round. Only one process computes at a time."""
    found: dict[str, list[Any]] = {name: [] for name in methods}
    processes = {name: Process(name, folder, threads) for name in methods}
    for name, process in processes.items():
        # The compiled paths meet every shape once before they are timed; the others warm up.
        process.round("run" if "compiled" in name else "warm")
    for number in range(rounds):
        for name, process in processes.items():
            found[name].append(process.round())
            rate = found[name][-1]["tokens"] / found[name][-1]["cpu_s"]
            print(f"round {number + 1}  {name:<15} {rate:8,.0f} tokens/CPU-s", file=sys.stderr)
        yield found
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
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="written anew after each round")
    parser.add_argument("--traces", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=Shape.vocabulary)
    parser.add_argument("--width", type=int, default=Shape.width)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    asked = parser.parse_args()
    if set(asked.methods) & set(IN_PEERS):
        prepare_peers()
    shape = Shape(asked.vocabulary, asked.width, asked.layers)
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(shape, folder, dtype)
        list_ = traces(asked.traces, shape.vocabulary)
        (folder / "traces.json").write_text(json.dumps(list_))
        for found in measure(folder, asked.rounds, asked.methods, asked.threads):
            if asked.json:
                text = json.dumps(report(shape, asked.traces, dtype, found), indent=1)
                asked.json.write_text(f"{text}\n", encoding="utf-8")
    for path in RDPT:
        if path in found:
            print(f"{path}: tokens per CPU-second as a multiple of")
            for name, ratio in ratios(found, path).items():
                print(f"  {name:<14} {ratio:6.2f}")


def report(
    shape: Shape, num_traces: int, dtype: torch.dtype, found: dict[str, Any]
) -> dict[str, Any]:
    paths = [path for path in RDPT if path in found]
    return {
        "path": DEFAULT_PATH,
        "num_traces": num_traces,
        "ratios": ratios(found, DEFAULT_PATH) if DEFAULT_PATH in found else {},
        "ratios_by_path": {path: ratios(found, path) for path in paths},
        "shape": asdict(shape),
        "dtype": str(dtype).removeprefix("torch."),
        "machine": {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__,
                    "amx": torch.cpu._is_amx_tile_supported()},
        "rounds": found,
    }  # fmt: skip


if __name__ == "__main__":
    main()
