"""What is loaded: GGUF files, stretched positions, packed weights, the compiled path."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import GptOssConfig, GptOssForCausalLM

from rdpt_core.models.identity import identify
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Rope, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import ScoreStatus, Zone, ZoneKind
from tests.core.models import tiny
from tests.core.models.loading.gguf_files import write_gguf

CONTROL = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]


def logprobs(folder: Path, spec: ModelSpec) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    trace = tiny.trace(tiny.THINKING, tiny.problem())
    (row,) = HfScorer(load(spec, folder, threads=1)).score([tiny.problem()], [trace])
    assert row.status is ScoreStatus.OK
    return row.logprobs


def test_a_gguf_file_is_the_model_that_it_was_made_of(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level(CONTROL)
    model = tiny.llama(tiny.size_of(tokenizer))
    special = {"eos_token": "<|im_end|>"}
    tiny.write_folder(tmp_path / "plain", tokenizer, model, tiny.CHATML, special)
    packed = tmp_path / "packed"
    packed.mkdir()
    write_gguf(model, tokenizer, "<|im_end|>", packed / "tiny.gguf")
    (packed / "chat_template.jinja").write_text(tiny.CHATML)
    spec = ModelSpec(path="packed", gguf="tiny.gguf")
    # A GGUF file has no rule by which text is cut before merging; transformers takes Llama 3's.
    assert np.isfinite(logprobs(tmp_path, spec)[1:]).any()
    shutil.copy(tmp_path / "plain" / "tokenizer.json", packed)
    shutil.copy(tmp_path / "plain" / "tokenizer_config.json", packed)
    found, wanted = logprobs(tmp_path, spec), logprobs(tmp_path, ModelSpec(path="plain"))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_gguf_file_is_part_of_the_identity(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_text(name)
    one, other = (identify(ModelSpec(path=".", gguf=n), tmp_path) for n in ("a.gguf", "b.gguf"))
    assert one.digest != other.digest
    with pytest.raises(ValueError, match=r"has no c\.gguf"):
        identify(ModelSpec(path=".", gguf="c.gguf"), tmp_path)


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_stretched_positions_lengthen_the_context_and_are_another_model(
    models: Path, kind: str
) -> None:
    spec = ModelSpec.model_validate({"path": "qwen", "rope": {"kind": kind, "factor": 4.0}})
    plain, stretched = load(ModelSpec(path="qwen"), models), load(spec, models)
    assert (plain.limit, stretched.limit) == (256, 1024)
    assert plain.identity.digest != stretched.identity.digest
    assert stretched.identity.author == stretched.identity.digest
    short = "The answer is 42."
    rows = [
        next(HfScorer(one).score([tiny.problem()], [tiny.trace(short, tiny.problem())]))
        for one in (plain, stretched)
    ]
    assert not np.allclose(rows[0].logprobs, rows[1].logprobs, atol=1e-4)
    long = tiny.trace(tiny.THINKING * 16, tiny.problem(), delimiters="none")
    statuses = [
        next(HfScorer(one).score([tiny.problem()], [long])).status for one in (plain, stretched)
    ]
    assert statuses == [ScoreStatus.PARTIAL, ScoreStatus.OK]


def test_positions_that_are_stretched_already_are_refused(models: Path, tmp_path: Path) -> None:
    tiny.make_qwen(tmp_path / "long")
    config = json.loads((tmp_path / "long" / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    (tmp_path / "long" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="'linear': leave it out"):
        load(ModelSpec(path="long", rope=Rope(factor=2.0)), tmp_path)


def test_an_architecture_that_torch_s_attention_does_not_know_is_loaded_writes_and_scores(
    tmp_path: Path,
) -> None:
    """gpt-oss has sinks; it was refused at loading."""
    tokenizer = tiny.byte_level(CONTROL)
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=tiny.size_of(tokenizer),
        num_local_experts=2,
        head_dim=8,
        num_experts_per_tok=1,
        sliding_window=8,
        eos_token_id=None,
        **tiny.SIZE,
    )
    tiny.write_folder(
        tmp_path / "m",
        tokenizer,
        GptOssForCausalLM(config),
        tiny.CHATML,
        {"eos_token": "<|im_end|>"},
    )
    loaded = load(ModelSpec(path="m"), tmp_path, threads=1)
    problems = [tiny.problem()]
    traces = HfGenerator(loaded, Sampling(max_new_tokens=20), seed=0).generate(problems, 0)
    (row,) = HfScorer(loaded).score(problems, traces)
    assert row.status is ScoreStatus.OK
    assert traces[0].logprobs is not None
    if not row.retokenized:
        counted = ~np.isnan(row.logprobs)
        wanted = traces[0].logprobs[: counted.sum()]
        np.testing.assert_allclose(row.logprobs[counted], wanted, atol=1e-4)


def with_more_ids(folder: Path, template: str | None = None) -> Path:
    """A model whose tokenizer got tokens after its weights were made."""
    tiny.make_qwen(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([*(f"<|more{n}|>" for n in range(40)), "<|most|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def test_ids_that_weights_lack_may_be_there_as_long_as_nothing_uses_them(tmp_path: Path) -> None:
    with_more_ids(tmp_path / "more")
    loaded = load(ModelSpec(path="more"), tmp_path, threads=1)
    assert loaded.num_rows < loaded.renderer.vocabulary.size
    text = tiny.trace("12 <|most|> 30", tiny.problem())
    (row,) = HfScorer(loaded).score([tiny.problem()], [text])
    assert row.status is ScoreStatus.OK, "in a text they are characters"
    most = loaded.renderer.vocabulary.size - 1
    sampled = replace(
        text,
        author=loaded.identity.author,
        token_ids=np.array([most], np.int32),
        text="<|most|>",
        zones=(Zone(ZoneKind.ANSWER, 0, 8),),
    )
    (row,) = HfScorer(loaded).score([tiny.problem()], [sampled])
    assert row.status is ScoreStatus.ERROR


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8"])
def test_t24_packed_weights_are_another_model_and_need_a_gpu(tmp_path: Path, method: str) -> None:
    tiny.make_qwen(tmp_path / "m")
    before = identify(ModelSpec(path="m"), tmp_path)
    file = tmp_path / "m" / "config.json"
    packing = {"quantization_config": {"quant_method": method, "bits": 4}}
    file.write_text(json.dumps(json.loads(file.read_text()) | packing))
    after = identify(ModelSpec(path="m"), tmp_path)
    assert before.digest != after.digest
    assert after.quantisation == f'{{"bits": 4, "quant_method": "{method}"}}'
    with pytest.raises(ValueError, match=f"quantised \\({method}\\), which needs a GPU"):
        load(ModelSpec(path="m"), tmp_path)
