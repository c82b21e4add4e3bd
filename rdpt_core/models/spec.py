"""What an experiment says about a model: the part of its identity that a user writes down.

No field is ever passed over in silence: `TABLE` says for each field and each use of a model whether
the use obeys it or refuses it, and the refusals are derived from that table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from rdpt_core.defaults import FLOAT_FORMAT, FloatFormat
from rdpt_core.tables.recipe import Rule

Backend = Literal["hf", "server", "logged"]
ScoringPath = Literal["exact", "compiled"]
"""How a forward pass is computed: as it stands, or with its element-wise work fused."""
Numerics = Literal["exact", "compiled", "exact+blanks", "compiled+blanks"]
"""What of scoring moves numbers, as part of a scorer's identity: the path, and whether leading
blanks are counted with the token before."""


class Thinking(Rule):
    """The delimiters of a model's thought, as plain text.

    Example: `{open = "<think>\\n", close = "\\n</think>\\n\\n"}`.
    """

    open: str
    close: str


class Rope(Rule):
    """Rotary positions stretched beyond the length that a model was trained on.

    Only the kinds that turn a position by its own number alone: under the others ("dynamic",
    "longrope") a sentence's score would depend on what follows it.
    """

    kind: Literal["linear", "yarn"] = "yarn"
    factor: float = Field(gt=1.0, le=1024.0)
    """The model's own context times this is the new one."""


RENDERED = {"messages", "add_generation_prompt", "raise_exception", "strftime_now"}
"""Names in a chat template that rdpt gives it."""


class Variables(BaseModel):
    """Variables of a chat template, under the template's own names.

    Example: `{thinking = true, reasoning_effort = "high", date_string = "01 Jan 2025"}`.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue]

    @property
    def values(self) -> dict[str, JsonValue]:
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _may_be_set(self) -> Variables:
        for name in self.values:
            if not name.isidentifier() or name in RENDERED:
                raise ValueError(
                    f"a template variable cannot be named {name!r}: rdpt gives the template "
                    f"{', '.join(sorted(RENDERED))}, and other names are letters, digits and _"
                )
        return self


class Logged(Rule):
    """How log-probabilities were taken that somebody else wrote down."""

    temperature: float = Field(default=1.0, gt=0.0, le=10.0)
    """Temperature of their softmax. At another temperature than 1 they belong to another
    distribution: they are kept as they are, and `rdpt doctor` says so."""
    topk: int | None = Field(default=None, ge=1)
    """Where sampling was cut to the likeliest ids, how many."""
    author: str | None = None
    """Whose they are, as the imported traces name their author; needed where those have several."""

    def is_of(self, author: str) -> bool:
        """True if the log-probabilities of this author's traces are meant."""
        return self.author in (None, author)


class ModelSpec(Rule):
    """A language model and how it is read. Everything here moves numbers, so it reaches keys;
    `path` and `server` themselves do not: what is found there does."""

    path: str
    """A local folder, or a hub id such as `Qwen/Qwen3-4B`. Of a model behind a server, or one
    whose log-probabilities are logged, its tokenizer and template alone are read from there."""
    backend: Backend = "hf"
    """`hf` loads it here, `server` asks a model server, `logged` takes the log-probabilities that
    imported traces bring."""
    server: str | None = None
    """With `server`: which of the machine's servers (`RDPT_SERVERS`) has it."""
    served: str | None = None
    """With `server`: its name there; None is `path`."""
    api: Literal["completions", "chat"] = "completions"
    """With `server`: `completions` sends the prompt as rdpt renders it and can score; `chat` lets
    the server render it, and only generates."""
    logged: Logged | None = None
    """With `logged`: how the log-probabilities were taken; None is at temperature 1."""
    gguf: str | None = None
    """A .gguf file in the folder, instead of safetensors; its weights are unpacked to `dtype`.
    Put the model's tokenizer.json beside it: the file lacks the rule by which text is cut before
    merging, and transformers takes the architecture's usual one."""
    revision: str | None = None
    """Commit of a hub id, 40 hex digits; resolved once and recorded where it is left out."""
    adapter: str | None = None
    """A local folder with a LoRA adapter of this model, merged into it when it is loaded."""
    dtype: FloatFormat = FLOAT_FORMAT
    """Format of its weights in memory, whatever it is in the file."""
    thinking: Thinking | Literal["none"] | None = None
    """Declared delimiters; "none" lays thought, blank line, answer; None takes the model's own,
    read from its template, and is an error where there are none and some are needed."""
    system: str | None = None
    """System prompt; None passes none (the template's own default then stands)."""
    think: bool | None = None
    """Passed to the template as `enable_thinking`; None passes nothing."""
    template: Variables = Variables()
    """Other variables that the template reads, such as `{thinking = true}`; `rdpt doctor` names
    those that nobody set."""
    context: int | None = Field(default=None, ge=1)
    """Longest sequence in tokens, prompt included; None takes the model's own limit."""
    rope: Rope | None = None
    """A context override."""

    @model_validator(mode="after")
    def _fits_its_backend(self) -> ModelSpec:
        if self.backend == "server" and self.server is None:
            raise ValueError('backend = "server" needs `server`: its name in RDPT_SERVERS')
        for use in USES_OF[self.backend]:
            refuse(self, use)
        if self.gguf is not None and self.adapter is not None:
            raise ValueError("`adapter` is merged into safetensors, not into a GGUF file")
        if self.think is not None and "enable_thinking" in self.template.values:
            raise ValueError(
                "`think` is template = {enable_thinking = ...}: give one of the two, not both"
            )
        return self

    @property
    def variables(self) -> dict[str, JsonValue]:
        """All variables that the template is given."""
        mode = {} if self.think is None else {"enable_thinking": self.think}
        return mode | self.template.values

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return self.path if self.adapter is None else f"{self.path} + {self.adapter}"


# ---------------------------------------------------------------------------- what obeys a field


class ModelUse(StrEnum):
    """What a model is used for."""

    SAMPLE = "sample"
    SCORE = "score"
    """Like `sample`, with weights that are loaded here."""
    TRAIN = "train"
    EXPORT = "export"
    """The trained model as a folder, and the selection that another trainer reads."""
    SERVE = "serve"
    """Sampled and scored by a model server."""
    LOGGED = "logged"
    """Scored by what imported traces bring."""
    ATTRIBUTE = "attribute"
    """Read as an imported distilled model, by whichever backend."""


USES_OF: dict[Backend, tuple[ModelUse, ...]] = {
    "hf": (ModelUse.SAMPLE, ModelUse.SCORE),
    "server": (ModelUse.SERVE,),
    "logged": (ModelUse.LOGGED,),
}
OBEYED, REFUSED, APART = "o", "r", "-"
"""APART: the use has a setting of its own for it, or the field has no meaning there; it moves no
number."""

_TABLE = """
            sample score train export serve logged attribute
path        o      o     o     o      o     o      o
backend     o      o     r     r      o     o      o
server      r      r     r     r      o     r      o
served      r      r     r     r      o     r      o
api         r      r     r     r      o     r      o
logged      r      r     r     r      r     o      r
gguf        o      o     r     r      r     r      o
revision    o      o     o     o      o     o      o
adapter     o      o     r     r      r     r      o
dtype       o      o     -     -      r     r      o
thinking    o      o     o     o      o     o      o
system      o      o     o     o      o     o      o
think       o      o     o     o      o     o      o
template    o      o     o     o      o     o      o
context     o      o     o     -      o     r      o
rope        o      o     o     o      r     r      o
"""
"""`dtype` of a training is that of [training]; `context` is a limit and no part of a folder."""


def _parsed(table: str) -> dict[str, dict[ModelUse, str]]:
    head, *lines = table.strip().splitlines()
    uses = [ModelUse(name) for name in head.split()]
    rows = [line.split() for line in lines]
    return {name: dict(zip(uses, marks, strict=True)) for name, *marks in rows}


TABLE = _parsed(_TABLE)
"""Field of `ModelSpec` to use to what the use does with it."""

_HERE = 'is for models that are loaded here (backend = "hf"): leave it out'
_SERVED = 'goes with backend = "server": leave it out'
_RULES = {
    "server": _SERVED,
    "served": _SERVED,
    "api": _SERVED,
    "gguf": _HERE,
    "adapter": _HERE,
    "dtype": _HERE,
    "rope": _HERE,
    "logged": 'goes with backend = "logged": leave it out',
    "context": "limits what a model reads, and a logged one reads nothing: leave it out",
}
_TRAINED = {
    "adapter": "cannot be trained further: merge it into the model first",
    "backend": "must be the default, since only a model that is loaded here from safetensors can "
    'be trained: give its folder, or source = "select", which trains nothing',
    "gguf": "cannot be trained, since its weights are packed: give the model as safetensors, or "
    'source = "select", which trains nothing',
}


def refuse(spec: ModelSpec, use: ModelUse) -> None:
    """Raises ValueError for a field that is set and that this use could not obey."""
    rules = _TRAINED if use in (ModelUse.TRAIN, ModelUse.EXPORT) else _RULES
    for name, field in ModelSpec.model_fields.items():
        if TABLE[name][use] == REFUSED and getattr(spec, name) != field.default:
            raise ValueError(f"`{name}` {rules.get(name, _RULES.get(name))}")


def obeys(name: str, use: ModelUse) -> bool:
    return TABLE[name][use] == OBEYED


class Scoring(Rule):
    """How scores are computed. All of it reaches keys."""

    path: ScoringPath = "exact"
    """`compiled` fuses the element-wise work of the decoder: faster, and single tokens of bfloat16
    weights move by up to some tenths of a nat."""
    topk_stats: Literal[50] | None = None
    """Also keep the mass and the squares of the 50 likeliest ids of each position (LARK)."""
    leading_blank: Literal["with_word", "before"] = "with_word"
    """Where the probability of the blank before a word is counted: with its token, or with the
    token before, as its byte is. Needs models that are loaded here."""

    @property
    def numerics(self) -> Numerics:
        if self.leading_blank == "with_word":
            return self.path
        return "exact+blanks" if self.path == "exact" else "compiled+blanks"

    def with_other_blank(self) -> Scoring:
        other = "before" if self.leading_blank == "with_word" else "with_word"
        return self.model_copy(update={"leading_blank": other})


class Sampling(Rule):
    """How traces are sampled. All of it reaches keys: another batch size moves texts."""

    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """0 takes the most probable token."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(default=1024, ge=1)
    batch_size: int = Field(default=32, ge=1)
