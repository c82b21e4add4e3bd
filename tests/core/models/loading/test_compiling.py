"""The compiled decoder: few shapes, one for all who score, kept on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from rdpt_core.models.loading import compiling
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.scoring.forward import Forward, TokenSequence
from rdpt_core.scoring.hf import HfScorer
from tasks.models import keep_compiled
from tests.conftest import ROOT
from tests.core.models import tiny


def test_who_compiles_nothing_imports_nothing_of_it() -> None:
    """Where there is a CUDA toolkit and no GPU, torch writes a warning on import."""
    program = """
import sys
from rdpt_core.models.loading import hf
from rdpt_core.scoring import hf
sys.exit("torch.utils.cpp_extension" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_another_model_s_graphs_do_not_count_and_too_many_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word torch would go on uncompiled, and scores would follow from what a process
    has read before."""
    monkeypatch.setattr(compiling, "MOST_GRAPHS", 3)
    monkeypatch.setattr("rdpt_core.scoring.forward.SMALLEST_PACK", 64)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for seed in range(2):
        tiny.make_qwen(tmp_path / str(seed), seed=seed)
        loaded = load(ModelSpec(path=str(seed)), tmp_path, threads=1, numerics="compiled")
        compiled = compiling.compile_decoder(loaded.decoder)
        forward = Forward(loaded.decoder, loaded.head, 1024, compiled=compiled)
        for length in (60, 120, 250):
            assert len(list(forward.run({0: TokenSequence([1] * length, 1)}))) == 1
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        list(forward.run({0: TokenSequence([1] * 500, 1)}))
    torch._dynamo.reset()


def test_all_who_score_with_a_model_share_its_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has a scorer of its own; it must not compile the model again."""
    made: list[object] = []

    def compiled(decoder: torch.nn.Module, dynamic: bool) -> torch.nn.Module:
        made.append(decoder)
        return decoder

    monkeypatch.setattr(torch, "compile", compiled)
    tiny.make_qwen(tmp_path / "m")
    loaded = load(ModelSpec(path="m"), tmp_path, threads=1, numerics="compiled")
    scorers = [HfScorer(loaded) for _ in range(3)]
    assert len({id(scorer._forward.compiled) for scorer in scorers}) == 1
    assert len(made) == 1


def test_a_folder_that_torch_would_have_to_quote_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is put back
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_compiled(tmp_path / "two words")
    assert str(tmp_path) not in os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
    keep_compiled(tmp_path / "kept")
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent == tmp_path / "kept"
    before = os.environ["TORCHINDUCTOR_CACHE_DIR"]
    keep_compiled(tmp_path / "other")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == before


READS = """
import sys
from pathlib import Path
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.models.loading.compiling import num_graphs
from rdpt_core.scoring.hf import HfScorer
from tasks.models import keep_compiled
from tests.core.models import tiny
import torch
keep_compiled(Path(sys.argv[2]))
loaded = load(ModelSpec(path="qwen"), Path(sys.argv[1]), threads=1, numerics="compiled")
list(HfScorer(loaded).score([tiny.problem()], [tiny.trace(tiny.THINKING, tiny.problem())]))
found = torch._dynamo.utils.counters["inductor"]
print(" " in torch.__file__, num_graphs(), found["fxgraph_cache_miss"], found["fxgraph_cache_hit"])
"""


def test_what_one_process_compiled_the_next_one_finds_and_a_space_in_torchs_path_stops_neither(
    models: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "two words"
    packages.mkdir()
    (packages / "torch").symlink_to(Path(torch.__file__).parent)
    keep = {name: value for name, value in os.environ.items() if "INDUCTOR" not in name}
    said = [
        subprocess.run(
            [sys.executable, "-c", READS, str(models), str(tmp_path / "kept")],
            cwd=ROOT,
            env=keep | {"PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said[0][:3] == ["True", "1", "1"], "one graph, made here"
    assert said[1] == ["True", "1", "0", "1"], "one graph, found"


def test_the_compiled_path_compiles_a_bounded_number_of_shapes(models: Path) -> None:
    """One graph for each size of pack, however many packs there are, and none for a longer trace;
    numbers stay."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain = load(ModelSpec(path="qwen"), models, threads=1)
    fused = load(ModelSpec(path="qwen"), models, threads=1, numerics="compiled")
    assert plain.identity.author == fused.identity.author
    assert plain.identity.digest != fused.identity.digest
    texts = [tiny.THINKING + str(n) for n in range(30)] + [tiny.THINKING + 600 * " 1"]
    written = [tiny.trace(text, tiny.problem()) for text in texts]
    rows = [
        list(HfScorer(one, pack_tokens=128).score([tiny.problem()], written))
        for one in (plain, fused)
    ]
    for one, other in zip(*rows, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    assert len(rows[0][-1].logprobs) > 128, "the last one is longer than a pack"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
