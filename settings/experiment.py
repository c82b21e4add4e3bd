"""The question: everything that moves a number of an experiment, in one TOML file.

It reads as the methods section of a paper. No key is chosen by its user: models, selectors and
benchmarks are arrays of tables with a `name`. Names never reach a key of the store, and neither
does a path: what is found there does.
"""

from __future__ import annotations

from itertools import product
from typing import Annotated, TypeVar

from pydantic import Field, field_validator, model_validator

from rdpt_core.finetune.recipe import TrainingRecipe
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.spec import Scoring
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.picks import PoolRule, Selector
from rdpt_core.sources.problems import ProblemSource
from rdpt_core.tables.recipe import Rule
from rdpt_core.text.segmentation import SegmentRule
from settings.models import Name, NamedModel, Student
from settings.texts import Benchmark, Generate, Import, Traces

E = TypeVar("E", bound=Rule)


class Matrix(Rule):
    """Which pairings are run: the product of these lists. An empty list means all."""

    teachers: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(default=(0,), min_length=1)
    """Random seeds of fine-tuning; NumPy takes no larger ones."""

    @field_validator("*")
    @classmethod
    def _none_twice(cls, entries: tuple[str | int, ...]) -> tuple[str | int, ...]:
        twice = [entry for number, entry in enumerate(entries) if entry in entries[:number]]
        if twice:
            raise ValueError(f"{twice[0]!r} is given twice")
        return entries


class Pairing(Rule):
    """One cell of the matrix."""

    teacher: NamedModel
    student: Student
    selector: Selector | None = None
    seed: int | None = None


class Experiment(Rule):
    """One study. See `settings/experiments/pocket.toml` for a complete example."""

    name: Name
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Random seed of sampling, and of selectors that draw and have no seed; fine-tuning seeds are
    those of the matrix."""
    part_size: int = Field(default=128, ge=1, le=100_000)
    """Problems in a part: the unit of identity, work and loss."""
    problems: ProblemSource | None = None
    traces: Traces | None = None
    """The training side; left out, the experiment attributes only."""
    teachers: tuple[NamedModel, ...] = Field(min_length=1)
    students: tuple[Student, ...] = Field(min_length=1)
    selectors: tuple[Selector, ...] = ()
    segmentation: SegmentRule = SegmentRule()
    grading: GradeRule = GradeRule()
    scoring: Scoring = Scoring()
    labels: LabelRule = LabelRule()
    pool: PoolRule = PoolRule()
    training: TrainingRecipe = TrainingRecipe()
    benchmarks: tuple[Benchmark, ...] = ()
    matrix: Matrix = Matrix()

    @field_validator("teachers", "students", "selectors", "benchmarks")
    @classmethod
    def _names_differ(cls, entries: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [_label(entry) for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used twice")
        return entries

    @model_validator(mode="after")
    def _sides_fit(self) -> Experiment:
        learns = any(student.source != "import" for student in self.students)
        if learns and self.traces is None:
            raise ValueError('a student needs [traces] to learn from, unless source = "import"')
        if isinstance(self.traces, Generate) and self.problems is None:
            raise ValueError('[traces] with source = "generate" needs [problems]')
        if isinstance(self.traces, Import) and self.problems is not None:
            raise ValueError("imported [traces] bring their problems: leave [problems] out")
        if learns and not self.selectors:
            raise ValueError('a student needs [[selectors]], unless source = "import"')
        self._logged_teachers_wrote_the_traces()
        self._blanks_can_be_moved()
        self._matched_arms_exist()
        self._draws_differ()
        self._controls_come_later()
        self.pairings()
        return self

    def _logged_teachers_wrote_the_traces(self) -> None:
        logged = [teacher.name for teacher in self.teachers if teacher.backend == "logged"]
        if logged and not isinstance(self.traces, Import):
            raise ValueError(
                f"teacher {logged[0]!r} is logged, so it can neither sample nor score: import its "
                '[traces] with their `token_ids` and `logprobs`, or give it backend = "hf"'
            )
        nameless = [
            teacher.name
            for teacher in self.teachers
            if teacher.backend == "logged"
            and (teacher.logged is None or teacher.logged.author is None)
        ]
        if len(logged) > 1 and nameless:
            raise ValueError(
                f"teachers {' and '.join(logged)} are logged: name the author of each "
                f"one's traces, such as "
                f'logged = {{ author = "..." }} in the entry of {nameless[0]!r}'
            )
        for benchmark in self.benchmarks:
            if logged and benchmark.is_control:
                raise ValueError(
                    f"benchmark {benchmark.name!r} is a control, which teacher {logged[0]!r} would "
                    "have to score, but it is logged: leave `author` out"
                )

    def _blanks_can_be_moved(self) -> None:
        """The probability of any blank is known only where a model's whole distribution is."""
        if self.scoring.leading_blank == "with_word":
            return
        backends = {model.name: model.backend for model in (*self.teachers, *self.students)}
        for student in self.students:
            if student.source == "import":
                backends[f"{student.name} (distilled)"] = student.distilled_spec.backend
        for name, backend in backends.items():
            if backend != "hf":
                raise ValueError(
                    f'scoring.leading_blank = "before" needs all models loaded here, and '
                    f"{name!r} is {backend}: leave leading_blank out, or give it "
                    'backend = "hf"'
                )

    def _controls_come_later(self) -> None:
        """The first benchmark's accuracy is what configurations are compared by."""
        if self.benchmarks and self.benchmarks[0].is_control:
            raise ValueError(
                f"benchmark {self.benchmarks[0].name!r} is a control and comes first: move it "
                "after a benchmark that the distilled student answers"
            )

    def _matched_arms_exist(self) -> None:
        for selector in self.selectors:
            if selector.match_tokens is None:
                continue
            (arm,) = _named("selectors", self.selectors, (selector.match_tokens,))
            if arm.match_tokens is not None:
                raise ValueError(
                    f"selector {selector.label} matches an arm that is matched itself: "
                    "name an arm without match_tokens"
                )

    def _draws_differ(self) -> None:
        """An entry without a seed draws by the experiment's."""
        drawn: dict[tuple[str, int], str] = {}
        for selector in (one for one in self.selectors if one.draws):
            key = selector.arm, self.seed if selector.seed is None else selector.seed
            if key in drawn:
                raise ValueError(
                    f"selectors {drawn[key]} and {selector.label} both draw with seed {key[1]}, "
                    "so they pick the same traces: give each another `seed`"
                )
            drawn[key] = selector.label

    def pairings(self) -> list[Pairing]:
        """The cells of the matrix, in the order of the file."""
        teachers = _named("teachers", self.teachers, self.matrix.teachers)
        students = _named("students", self.students, self.matrix.students)
        selectors = _named("selectors", self.selectors, self.matrix.selectors)
        cells: list[Pairing] = []
        for teacher, student in product(teachers, students):
            if student.source == "import":
                cells.append(Pairing(teacher=teacher, student=student))
                continue
            seeds = self.matrix.seeds if student.source == "train" else (None,)
            for selector, seed in product(selectors, seeds):
                cells.append(
                    Pairing(teacher=teacher, student=student, selector=selector, seed=seed)
                )
        return cells


def _named(key: str, entries: tuple[E, ...], names: tuple[str, ...]) -> tuple[E, ...]:
    """The entries that a list of the matrix names; all of them where it is empty."""
    by_name = {_label(entry): entry for entry in entries}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        known = ", ".join(by_name) or "none"
        raise ValueError(
            f"no {key.removesuffix('s')} named {unknown[0]!r} in [[{key}]], which has: {known}"
        )
    return tuple(by_name[name] for name in names) or entries


def _label(entry: Rule) -> str:
    """What the matrix calls an entry; a matched selector is named after its arm too."""
    return str(getattr(entry, "label", None) or entry.name)  # type: ignore[attr-defined]
