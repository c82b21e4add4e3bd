"""The workspace: frozen experiments, the catalogue, and what of an experiment exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from flows.configurations import Configuration, Study, Use, Wanted
from rdpt_core import catalog
from rdpt_core.faults import fault_point
from rdpt_core.models.identity import HashMemory
from rdpt_core.spelling import hint
from rdpt_core.store import Store, replace_file
from settings.experiment import Experiment
from settings.loading import BadSettings, find_experiment, read_experiment
from settings.runtime import Runtime
from tasks.models import Model
from tasks.progress import say
from tasks.stage import Call, Plan

EXPERIMENT = "experiment.toml"
ORIGIN = "origin.json"
CONTENTS = "catalogue.json"
NOISE = "noise.json"


@dataclass(frozen=True)
class Opened:
    """An experiment in a workspace."""

    runtime: Runtime
    experiment: Experiment
    file: Path
    base: Path
    """Where relative paths of the file start."""

    @property
    def folder(self) -> Path:
        return self.runtime.workspace / "runs" / self.experiment.name

    read_only: bool = False
    """Whether its store is looked at only, as a plan does."""

    @property
    def store(self) -> Store:
        fault = fault_point(self.runtime.fault)
        return Store(self.runtime.store, fault, say, self.read_only)

    @cached_property
    def study(self) -> Study:
        return Study(self.experiment, self.base, self.memory, self.runtime.servers)

    @property
    def memory(self) -> HashMemory:
        """A model of some hundred gigabytes is hashed once, not at every start."""
        return HashMemory(self.runtime.workspace / "models.json", self.read_only)


def open_file(path: Path, runtime: Runtime, read_only: bool = False) -> Opened:
    return Opened(runtime, read_experiment(path), path, path.resolve().parent, read_only)


def open_frozen(name: str | None, runtime: Runtime) -> Opened:
    """The frozen experiment of that name; the only one, or the last run, where none is given."""
    runs = frozen_names(runtime)
    if not runs:
        raise BadSettings(str(runtime.workspace), ["no experiment was run in this workspace yet"])
    chosen = name or runs[-1]
    if chosen not in runs:
        raise BadSettings(str(runtime.workspace), [f"no run {chosen!r}; runs: {', '.join(runs)}"])
    folder = runtime.workspace / "runs" / chosen
    origin = json.loads((folder / ORIGIN).read_text())
    file = folder / EXPERIMENT
    return Opened(runtime, read_experiment(file), file, Path(origin["base"]))


def open_asked(name: str, runtime: Runtime) -> Opened:
    """What a question is about, to be looked at only: an experiment of the workspace by its name,
    else a file or a shipped experiment; the last run where nothing is named."""
    if not name or name in frozen_names(runtime):
        return replace(open_frozen(name or None, runtime), read_only=True)
    return open_file(find_experiment(name), runtime, read_only=True)


def named(opened: Opened, name: str) -> Configuration:
    """The configuration of that name. Raises BadSettings with those that there are."""
    found = {c.name: c for c in opened.study.configurations()}
    if name not in found:
        raise BadSettings("--configuration", [
            f"{opened.experiment.name} has no configuration {name!r}; {hint(name, found)}"
            f"it has: {', '.join(found)}"
        ])  # fmt: skip
    return found[name]


def frozen_names(runtime: Runtime) -> list[str]:
    """Names of the runs, the last used at the end."""
    files = (runtime.workspace / "runs").glob(f"*/{EXPERIMENT}")
    return [file.parent.name for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def freeze(opened: Opened) -> None:
    """Keeps the experiment as it was asked, for `rdpt resume`."""
    opened.folder.mkdir(parents=True, exist_ok=True)
    if opened.file.resolve() != (opened.folder / EXPERIMENT).resolve():
        replace_file(opened.folder / EXPERIMENT, opened.file.read_text(encoding="utf-8-sig"))
        replace_file(opened.folder / ORIGIN, json.dumps({"base": str(opened.base)}))


# ---------------------------------------------------------------------------- the catalogue


def publish_catalogue(opened: Opened) -> None:
    """Writes what this experiment uses, and the catalogue over all experiments of the workspace;
    one process at a time."""
    with opened.store.lock("catalogue", "swap", wait=True):
        _publish(opened)


def _publish(opened: Opened) -> None:
    plan, configurations = Plan(opened.store), opened.study.configurations()
    contents = _contents(opened, configurations, plan)
    if past := _past(opened, configurations, plan):
        contents = catalog.with_past(contents, past)
    if opened.folder.exists():
        replace_file(opened.folder / CONTENTS, catalog.as_json(contents))
    others = [
        catalog.from_json(path.read_text())
        for path in sorted((opened.runtime.workspace / "runs").glob(f"*/{CONTENTS}"))
        if path.parent != opened.folder
    ]
    everything = replace(catalog.merged([contents, *others]), noise=read_noise(opened.runtime))
    catalog.publish(opened.runtime.catalog, opened.store, everything)


def contents_of(opened: Opened) -> catalog.Contents:
    """Configurations, scorers, their noise, and parts of an experiment, as far as they exist."""
    contents = _contents(opened, opened.study.configurations(), Plan(opened.store))
    known = {row.scorer for row in contents.scorers}
    noise = tuple(row for row in read_noise(opened.runtime) if row.scorer in known)
    return replace(contents, noise=noise)


def _contents(opened: Opened, configurations: list[Configuration], plan: Plan) -> catalog.Contents:
    uses = [row for c in configurations for use in c.uses for row in _uses(c, use, plan)]
    models = {m.scorer: m for c in configurations for m in _models(c, plan)}
    return catalog.Contents(
        tuple(_configuration_row(opened, c, plan) for c in configurations),
        tuple(_scorer_row(model) for model in models.values()),
        tuple(dict.fromkeys(uses)),
    )


def _past(
    opened: Opened, configurations: list[Configuration], plan: Plan
) -> catalog.Contents | None:
    """What an experiment that is not complete used when it was. Where a part was lost, those that
    follow from it cannot be derived until it is built again: without this, `gc` would take them.
    Tables that are complete have only the parts of now."""
    complete = {_place(c, u): plan.table(u.call).complete for c in configurations for u in c.uses}
    past = None if all(complete.values()) else _published(opened.folder / CONTENTS)
    if past is None:
        return None
    uses = (use for use in past.uses if not complete.get(replace(use, part="", scorer=None), False))
    return replace(past, uses=tuple(uses))


def _published(path: Path) -> catalog.Contents | None:
    """None where there is none, or none that can be read: it is about to be written anew."""
    try:
        return catalog.from_json(path.read_text())
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _configuration_row(
    opened: Opened, configuration: Configuration, plan: Plan
) -> catalog.ConfigurationRow:
    trained = configuration.find("students", "train")
    parts = plan.table(trained).parts if trained else ()
    return catalog.ConfigurationRow(
        configuration.digest, configuration.name, opened.experiment.name, configuration.teacher,
        configuration.student, parts[0].content if parts else None, configuration.selector,
        configuration.seed,
    )  # fmt: skip


def _uses(configuration: Configuration, use: Use, plan: Plan) -> Iterator[catalog.Use]:
    model = model_of(use.call, plan) if use.call.table == "scores" else None
    place = replace(_place(configuration, use), scorer=model.scorer if model else None)
    for part in plan.table(use.call).parts:
        yield replace(place, part=part.key)


def _place(configuration: Configuration, use: Use) -> catalog.Use:
    """A use of any part of that table."""
    side, _, benchmark = use.side.partition(":")
    return catalog.Use(configuration.digest, side, benchmark or None, use.call.table, "", use.role)


def _models(configuration: Configuration, plan: Plan) -> Iterator[Model]:
    for use in configuration.uses:
        model = model_of(use.call, plan)
        if model is not None:
            yield model


def model_of(call: Wanted, plan: Plan) -> Model | None:
    """The model that makes a table; None where there is none, or it is not trained yet."""
    model = call.parameters.get("model") if isinstance(call, Call) else None
    if model is None or isinstance(model, Model):
        return model
    trained = plan.table(model.call)
    found: Model | None = model.bind(plan.store, trained.parts[0]) if trained.complete else None
    return found


def _scorer_row(model: Model) -> catalog.ScorerRow:
    known = model.known
    return catalog.ScorerRow(
        model.scorer, model.spec.place, known.revision, known.weights, known.tokenizer,
        model.renderer.contract.digest, known.dtype, known.numerics, known.quantisation,
        known.backend,
    )  # fmt: skip


# ---------------------------------------------------------------------------- noise


def read_noise(runtime: Runtime) -> tuple[catalog.NoiseRow, ...]:
    """What was measured in this workspace. A file that cannot be read stops no run."""
    path = runtime.workspace / NOISE
    try:
        return tuple(catalog.NoiseRow(**item) for item in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError) as error:
        say(f"warning: {path} cannot be read ({error}): rdpt doctor scorer measures it again")
        return ()


def keep_noise(opened: Opened, measured: Iterable[catalog.NoiseRow]) -> None:
    """Beside the store, which cannot rebuild it: what was measured takes the place of what was
    known of the same scorers."""
    with opened.store.lock("catalogue", "noise", wait=True):
        rows = {(row.scorer, row.against): row for row in read_noise(opened.runtime)}
        rows |= {(row.scorer, row.against): row for row in measured}
        text = json.dumps([asdict(row) for _, row in sorted(rows.items())], indent=1)
        replace_file(opened.runtime.workspace / NOISE, text)
