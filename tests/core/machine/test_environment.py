"""What a shell or a cluster has exported changes no weight, no score, no text and no verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runtime import read_runtime
from rdpt_core.machine.environment import isolate, worker_environment
from settings.loading import BadSettings
from tests.core.finetune.tiny_students import base

__all__ = ["base"]

# As their makers document them, each with a value that moves a number, or a start, where it is
# obeyed. The launcher's are what is left in a shell of its second process.
EXPORTED = {
    "accelerate": {
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "ACCELERATE_DOWNCAST_BF16": "true",
        "ACCELERATE_USE_FSDP": "true",
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "3",
        "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
        "ACCELERATE_TORCH_DEVICE": "meta",
        "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
        "PARALLELISM_CONFIG_TP_SIZE": "2",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
        "MIXED_PRECISION": "bf16",
    },
    "launchers": {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "1",
        "GROUP_RANK": "1",
        "ROLE_RANK": "1",
        "MASTER_ADDR": "192.0.2.1",
        "MASTER_PORT": "29500",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMI_SIZE": "2",
        "PMI_RANK": "1",
        "MV2_COMM_WORLD_LOCAL_RANK": "1",
        "SLURM_PROCID": "1",
        "SLURM_NTASKS": "2",
        "TORCHELASTIC_RUN_ID": "elsewhere",
    },
    "torch": {
        "ATEN_CPU_CAPABILITY": "default",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
        "TORCH_LINEAR_FLATTEN_3D": "1",
        "TORCH_MKLDNN_MATMUL_MIN_DIM": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "TORCHDYNAMO_DISABLE": "1",
        "TORCHINDUCTOR_USE_FAST_MATH": "1",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "TORCH_DISTRIBUTED_DEBUG": "DETAIL",
        "PYTORCH_TUNABLEOP_ENABLED": "1",
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:21",
        "XLA_USE_BF16": "1",
    },
    "CUDA": {
        "NVIDIA_TF32_OVERRIDE": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":16:8",
        "CUBLAS_EMULATE_SINGLE_PRECISION": "1",
        "CUDNN_CONV_WSCAP_DBG": "1",
        "FLASH_ATTENTION_DETERMINISTIC": "1",
    },
    "OpenMP and BLAS": {
        "OMP_NUM_THREADS": "7",
        "OMP_DYNAMIC": "true",
        "OMP_THREAD_LIMIT": "1",
        "OMP_SCHEDULE": "dynamic",
        "KMP_BLOCKTIME": "0",
        "GOMP_CPU_AFFINITY": "0",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_NUM_THREADS": "7",
        "OPENBLAS_CORETYPE": "Prescott",
        "OPENBLAS_NUM_THREADS": "7",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_ENABLE_AVX": "0",
        "NUMBA_OPT": "0",
    },
    "transformers and tokenizers": {
        "TRANSFORMERS_SDPA_FORCE_GQA": "1",
        "USE_HUB_KERNELS": "YES",
        "USE_TORCH_XLA": "1",
        "TRUST_REMOTE_CODE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "RAYON_NUM_THREADS": "3",
    },
    "the language": {"PYTHONHASHSEED": "123"},
    "sympy": {"SYMPY_USE_CACHE": "no", "SYMPY_GROUND_TYPES": "python", "USE_SYMENGINE": "1"},
}
NAMES = [(maker, name) for maker, variables in EXPORTED.items() for name in variables]
ALL = {name: value for variables in EXPORTED.values() for name, value in variables.items()}

HARMLESS = ("TOKENIZERS_PARALLELISM",)
"""May stay in the program, where it only says how many threads encode."""
ONLY_WORKERS = ("the language", "sympy")
"""The program neither grades by itself nor depends on the order of a set."""

COMPUTE = """
import sys
from pathlib import Path
import flows  # as every start of the program
from tests.core.machine.environment_probe import digests
print(digests(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def computed(base: Path, folder: Path, exported: dict[str, str], root: Path) -> dict[str, str]:
    """Digests of weights, scores, texts and verdicts made by a process of that environment."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE, str(base), str(folder)],
        env={**inherited, "PYTHONPATH": str(root), **exported},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_t47_what_the_shell_exports_moves_no_weight_score_text_or_verdict(
    base: Path, tmp_path: Path, root: Path
) -> None:
    plain = computed(base, tmp_path / "plain", {}, root)
    assert computed(base, tmp_path / "exported", ALL, root) == plain
    assert set(plain) == {"weights", "scores", "texts", "verdicts"}


@pytest.mark.parametrize(("maker", "name"), NAMES)
def test_t47_no_worker_gets_it(maker: str, name: str) -> None:
    value = ALL[name]
    assert worker_environment({name: value}).get(name) != value


@pytest.mark.parametrize(("maker", "name"), [n for n in NAMES if n[0] not in ONLY_WORKERS])
def test_t47_the_program_drops_it(maker: str, name: str) -> None:
    environment = {name: ALL[name], "PATH": "/bin"}
    assert (name in isolate(environment)) != (name in HARMLESS)
    assert (environment.get(name) == ALL[name]) == (name in HARMLESS)
    assert environment["PATH"] == "/bin"


@pytest.mark.fault("X6")
@pytest.mark.parametrize("name", ["HF_TOKEN", "RDPT_SERVERS", "AWS_SECRET_ACCESS_KEY", "MLFLOW_X"])
def test_a_worker_gets_no_secret_and_no_setting(name: str) -> None:
    assert name not in worker_environment({name: "x"})


def test_a_worker_gets_its_devices_its_places_and_the_package_first(root: Path) -> None:
    listed = {
        "CUDA_VISIBLE_DEVICES": "1",
        "HF_HOME": "/cache",
        "LC_ALL": "C.UTF-8",
        "CUDA_MPS_PIPE_DIRECTORY": "/run/mps",
    }
    found = worker_environment({**listed, "PYTHONPATH": "/modules"})
    assert listed.items() <= found.items()
    assert found["PYTHONPATH"] == os.pathsep.join([str(root), "/modules"])


def test_a_variable_that_worked_before_python_started_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    assert read_runtime()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.cpu.hwcaps=-FMA,-AVX2")
    with pytest.raises(BadSettings, match="GLIBC_TUNABLES holds glibc"):
        read_runtime()


def test_t47_no_test_gets_what_the_shell_exports_and_all_have_one_thread(root: Path) -> None:
    code = """
import os, tests.conftest, flows.cli
print(os.environ.get("ACCELERATE_MIXED_PRECISION"), os.environ.get("OMP_NUM_THREADS"))
"""
    environment = {**os.environ, "PYTHONPATH": str(root), **ALL}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "None 1\n", done.stderr


@pytest.mark.parametrize("start", ["flows.cli", "flows.experiment"])
def test_t47_it_is_dropped_before_a_library_reads_it(start: str, root: Path) -> None:
    code = f"""
import sys
class Watch:
    def find_spec(self, name, *rest):
        if name in ("torch", "numpy", "numba", "scipy"):
            import os
            assert "MKL_CBWR" not in os.environ, name
sys.meta_path.insert(0, Watch())
import {start}, torch
"""
    environment = {**os.environ, "PYTHONPATH": str(root), "MKL_CBWR": "COMPATIBLE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
