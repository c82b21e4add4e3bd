"""Every figure of a report, as files for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from rdpt_core.files.replacing import replacing
from rdpt_core.report.bundle import Bundle
from rdpt_core.report.figures.accuracies import accuracies
from rdpt_core.report.figures.compared import (
    ACCURACY,
    Panels,
    compared,
    has_accuracy,
    of_metric,
    with_shares,
)
from rdpt_core.report.figures.curves import curves_by_configuration, curves_of
from rdpt_core.report.figures.differences import accuracy_differences, class_differences
from rdpt_core.report.figures.overview import overview
from rdpt_core.report.figures.shares import shares
from rdpt_core.report.figures.strip import strip, strip_of
from rdpt_core.report.figures.style import COLUMN, FORMATS, PAGE, save

WIDTHS = {"": COLUMN, "-wide": PAGE}
"""End of a file's name to inches."""


def write_figures(bundle: Bundle, folder: Path) -> list[Path]:
    """Writes each figure as SVG, PDF and PNG, in the width of one column and, as `-wide`, of two.
    Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures_of(bundle):
        for format in FORMATS:
            file = folder / f"{name}.{format}"
            with replacing(file, durable=False) as new:
                new.write_bytes(save(figure, format))
            files.append(file)
    return files


def figures_of(bundle: Bundle) -> Iterator[tuple[str, Figure]]:
    """Names of files, without a suffix, and figures."""
    for benchmark in bundle.benchmarks:
        one = compared(bundle, benchmark)
        yield file_name("overview", benchmark), overview(one)
        for end, width in WIDTHS.items():
            for what, figure in _of_benchmark(one, width):
                yield file_name(*what) + end, figure
    for end, width in WIDTHS.items():
        if telling := bundle.telling.get("teacher"):
            yield f"trace{end}", strip(strip_of(bundle, telling[0].trace), width)


def _of_benchmark(one: Panels, width: float) -> Iterator[tuple[tuple[str, ...], Figure]]:
    """What the benchmark does not have is left out."""
    if has_accuracy(one):
        yield ("accuracy", one.benchmark), accuracies(one, width)
    if with_shares(one)[0]:
        yield ("shares", one.benchmark), shares(one, width)
    if of_metric(one, ACCURACY):
        yield ("difference", one.benchmark), accuracy_differences(one, width)
    if any(of_metric(one, label) for label in one.labels):
        yield ("class-difference", one.benchmark), class_differences(one, width)
    for name, curve in one.curves.items():
        yield ("curves", one.benchmark, name), curves_of(name, curve, one.min_traces, width)
    for label in one.labels:
        if any(label in curve.share for curve in one.curves.values()):
            figure = curves_by_configuration(label, one.curves, one.min_traces, width)
            yield ("class-curves", one.benchmark, label), figure


def file_name(*words: str) -> str:
    """The words joined, of characters that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words))
