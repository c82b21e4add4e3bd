"""Everything that an experiment's report shows, gathered from the store.

What does not exist yet is left out and said; nothing is computed that the tables hold.
"""

from __future__ import annotations

from flows.catalogue import contents_of
from flows.report.configurations import Cast, shown
from flows.report.curves import MIN_TRACES, gather_curves
from flows.report.differences import compared
from flows.report.numbers import gather_numbers, nearness
from flows.report.reader import StudyReader, reading
from flows.report.selection import gather_selections
from flows.report.telling import telling
from flows.report.traces import REASONS, gather_texts
from flows.report.training import gather_training
from flows.report.words import in_words
from flows.workspace import Opened
from rdpt_core.provenance.curves import OUTCOMES
from rdpt_core.provenance.labels import LABELS
from rdpt_core.report.bundle import Bundle


def gather(opened: Opened) -> Bundle:
    """Raises Damaged where a part does not hold any more."""
    with reading(opened) as reader:
        return _gathered(reader)


def _gathered(reader: StudyReader) -> Bundle:
    opened, rule = reader.opened, reader.opened.experiment.labels
    cast, contents = Cast.of(reader), contents_of(opened)
    uses, configurations = cast.uses(reader), shown(cast, reader)
    differences, near = compared(cast, reader), nearness(contents, cast)
    texts = gather_texts(reader, uses)
    tables = opened.study.tables()
    num_missing = sum(not opened.plan.state(table).complete for table in tables)
    none = len(configurations) - len(cast.configurations)  # means have no traces
    return Bundle(
        experiment=opened.experiment.name,
        sentence=in_words(configurations, cast.benchmarks, differences, num_missing, len(tables)),
        benchmarks=cast.benchmarks,
        configurations=configurations,
        baseline=cast.baseline,
        labels=[str(name) for name in LABELS],
        outcomes=[str(name) for name in OUTCOMES],
        reasons=[str(name) for name in REASONS],
        rule={"alpha": rule.alpha, "beta": rule.beta, "normalisation": rule.normalisation},
        near=[*near.values, *([0.0] * none)],
        min_traces=MIN_TRACES,
        curves=gather_curves(reader, uses),
        questions=texts.questions,
        differences=differences,
        telling=telling(texts.traces, texts.sentences, texts.text),
        selection=gather_selections(reader, cast),
        training=tuple(gather_training(reader, cast)),
        numbers=gather_numbers(reader, cast, configurations, contents, texts.num_left_out),
        traces=texts.traces,
        sentences=texts.sentences,
        text=texts.text,
        is_measured=(*near.is_measured, *([False] * none)),
        num_left_out=texts.num_left_out,
    )
