"""The catalogue of a workspace: a note of what each experiment uses, and `rdpt.duckdb` over all of
them. Measured noise is kept here too, since the store cannot rebuild it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

from flows.configurations import Configuration, TableUse
from flows.workspace import (
    CONTENTS,
    NOISE,
    Opened,
    brief,
    each_frozen,
    frozen_names,
    notes_of,
    open_frozen,
)
from rdpt_core.store import catalog
from rdpt_core.store.contents import (
    CONTENTS_NOTE,
    NOISE_NOTE,
    ConfigurationRow,
    Contents,
    NoiseRow,
    PartUse,
    ScorerRow,
    merged,
    plain,
    with_past,
)
from rdpt_core.store.locks import exclusive
from rdpt_core.store.record import Part
from settings.runtime import Runtime
from tasks.models import Model
from tasks.plan import Plan
from tasks.progress import say
from tasks.stage import StageTable, Table
from tasks.stores import store_of


def _alone(runtime: Runtime) -> AbstractContextManager[bool]:
    """Excludes other processes of this machine that write the catalogue, or the noise. The lock
    lies in the workspace, as they do: the store may be shared."""
    return exclusive(runtime.workspace / ".catalogue.lock")


def publish_catalogue(opened: Opened) -> None:
    """Writes what this experiment uses, and the catalogue over all experiments of the workspace;
    one process at a time."""
    with _alone(opened.runtime):
        fresh = {opened.experiment.name: _keep_contents(opened)}
        _publish(opened.runtime, fresh, opened.plan.parts())


def rebuild_catalogue(runtime: Runtime) -> None:
    """Writes the catalogue again; of an experiment that cannot be opened, what it used last."""
    found: dict[str, Contents] = {}

    def keep(opened: Opened) -> None:
        found[opened.experiment.name] = _keep_contents(opened)

    with _alone(runtime):
        for name, error in each_frozen(runtime, keep).items():
            say(
                f"warning: {name} cannot be opened, so the catalogue shows its last contents: "
                f"{brief(error)}"
            )
        _publish(runtime, found)


def refresh_catalogue(runtime: Runtime) -> None:
    """Writes the catalogue again, if there is one: its views name files that may have gone."""
    if frozen_names(runtime) and runtime.catalog.exists():
        rebuild_catalogue(runtime)


def _publish(runtime: Runtime, fresh: Mapping[str, Contents], known: Iterable[Part] = ()) -> None:
    """Publishes the contents in `fresh`, and for other experiments those of their notes."""
    paths = sorted((runtime.workspace / "runs").glob(f"*/{CONTENTS}"))
    others = [_known(path, runtime) for path in paths if path.parent.name not in fresh]
    everything = replace(merged([*fresh.values(), *others]), noise=read_noise(runtime))
    by_key = {part.key: part for part in known}
    catalog.publish(runtime.catalog, store_of(runtime, say), everything, by_key)


def is_published(opened: Opened) -> bool:
    """True if the catalogue is there, and what this experiment uses is noted for it."""
    if published(opened) is None:
        return False
    return catalog.is_current(opened.runtime.catalog, opened.store)


def _known(path: Path, runtime: Runtime) -> Contents:
    """By its note, and where that is damaged by the experiment itself."""
    found = notes_of(runtime).read(path, CONTENTS_NOTE)
    if found is None:
        try:
            return _keep_contents(open_frozen(path.parent.name, runtime))
        except (ValueError, OSError) as error:
            say(f"warning: {path.parent.name} is not in the catalogue: {brief(error)}")
    return found or Contents((), (), ())


def _keep_contents(opened: Opened) -> Contents:
    plan, configurations = opened.plan, opened.study.configurations()
    contents = _contents(opened, configurations, plan)
    if past := _past(opened, configurations, plan):
        contents = with_past(contents, past)
    if opened.folder.exists():
        opened.store.notes.write(opened.folder / CONTENTS, plain(contents))
    return contents


def contents_of(opened: Opened) -> Contents:
    """Configurations, scorers, their noise, and parts of an experiment, as far as they exist."""
    contents = _contents(opened, opened.study.configurations(), opened.plan)
    known = {row.scorer for row in contents.scorers}
    noise = tuple(row for row in read_noise(opened.runtime) if row.scorer in known)
    return replace(contents, noise=noise)


def _contents(opened: Opened, configurations: list[Configuration], plan: Plan) -> Contents:
    uses = [row for c in configurations for use in c.uses for row in _uses(c, use, plan)]
    models = {m.scorer: m for c in configurations for m in _models(c, plan)}
    workspace = opened.runtime.workspace.resolve()
    return Contents(
        tuple(_configuration_row(opened, c, plan) for c in configurations),
        tuple(_scorer_row(model, workspace) for model in models.values()),
        tuple(dict.fromkeys(uses)),
    )


def _past(opened: Opened, configurations: list[Configuration], plan: Plan) -> Contents | None:
    """What an experiment that is not complete used when it was. Where a part was lost, those that
    follow from it cannot be derived until it is built again: without this, `gc` would take them.
    Tables that are complete have only the parts of now."""
    complete = {_place(c, u): plan.state(u.table).complete for c in configurations for u in c.uses}
    if all(complete.values()):
        return None
    past = published(opened)
    if past is None:
        return None
    uses = (use for use in past.uses if not complete.get(_place_of(use), False))
    return replace(past, uses=tuple(uses))


def published(opened: Opened) -> Contents | None:
    """What an experiment used when the catalogue was last written for it."""
    return opened.store.notes.read(opened.folder / CONTENTS, CONTENTS_NOTE)


def _configuration_row(
    opened: Opened, configuration: Configuration, plan: Plan
) -> ConfigurationRow:
    trained = configuration.find("students", "train")
    parts = plan.state(trained).parts if trained else ()
    return ConfigurationRow(
        configuration.digest,
        configuration.name,
        opened.experiment.name,
        configuration.teacher,
        configuration.student,
        parts[0].content if parts else None,
        configuration.selector,
        configuration.seed,
    )


def _uses(configuration: Configuration, use: TableUse, plan: Plan) -> Iterator[PartUse]:
    model = model_of(use.table, plan) if use.table.name == "scores" else None
    scorer, place = model.scorer if model else None, _place(configuration, use)
    for coordinate, part in plan.state(use.table).places.items():
        if isinstance(part, Part):
            yield PartUse(
                place.configuration,
                place.side,
                place.benchmark,
                place.table,
                part.key,
                place.role,
                scorer,
                coordinate,
            )


def _place(configuration: Configuration, use: TableUse) -> PartUse:
    """A use of any part of that table."""
    side, _, benchmark = use.side.partition(":")
    return PartUse(configuration.digest, side, benchmark or None, use.table.name, "", use.role)


def _place_of(use: PartUse) -> PartUse:
    return replace(use, part="", scorer=None, coordinate=None)


def _models(configuration: Configuration, plan: Plan) -> Iterator[Model]:
    for use in configuration.uses:
        model = model_of(use.table, plan)
        if model is not None:
            yield model


def model_of(table: Table, plan: Plan) -> Model | None:
    """The model that makes a table; None where there is none, or it is not trained yet."""
    model = table.parameters.get("model") if isinstance(table, StageTable) else None
    if model is None or isinstance(model, Model):
        return model
    trained = plan.state(model.table)
    found: Model | None = model.bind(plan.store, trained.parts[0]) if trained.complete else None
    return found


def _scorer_row(model: Model, workspace: Path) -> ScorerRow:
    known = model.known
    place = model.spec.place
    if Path(place).is_relative_to(workspace):  # a student that was trained here: it may move
        place = str(Path(place).relative_to(workspace))
    return ScorerRow(
        model.scorer,
        place,
        known.revision,
        known.weights,
        known.tokenizer,
        model.renderer.contract.digest,
        known.dtype,
        known.numerics,
        known.quantisation,
        known.backend,
    )


# ---------------------------------------------------------------------------- noise


def read_noise(runtime: Runtime) -> tuple[NoiseRow, ...]:
    """What was measured in this workspace; `rdpt doctor scorer` measures again what was lost."""
    return notes_of(runtime).read(runtime.workspace / NOISE, NOISE_NOTE) or ()


def keep_noise(opened: Opened, measured: Iterable[NoiseRow]) -> None:
    """Beside the store, which cannot rebuild it: what was measured takes the place of what was
    known of the same scorers."""
    with _alone(opened.runtime):
        rows = {(row.scorer, row.against): row for row in read_noise(opened.runtime)}
        rows |= {(row.scorer, row.against): row for row in measured}
        kept = [asdict(row) for _, row in sorted(rows.items())]
        opened.store.notes.write(opened.runtime.workspace / NOISE, kept)
