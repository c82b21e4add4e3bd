"""The stages that make text: problems, traces, grades, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from rdpt_core.grading import verdicts
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.serving.http import ItemFailed
from rdpt_core.models.spec import Sampling
from rdpt_core.tables.rows import Grade, Problem, Sentence, Trace
from rdpt_core.text import segmentation
from rdpt_core.text.segmentation import SegmentRule
from tasks.batches import Batches, Failed
from tasks.models import Model, note
from tasks.stage import Work, stage


@stage("traces", version=2, row=Trace, over="problems", each="sample_index")
def sample(
    problems: list[Problem],
    model: Model,
    sampling: Sampling,
    seed: int,
    sample_index: int,
    work: Work,
) -> Iterator[Trace]:
    """One trace per problem. Batches are cut by prompt length, then id, so that what composes a
    batch follows from the part alone; a finished batch is durable at once. Of a server, which
    composes its own, each text is a batch; one that it cannot give is left out, and its reason is
    in the part's record. Raises ValueError where they are too many."""
    batches: Batches[Trace] = Batches(Trace, work.folder)
    cut = list(_cut(problems, 1 if model.is_remote else sampling.batch_size))
    generator = cache(lambda: model.generator(sampling, seed, work))
    failed = Failed()

    def make(index: int) -> list[Trace]:
        try:
            traces = generator().generate(cut[index], sample_index, work.progress)
        except ItemFailed as error:
            failed.add(str(error))
            return []
        batches.keep(index, traces)
        return traces

    for traces in batches.resumed(len(cut), make, model.width, work.progress):
        yield from traces
    work.notes |= note(model) | {"batches_kept_from_before": batches.num_found}
    if model.is_remote:
        failed.settle(len(cut), f"texts were not returned by server {model.spec.server!r}")
        work.notes |= failed.noted()


def _cut(problems: list[Problem], size: int) -> Iterator[list[Problem]]:
    ordered = sorted(problems, key=lambda p: (len(p.prompt.encode()), p.problem_id))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


@stage("grades", version=3, row=Grade, over="traces")
def grade(
    problems: list[Problem], traces: list[Trace], rule: GradeRule, work: Work
) -> Iterable[Grade]:
    return verdicts.grade(problems, traces, rule, work.progress, work.options.graders)


@stage("sentences", version=3, row=Sentence, over="traces")
def segment(traces: list[Trace], rule: SegmentRule) -> Iterator[Sentence]:
    for trace in traces:
        yield from segmentation.segment(trace, rule)
