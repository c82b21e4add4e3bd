"""Environment variables: which of them reach the code that computes.

A number must follow from the experiment file, not from exports of a shell or a cluster's launcher.
Two rules enforce this; they differ because their processes do:

- A process that rdpt starts to compute (training, grading) gets an environment built from a list,
  `worker_environment`: such a process needs few variables, and gets no others.
- The program itself samples and scores, and also runs Prefect, MLflow and the hub's client, whose
  variables cannot be listed. So `isolate` removes the families of variables that change numbers,
  before a library reads them; `unremovable` lists those that were read before Python started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from pathlib import Path

PASSED = {
    "programs and libraries are found by them": (
        "PATH",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_*",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUSERBASE",
        "PYTHONNOUSERSITE",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CC",
        "CXX",
        "CUDA_HOME",
        "CUDA_PATH",
        "ROCM_HOME",
        "ROCM_PATH",
    ),
    "whose process it is, and where it may write": (
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "TEMP",
        "TMP",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_DATASETS_CACHE",
        "HF_MODULES_CACHE",
        "TRITON_CACHE_DIR",
        "TORCH_HOME",
        "TORCH_EXTENSIONS_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "NUMBA_CACHE_DIR",
        "PYTHONPYCACHEPREFIX",
        "PYTHONDONTWRITEBYTECODE",
    ),
    "language of messages and encoding of file names": ("LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    "which devices this machine lends, and through whom": (
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "CUDA_MPS_PIPE_DIRECTORY",
        "CUDA_MPS_LOG_DIRECTORY",
    ),
    "how the processes of one training reach each other on this machine": (
        "NCCL_SOCKET_IFNAME",
        "NCCL_P2P_DISABLE",
        "NCCL_IB_DISABLE",
        "NCCL_SHM_DISABLE",
        "GLOO_SOCKET_IFNAME",
    ),
}
"""Variables that a worker inherits, by reason. No token and no proxy: it reads only local files.
No `RDPT_*`: its job holds all settings."""

OWN = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # sympy's order of terms can depend on it
    "PYTHONUTF8": "1",
}
"""Variables that rdpt sets in every worker."""

FOREIGN = {
    "kernels and precision of torch and of what it compiles": (
        "ATEN_*",
        "TORCH*",
        "PYTORCH_*",
        "AOT_INDUCTOR_*",
        "AOTINDUCTOR_*",
        "XLA_*",
        "PT_HPU_*",
    ),
    "precision and determinism of CUDA libraries": (
        "NVIDIA_TF32_OVERRIDE",
        "CUBLAS*",
        "CUDNN_*",
        "FLASH_ATTENTION_*",
        "CUDA_LAUNCH_BLOCKING",
    ),
    "kernels and threads of CPU libraries": (
        "MKL_*",
        "OMP_*",
        "GOMP_*",
        "KMP_*",
        "OPENBLAS_*",
        "GOTO_*",
        "BLIS_*",
        "VECLIB_*",
        "DNNL_*",
        "ONEDNN_*",
        "NPY_*",
        "NUMBA_*",
        "NUMEXPR_*",
        "RAYON_*",
    ),
    "how transformers, accelerate and tokenizers load and compute": (
        "ACCELERATE_*",
        "MIXED_PRECISION",
        "FSDP_*",
        "DEEPSPEED_*",
        "PARALLELISM_CONFIG_*",
        "TRANSFORMERS_*",
        "USE_TORCH*",
        "USE_TF",
        "USE_FLAX",
        "USE_JAX",
        "USE_HUB_KERNELS",
        "DISABLE_KERNEL_MAPPING",
        "HF_ENABLE_PARALLEL_LOADING",
        "TRUST_REMOTE_CODE",
        "TOKENIZERS_*",
        "SAFETENSORS_*",
    ),
    "leftovers of a launcher: this process is one of one": (
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GROUP_*",
        "ROLE_*",
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "ELASTIC_*",
        "OMPI_*",
        "PMI_*",
        "PMIX_*",
        "PALS_*",
        "MV2_*",
        "MPI_*",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_NTASKS*",
        "SM_*",
        "SMDATAPARALLEL_*",
    ),
}
"""Variables that the program drops, by what they would change."""

HARMLESS = (
    "TORCH_HOME",
    "TORCH_EXTENSIONS_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "NUMBA_CACHE_DIR",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
    "TRANSFORMERS_VERBOSITY",
    "TOKENIZERS_PARALLELISM",
)
"""Members of those families that stay: folders, messages, and the threads of the tokenizer."""


def worker_environment(inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that computes: the listed variables of `inherited` (by default
    this process's), those that rdpt sets, and the package's path, which `python -P` would not
    find."""
    inherited = os.environ if inherited is None else inherited
    listed = [pattern for patterns in PASSED.values() for pattern in patterns]
    passed = {name: value for name, value in inherited.items() if _matches(name, listed)}
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [passed.get("PYTHONPATH")])]
    return {**passed, **OWN, "PYTHONPATH": os.pathsep.join(paths)}


def isolate(environment: MutableMapping[str, str]) -> list[str]:
    """Removes variables that could change a number from this environment; returns their names.

    Libraries read their variables once, so this comes before the first of them is imported.
    """
    families = [pattern for patterns in FOREIGN.values() for pattern in patterns]
    dropped = [name for name in environment if _matches(name, families) and name not in HARMLESS]
    for name in dropped:
        del environment[name]
    # Without it OpenBLAS takes as many threads as the machine has processors.
    environment["OPENBLAS_NUM_THREADS"] = OWN["OPENBLAS_NUM_THREADS"]
    return sorted(dropped)


def unremovable(environment: Mapping[str, str]) -> list[str]:
    """One line for each variable that took effect before Python started."""
    if "glibc.cpu." in environment.get("GLIBC_TUNABLES", ""):
        return [
            "GLIBC_TUNABLES holds glibc.cpu.*, which chooses other kernels of exp and log, so that "
            "numbers would differ from other runs: take that part out of it"
        ]
    return []


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
