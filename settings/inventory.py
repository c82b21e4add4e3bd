"""The models and sources that an experiment names, for checks before any work."""

from __future__ import annotations

from rdpt_core.models.spec import ModelSpec
from rdpt_core.sources.problems import ProblemSource
from rdpt_core.sources.traces import TraceSource
from settings.experiment import Experiment
from settings.models import NamedModel, Student
from settings.texts import Generate, Import


def imports_thoughts(experiment: Experiment) -> bool:
    """True if imported traces come with thoughts set apart by delimiters."""
    made = [experiment.traces, *(benchmark.traces for benchmark in experiment.benchmarks)]
    return any(isinstance(t, Import) and t.delimiters != "none" for t in made)


def sources_of(experiment: Experiment) -> dict[str, ProblemSource | TraceSource]:
    """Every source of problems or traces, by the table of the file that it stands in."""
    tables = {"problems": experiment.problems, "traces": experiment.traces}
    for benchmark in experiment.benchmarks:
        tables[f"benchmark {benchmark.name}, problems"] = benchmark.problems
        tables[f"benchmark {benchmark.name}, traces"] = benchmark.traces
    return {
        name: source
        for name, source in tables.items()
        if source is not None and not isinstance(source, Generate)
    }


def models_of(experiment: Experiment) -> dict[str, ModelSpec]:
    """Every model of an experiment, by its name."""
    entries: list[NamedModel | Student] = [*experiment.teachers, *experiment.students]
    found: dict[str, ModelSpec] = {}
    for entry in entries:  # a teacher and a student may have one name
        found[entry.name if entry.name not in found else f"{entry.name} (student)"] = entry.spec
    for student in experiment.students:
        if student.source == "import":
            found[f"{student.name} (distilled)"] = student.distilled_spec
    return found
