"""What an experiment says about a model: the part of its identity that a user writes down."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rdpt_core.recipe import Rule

Backend = Literal["hf", "server", "logged"]
Path = Literal["exact", "compiled"]
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


class Logged(Rule):
    """How log-probabilities were taken that somebody else wrote down."""

    temperature: float = Field(default=1.0, gt=0.0, le=10.0)
    """Of the softmax that they are of. Those of another temperature than 1 are of another
    distribution: they are kept as they are, and `rdpt doctor` says so."""
    topk: int | None = Field(default=None, ge=1)
    """Where sampling was cut to the likeliest ids, how many."""
    author: str | None = None
    """Whose they are, as the imported traces name their author; needed where those have several."""

    def is_of(self, author: str) -> bool:
        """Whether the log-probabilities of this author's traces are meant."""
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
    dtype: Literal["float32", "bfloat16"] = "float32"
    thinking: Thinking | Literal["none"] | None = None
    """Declared delimiters; "none" lays thought, blank line, answer; None takes the model's own,
    read from its template, and is an error where there are none and some are needed."""
    system: str | None = None
    """System prompt; None passes none (the template's own default then stands)."""
    think: bool | None = None
    """Passed to the template as `enable_thinking`; None passes nothing."""
    context: int | None = Field(default=None, ge=1)
    """Longest sequence in tokens, prompt included; None takes the model's own limit."""
    rope: Rope | None = None
    """A context override."""

    @model_validator(mode="after")
    def _fits_its_backend(self) -> ModelSpec:
        here = {"adapter": self.adapter, "gguf": self.gguf, "rope": self.rope}
        there = {"server": self.server, "served": self.served}
        if self.backend == "server" and self.server is None:
            raise ValueError('backend = "server" needs `server`: its name in RDPT_SERVERS')
        for key, value in (here if self.backend != "hf" else {}).items():
            if value is not None:
                raise ValueError(f'`{key}` is for models that are loaded here (backend = "hf")')
        for key, value in (there if self.backend != "server" else {}).items():
            if value is not None:
                raise ValueError(f'`{key}` goes with backend = "server"')
        if self.logged is not None and self.backend != "logged":
            raise ValueError('`logged` goes with backend = "logged"')
        if self.gguf is not None and self.adapter is not None:
            raise ValueError("`adapter` is merged into safetensors, not into a GGUF file")
        return self

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return self.path if self.adapter is None else f"{self.path} + {self.adapter}"


class Scoring(Rule):
    """How scores are computed. All of it reaches keys."""

    path: Path = "exact"
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
