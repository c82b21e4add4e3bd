"""Every field of a model's entry, for every use of a model: obeyed, or refused before any work.

The cases are the fields of `ModelSpec` and the uses of its table: a field without a row, and a row
that claims what is not so, fail here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rdpt_core.finetune.recipe import Lora, Machine, TrainingRecipe
from rdpt_core.finetune.training import TrainingExample, prepare
from rdpt_core.models.identity import identify
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import load
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.serving.dialects import Chat, Prompt
from rdpt_core.models.spec import (
    APART,
    OBEYED,
    REFUSED,
    TABLE,
    USES_OF,
    ModelSpec,
    ModelUse,
    Sampling,
    Variables,
)
from rdpt_core.scoring.hf import HfScorer
from settings.models import Student
from tasks.students import check_context
from tests.core.models import tiny
from tests.core.models.loading.gguf_files import write_gguf

SWITCHED = tiny.CHATML.replace(
    "{% if add_generation_prompt %}",
    "{% if add_generation_prompt %}{{ mode | default('') }}"
    "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}",
)
"""Reads two variables."""

FLIPS: dict[str, dict[str, Any]] = {
    "path": {"path": "other"},
    "backend": {"backend": "server", "server": "lab"},
    "server": {"server": "another"},
    "served": {"served": "name-there"},
    "api": {"api": "chat"},
    "logged": {"logged": {"temperature": 0.5}},
    "gguf": {"gguf": "tiny.gguf"},
    "revision": {"revision": "0" * 40},
    "adapter": {"adapter": "adapter"},
    "dtype": {"dtype": "bfloat16"},
    "thinking": {"thinking": {"open": "<t>", "close": "</t>"}},
    "system": {"system": "Be brief."},
    "think": {"think": True},
    "template": {"template": {"mode": "high"}},
    "context": {"context": 40},
    "rope": {"rope": {"factor": 4.0}},
}
FIRST: dict[ModelUse, dict[str, Any]] = {
    ModelUse.SERVE: {"backend": "server", "server": "lab"},
    ModelUse.LOGGED: {"backend": "logged"},
}
"""What an entry has before it is flipped."""
BEHIND = {"server", "served", "api"}
"""Fields of a model behind a server: where a model is, is no identity."""
SOME = Sampling(max_new_tokens=40)
TRACE = tiny.trace(tiny.THINKING, tiny.problem())
CASES = [(name, use) for name in ModelSpec.model_fields for use in ModelUse]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, an adapter and a GGUF file of the first."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tmp_path_factory.mktemp("specs")
    tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    for seed, name in enumerate(("model", "other"), 1):
        model = tiny.llama(tiny.size_of(tokenizer), seed)
        special = {"eos_token": "<|im_end|>"}
        tiny.write_folder(base / name, tokenizer, model, SWITCHED + " " * seed, special)
    write_gguf(
        tiny.llama(tiny.size_of(tokenizer), 3),
        tokenizer,
        "<|im_end|>",
        base / "model" / "tiny.gguf",
    )
    plain = AutoModelForCausalLM.from_pretrained(base / "model")
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False)
    get_peft_model(plain, lora).save_pretrained(str(base / "adapter"))
    return base


def entry(use: ModelUse, **fields: Any) -> ModelSpec:
    """The model as an experiment would name it for that use."""
    fields = {"path": "model", **fields}
    if use is ModelUse.ATTRIBUTE:
        return Student(name="s", path="base", source="import", distilled=fields).distilled_spec
    if use in (ModelUse.TRAIN, ModelUse.EXPORT):
        return Student(name="s", **fields).spec
    return ModelSpec(**fields)


def seen(use: ModelUse, spec: ModelSpec, base: Path) -> Any:
    """What follows from a spec in that use, computed by the code that the use runs."""
    if spec.backend != "hf":
        return [identify(spec, base, served="x").digest, spec.server, spec.served, spec.api]
    if use in (ModelUse.TRAIN, ModelUse.EXPORT):
        return _trained(spec, base)
    loaded = load(spec, base, threads=1)
    if use is ModelUse.SAMPLE:
        (trace,) = HfGenerator(loaded, SOME, seed=0).generate([tiny.problem()], 0)
        zones = loaded.renderer.zones("<think>So.</think>42")
        return [trace.text, zones, np.asarray(trace.logprobs).tolist()]
    (row,) = HfScorer(loaded).score([tiny.problem()], [TRACE])
    return [row.status, row.scored_stop, row.tag_logprob, row.logprobs.tobytes()]


def _trained(spec: ModelSpec, base: Path) -> Any:
    """The digest of a training, which covers all that moves its weights, and its first example."""
    of = read_renderer(spec, base / spec.path)
    row = of.example(tiny.problem(), TRACE)
    example = TrainingExample("t", row.input_ids, row.completion_mask)
    if spec.context is not None:
        with pytest.raises(ValueError, match="`context` is 40"):
            check_context([example], spec.context)
        return "refused"
    job = prepare(
        base / spec.path,
        [example],
        TrainingRecipe(lora=Lora()),
        0,
        "s",
        base,
        base,
        Machine(),
        spec.rope,
    )
    return [job.run, of.turn(TRACE), spec.system, spec.variables]


def test_the_table_has_a_row_for_every_field() -> None:
    assert TABLE.keys() == ModelSpec.model_fields.keys()
    assert FLIPS.keys() == ModelSpec.model_fields.keys()
    assert {mark for row in TABLE.values() for mark in row.values()} == {OBEYED, REFUSED, APART}


@pytest.mark.parametrize(("name", "use"), [c for c in CASES if TABLE[c[0]][c[1]] == REFUSED])
def test_a_field_that_a_use_could_not_obey_is_refused_by_its_name(name: str, use: ModelUse) -> None:
    with pytest.raises(ValidationError, match=f"`{name}`|own log-probabilities|needs `server`"):
        entry(use, **FIRST.get(use, {}) | FLIPS[name])


@pytest.mark.parametrize(("name", "use"), [c for c in CASES if TABLE[c[0]][c[1]] == OBEYED])
def test_a_field_that_a_use_obeys_changes_what_it_makes(
    name: str, use: ModelUse, folder: Path
) -> None:
    if name == "revision":  # of a hub id; a folder has none, and says so
        with pytest.raises(ValueError, match="has no revision: leave `revision` out"):
            identify(entry(use, **FLIPS[name]), folder)
        return
    first = FIRST.get(ModelUse.SERVE if name in BEHIND else use, {}) if name != "backend" else {}
    before, after = entry(use, **first), entry(use, **first | FLIPS[name])
    assert seen(use, before, folder) != seen(use, after, folder)
    if name not in BEHIND:
        known = [identify(spec, folder, served="x").digest for spec in (before, after)]
        assert known[0] != known[1]


@pytest.mark.parametrize(("name", "use"), [c for c in CASES if TABLE[c[0]][c[1]] == APART])
def test_a_field_that_means_nothing_to_a_use_moves_nothing_there(
    name: str, use: ModelUse, folder: Path
) -> None:
    before, after = entry(use), entry(use, **FLIPS[name])
    if name != "context":  # a limit: it is obeyed in training, which an export follows
        assert seen(use, before, folder) == seen(use, after, folder)


def test_an_identity_without_template_variables_is_what_it_was(folder: Path) -> None:
    """Workspaces from before there were any go on."""
    known = identify(ModelSpec(path="model"), folder)
    assert "variables" not in known.as_plain()
    assert "variables" in identify(entry(ModelUse.SCORE, template={"mode": "x"}), folder).as_plain()
    contract = read_renderer(ModelSpec(path="model"), folder / "model").contract
    assert contract.model_copy(update={"variables": "{}"}).digest != contract.digest


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "raise_exception", "a b"])
def test_a_variable_that_rendering_itself_gives_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be named"):
        Variables.model_validate({name: 1})


def test_think_is_one_of_the_template_s_variables() -> None:
    assert ModelSpec(path="m", think=False).variables == {"enable_thinking": False}
    with pytest.raises(ValidationError, match="give one of the two"):
        ModelSpec.model_validate({"path": "m", "think": True, "template": {"enable_thinking": 1}})


def test_an_entry_with_variables_is_a_value(folder: Path) -> None:
    one, same = (entry(ModelUse.SCORE, template={"mode": ["x", {"y": 1}]}) for _ in range(2))
    assert (one, hash(one)) == (same, hash(same))
    assert ModelSpec.model_validate_json(one.model_dump_json()) == one
    assert json.loads(one.model_dump_json())["template"] == {"mode": ["x", {"y": 1}]}


def test_every_backend_is_refused_what_its_uses_refuse() -> None:
    assert {use for uses in USES_OF.values() for use in uses} | {
        ModelUse.TRAIN,
        ModelUse.EXPORT,
        ModelUse.ATTRIBUTE,
    } == set(ModelUse)


def test_a_server_that_renders_itself_is_given_the_variables() -> None:
    chat = Chat("served", "http://127.0.0.1", Vocabulary(tiny.byte_level([])))
    asked = ModelSpec(path="m", think=True, template={"reasoning_effort": "high"})
    prompt = Prompt([], "", [{"role": "user", "content": "Q?"}], asked.variables)
    wanted = {"enable_thinking": True, "reasoning_effort": "high"}
    assert chat.ask_text(prompt, SOME, 0)[1]["chat_template_kwargs"] == wanted
    assert "chat_template_kwargs" not in chat.ask_text(Prompt([], ""), SOME, 0)[1]
