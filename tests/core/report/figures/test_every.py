"""The files of figures: one for each, width and format, the same each time, with nothing cut."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest

from rdpt_core.report.figures import every
from rdpt_core.report.figures.accuracies import accuracies
from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.curves import curves_by_configuration, curves_of
from rdpt_core.report.figures.differences import accuracy_differences, class_differences
from rdpt_core.report.figures.every import figures_of, file_name, write_figures
from rdpt_core.report.figures.overview import overview
from rdpt_core.report.figures.shares import shares
from rdpt_core.report.figures.strip import strip, strip_of
from rdpt_core.report.figures.style import COLUMN, DPI, PAGE, Format, save
from tests.core.report.figures.bundles import bundle
from tests.core.report.figures.reading import covered, is_cut

LONG = [f"teacher_count-of-seed-{i:02}-xxxxx"[:30] for i in range(12)]
BUNDLES = {
    "one": bundle(["random"]),
    "pair without correct traces": bundle(missing=True, num_correct=0, num_sentences=5),
    "twelve long names": bundle(LONG, missing=True),
}


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize("name", BUNDLES)
def test_nothing_is_cut_or_covered(name: str, width: float) -> None:
    found = BUNDLES[name]
    one = compared(found, "bench")
    curve = one.curves[found.configurations[2].name]
    for figure in (
        accuracies(one, width),
        shares(one, width),
        accuracy_differences(one, width),
        class_differences(one, width),
        curves_of("random", curve, one.min_traces, width),
        curves_by_configuration("teacher", one.curves, one.min_traces, width),
        strip(strip_of(found, 0), width),
    ):
        assert not is_cut(figure)
        assert list(covered(figure)) == []


@pytest.mark.parametrize("name", BUNDLES)
def test_nothing_of_the_overview_is_cut_or_covered(name: str) -> None:
    figure = overview(compared(BUNDLES[name], "bench"))
    assert not is_cut(figure)
    assert list(covered(figure)) == []


def test_every_figure_has_a_name_of_its_own() -> None:
    names = [name for name, _ in figures_of(bundle())]
    assert len(names) == len(set(names))
    kinds = ("accuracy", "shares", "difference", "class-difference", "curves", "class-curves")
    for start in kinds:
        assert any(name.startswith(f"{start}-bench") for name in names)
    assert {"overview-bench", "trace", "trace-wide", "accuracy-bench-wide"} <= set(names)


def test_figures_are_written_in_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = accuracies(compared(bundle(), "bench"))
    monkeypatch.setattr(every, "figures_of", lambda _: [("accuracy", figure)])
    files = write_figures(bundle(), tmp_path / "figures")
    assert files == [tmp_path / "figures" / f"accuracy.{end}" for end in ("svg", "pdf", "png")]
    starts = [file.read_bytes()[:4] for file in files]
    assert starts == [b"<?xm", b"%PDF", b"\x89PNG"]


@pytest.mark.parametrize("format", ["svg", "pdf", "png"])
def test_the_same_bundle_gives_the_same_bytes(format: Format) -> None:
    # The solver of matplotlib's layout differs in the last bits once in some drawings.
    num = 8 if format == "svg" else 2
    one, *others = (save(overview(compared(bundle(), "bench")), format) for _ in range(num))
    assert all(other == one for other in others)
    assert b"Date" not in one


def test_a_pdf_embeds_its_font_as_truetype() -> None:
    pdf = save(accuracies(compared(bundle(), "bench")), "pdf")
    assert b"/FontFile2" in pdf
    assert b"/Subtype /Type3" not in pdf


def test_an_svg_needs_no_font() -> None:
    svg = ElementTree.fromstring(save(accuracies(compared(bundle(), "bench")), "svg"))
    assert not list(svg.iter("{http://www.w3.org/2000/svg}text"))


def test_files_are_as_wide_as_a_paper_needs() -> None:
    figures = dict(figures_of(bundle(["random"])))
    for end, width in (("", COLUMN), ("-wide", PAGE)):
        png = save(figures[f"accuracy-bench{end}"], "png")
        assert struct.unpack(">I", png[16:20])[0] == pytest.approx(width * DPI, abs=1)


def test_settings_of_the_reader_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = save(accuracies(compared(bundle(), "bench")), "svg")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20.0)
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    assert save(accuracies(compared(bundle(), "bench")), "svg") == usual


@pytest.mark.fault("X5")
def test_names_of_files_are_safe() -> None:
    assert file_name("curves", "a/b", "..") == "curves-a_b-.."
