"""Teachers and students as an experiment names them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from rdpt_core.models.spec import USES_OF, ModelSpec, ModelUse, obeys, refuse

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]

READING = ("dtype", "thinking", "system", "think", "template", "context")
"""How a model is read, as against where it lies."""


class NamedModel(ModelSpec):
    """A teacher, or any model that an experiment names."""

    name: Name

    @property
    def spec(self) -> ModelSpec:
        """The model without its name: what reaches keys."""
        return ModelSpec(**self.model_dump(include=set(ModelSpec.model_fields)))


Build = Annotated[
    Annotated[str, Tag("path")] | Annotated[ModelSpec, Tag("table")],
    Discriminator(lambda given: "path" if isinstance(given, str) else "table"),
]
"""A model by its folder or hub id, or as a table of its settings."""


class Student(NamedModel):
    """A base model and how it is distilled."""

    source: Literal["train", "import", "select"] = "train"
    """`select` trains nothing: its traces are scored and selected for it, no more."""
    distilled: Build | None = None
    """With `import`: the model that was distilled from this base, as a folder or hub id; or a
    table such as `{path = "...", gguf = "..."}` where it is another kind of build than the base.
    How it is read is as the base is where the table does not say, but for `rope`: whether its
    positions are stretched stands in its own config.json."""
    distilled_revision: str | None = None
    """Commit of that hub id."""
    distilled_adapter: str | None = None
    """With `import`, instead of `distilled`: a folder with a LoRA adapter of this base."""

    @property
    def distilled_spec(self) -> ModelSpec:
        """The imported distilled model, read as its base is."""
        if self.distilled_adapter is not None:
            changes = {"adapter": self.distilled_adapter}
            return ModelSpec.model_validate(self.spec.model_dump() | changes)
        if isinstance(self.distilled, ModelSpec):
            return self._read_as_the_base_is(self.distilled, READING)
        assert self.distilled is not None
        plain = ModelSpec(path=self.distilled, revision=self.distilled_revision)
        return self._read_as_the_base_is(plain, (*READING, "rope"))

    def _read_as_the_base_is(self, build: ModelSpec, names: tuple[str, ...]) -> ModelSpec:
        """`build` with these fields of the base's, as far as its backend obeys them."""
        given = {name: getattr(build, name) for name in build.model_fields_set}
        inherited = {
            name: getattr(self, name)
            for name in names
            if name not in given and all(obeys(name, use) for use in USES_OF[build.backend])
        }
        return ModelSpec.model_validate(inherited | given)

    @model_validator(mode="after")
    def _imported_has_a_path(self) -> Student:
        given = (self.distilled is not None) + (self.distilled_adapter is not None)
        if given != (self.source == "import"):
            raise ValueError(
                '`distilled` or `distilled_adapter` is needed with source = "import", and only then'
            )
        if self.distilled_revision is not None and not isinstance(self.distilled, str):
            raise ValueError("`distilled_revision` goes with a hub id as `distilled`")
        if self.distilled_adapter is not None and self.adapter is not None:
            raise ValueError(
                "`distilled_adapter` excludes an `adapter` of its base: leave one of them out"
            )
        if self.backend == "logged" or (given and self.distilled_spec.backend == "logged"):
            raise ValueError(
                "a student's own log-probabilities are needed for every trace, and so are its "
                'distilled self\'s: give backend = "hf" or "server"'
            )
        if self.source == "train":
            refuse(self.spec, ModelUse.TRAIN)
        return self
