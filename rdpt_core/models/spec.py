"""What an experiment says about a model: the part of its identity that a user writes down."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rdpt_core.recipe import Rule


class Thinking(Rule):
    """The delimiters of a model's thought, as plain text.

    Example: `{open = "<think>\\n", close = "\\n</think>\\n\\n"}`.
    """

    open: str
    close: str


class ModelSpec(Rule):
    """A language model and how it is read. Everything here moves numbers, so it reaches keys;
    `path` itself does not: the content found there does."""

    path: str
    """A local folder, or a hub id such as `Qwen/Qwen3-4B`."""
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
    context: int | None = Field(default=None, ge=1)
    """Longest sequence in tokens, prompt included; None takes the model's own limit."""

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return self.path if self.adapter is None else f"{self.path} + {self.adapter}"


class Sampling(Rule):
    """How traces are sampled. All of it reaches keys: another batch size moves texts."""

    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """0 takes the most probable token."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(default=1024, ge=1)
    batch_size: int = Field(default=32, ge=1)
