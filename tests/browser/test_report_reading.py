"""What a reader sees and does: the first screen, keys, addresses, two panes, other thresholds."""

from __future__ import annotations

import dataclasses
from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from rdpt_core.provenance.labels import LABELS, LabelRule, label
from rdpt_core.report.bundle import Bundle
from rdpt_core.store import views
from tests.browser.conftest import Opening, Scheme
from tests.core.report.example_bundles import ARMS, WORDS, example_bundle

ON_FIRST_SCREEN = (
    "#result-sentence",
    "#accuracy-figure svg",
    "#share-figure svg",
    "#curves-figure svg",
    "#a-strip svg",
)
READ_LABELS = (
    "[...document.querySelectorAll('#a-text [role=option]')]"
    ".map((one) => [...one.classList].find((name) => name.startsWith('c-')).slice(2))"
)
MOVE = """([key, value]) => {
  const input = document.getElementById(`what-if-${key}`);
  input.value = value;
  input.dispatchEvent(new Event("input"));
}"""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return example_bundle(num_questions=40)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_shows_the_result_and_a_trace(
    open_report: Opening, bundle: Bundle, scheme: Scheme
) -> None:
    report = open_report(bundle, scheme)
    for selector in ON_FIRST_SCREEN:
        box = report.page.locator(selector).bounding_box()
        assert box is not None
        assert box["width"] > 100, selector
        assert box["y"] + box["height"] <= 900, selector
    chosen = report.page.locator("#a-text .chosen").bounding_box()
    assert chosen is not None
    assert chosen["y"] < 900
    first = bundle.telling["teacher"][0]
    assert report.shown() == bundle.traces.trace_id[first.trace]
    assert report.chosen() == f"a-{first.position}"


def test_figures_hold_the_numbers_of_the_results(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    dots = report.value(
        "[...document.querySelectorAll('#accuracy-figure .dot')]"
        ".map((dot) => [dot.dataset.name, Number(dot.dataset.value)])"
    )
    results = {one.name: one.results["pocket-bench"] for one in bundle.configurations}
    names = ["random (mean)", "longest", "teacher_count"]
    assert dots == [[name, results[name]["accuracy"].value] for name in names]
    bars = report.value(
        "[...document.querySelectorAll('#share-figure rect')]"
        ".map((bar) => [bar.dataset.name, bar.dataset.class, Number(bar.dataset.value)])"
    )
    assert len(bars) == 4 * len(names)
    for name, kind, value in bars:
        assert value == results[name][f"provenance/share/{kind}"].value
    lines = report.page.locator("#accuracy-figure .reference")
    assert [lines.nth(i).get_attribute("data-value") for i in range(2)] == ["0.875", "0.3125"]


def test_another_benchmark_is_drawn_when_it_is_chosen(open_report: Opening, bundle: Bundle) -> None:
    page = open_report(bundle).page
    page.get_by_label("on", exact=True).select_option(label="other-bench")
    value = page.locator("#accuracy-figure .dot").first.get_attribute("data-value")
    assert value == str(0.725 / 2)


def test_a_class_without_values_leaves_no_empty_curves(open_report: Opening) -> None:
    bundle = example_bundle()
    none: dict[str, Any] = {"correct": [[None] * 3] * 15, "incorrect": [[None] * 3] * 15}
    curves = [
        dataclasses.replace(one, share={**one.share, "boosted": none}) for one in bundle.curves
    ]
    page = open_report(dataclasses.replace(bundle, curves=curves)).page
    assert page.locator("#curves-figure .curve.correct").count() == 3


def test_keys_move_through_sentences_and_traces(open_report: Opening, bundle: Bundle) -> None:
    trace = bundle.traces.trace_id[3]
    report = open_report(bundle, fragment=f"#trace={trace}&s=2")
    page = report.page
    for key, position in (("j", 3), ("j", 4), ("k", 3)):
        page.keyboard.press(key)
        assert report.chosen() == f"a-{position}"
    page.keyboard.press("p")
    report.wait_for(f"document.querySelector('#pane-a').dataset.shown !== '{trace}'")
    page.keyboard.press("n")
    report.wait_for(f"document.querySelector('#pane-a').dataset.shown === '{trace}'")


def test_the_first_sentence_is_not_left_and_tags_are_passed_over(
    open_report: Opening, bundle: Bundle
) -> None:
    report = open_report(bundle, fragment=f"#trace={bundle.traces.trace_id[0]}")
    assert report.chosen() == "a-1"
    report.page.keyboard.press("k")
    assert report.chosen() == "a-1"


def test_help_opens_by_key_and_closes(open_report: Opening, bundle: Bundle) -> None:
    page = open_report(bundle).page
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_key_that_is_typed_into_a_field_moves_nothing(
    open_report: Opening, bundle: Bundle
) -> None:
    report = open_report(bundle)
    before = report.chosen()
    report.page.locator("#search").press("j")
    assert report.chosen() == before


def test_an_address_opens_its_sentence_and_follows_the_reader(
    open_report: Opening, bundle: Bundle
) -> None:
    trace = bundle.traces.trace_id[17]
    report = open_report(bundle, fragment=f"#trace={trace}&s=5&with=random")
    assert report.shown() == trace
    assert report.chosen() == "a-5"
    assert report.page.locator("#pane-b").is_visible()
    report.page.keyboard.press("j")
    report.wait_for("location.hash.includes('s=6')")
    assert report.value("location.hash") == f"#trace={trace}&s=6&with=random"


def test_an_address_of_an_unknown_trace_opens_the_most_telling_one(
    open_report: Opening, bundle: Bundle
) -> None:
    report = open_report(bundle, fragment="#trace=nowhere&s=5")
    assert report.shown() == bundle.traces.trace_id[bundle.telling["teacher"][0].trace]


def test_one_trace_of_two_configurations_is_told_apart_by_the_address(
    open_report: Opening, bundle: Bundle
) -> None:
    ids = [bundle.traces.trace_id[k % 40] for k in range(len(bundle.traces.trace_id))]
    twice = dataclasses.replace(bundle, traces=dataclasses.replace(bundle.traces, trace_id=ids))
    report = open_report(twice, fragment=f"#trace={ids[7]}&s=2&in=longest")
    chosen = report.page.locator("#trace-controls select").first.input_value()
    assert chosen == str(ARMS.index("longest"))


def test_strip_and_text_are_linked_both_ways(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle, fragment=f"#trace={bundle.traces.trace_id[0]}&s=1")
    page = report.page
    page.locator("#a-5").hover()
    assert "sentence 5 of 8" in page.locator("#pane-a .detail").inner_text()
    assert page.locator("#a-strip .hovering").get_attribute("visibility") == "visible"
    box = page.locator("#a-strip svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 10, box["y"] + 40)
    assert report.chosen() == "a-8"


def test_two_configurations_scroll_together(open_report: Opening) -> None:
    bundle = example_bundle(num_questions=2, num_sentences=300)
    report = open_report(bundle, fragment=f"#trace={bundle.traces.trace_id[0]}&with=longest")
    report.wait_for("document.querySelector('#pane-b').dataset.shown")
    report.value("void (document.querySelector('#a-text').scrollTop = 2000)")
    report.wait_for("document.querySelector('#b-text').scrollTop > 1000")


def labels_on_page(bundle: Bundle, codes: NDArray[Any], trace: int) -> list[str]:
    first, last = bundle.traces.first_sentence[trace : trace + 2]
    shown = [i for i in range(first, last) if bundle.sentences.zone[i] > 0]
    return ["none" if codes[i] in (255, -1) else str(LABELS[codes[i]]) for i in shown]


def test_labels_follow_the_thresholds_by_the_rule(open_report: Opening) -> None:
    bundle = example_bundle(num_questions=2, num_sentences=150)
    report = open_report(bundle, fragment=f"#trace={bundle.traces.trace_id[0]}")
    assert report.value(READ_LABELS) == labels_on_page(bundle, bundle.sentences.label, 0)
    p = bundle.sentences.p.astype(np.float64)
    for alpha, beta in ((0.1, 0.2), (0.3, 0.2), (0.005, 0.005), (0.5, 0.5)):
        report.page.evaluate(MOVE, ["beta", beta])
        report.page.evaluate(MOVE, ["alpha", alpha])
        found = label(p[:, 0], p[:, 1], p[:, 2], LabelRule(alpha=alpha, beta=beta))
        assert report.value(READ_LABELS) == labels_on_page(bundle, found.label, 0)
        assert "what if" in report.page.locator("#what-if-said").inner_text()


def test_three_way_labels_follow_the_thresholds(open_report: Opening) -> None:
    bundle = example_bundle(num_questions=2, num_sentences=150)
    p = bundle.sentences.p.copy()
    p[:, 2] = np.nan
    wide = p.astype(np.float64)
    found = label(wide[:, 0], wide[:, 1], None, LabelRule(alpha=0.1, beta=0.1))
    codes = np.where(found.label < 0, 255, found.label).astype(np.uint8)
    sentences = dataclasses.replace(
        bundle.sentences, p=p, label=codes, margin=found.margin.astype(np.float32)
    )
    three = dataclasses.replace(bundle, sentences=sentences)
    report = open_report(three, fragment=f"#trace={bundle.traces.trace_id[0]}")
    assert report.value(READ_LABELS) == labels_on_page(three, codes, 0)
    report.page.evaluate(MOVE, ["beta", 0.25])
    again = label(wide[:, 0], wide[:, 1], None, LabelRule(alpha=0.1, beta=0.25))
    assert report.value(READ_LABELS) == labels_on_page(three, again.label, 0)


def test_thresholds_that_come_back_show_the_stored_labels(open_report: Opening) -> None:
    """Also where the label is at odds with the rounded probabilities."""
    bundle = example_bundle(num_questions=2, num_sentences=40)
    swapped = np.where(bundle.sentences.label == 0, 4, bundle.sentences.label).astype(np.uint8)
    odd = dataclasses.replace(
        bundle,
        sentences=dataclasses.replace(bundle.sentences, label=swapped),
        rule={"alpha": 0.1001, "beta": 0.1001, "normalisation": "token_mean"},  # between steps
    )
    report = open_report(odd, fragment=f"#trace={odd.traces.trace_id[0]}")
    expected = labels_on_page(odd, swapped, 0)
    assert report.value(READ_LABELS) == expected
    report.page.evaluate(MOVE, ["beta", 0.3])
    assert report.value(READ_LABELS) != expected
    report.page.evaluate(MOVE, ["beta", 0.1])
    assert report.value(READ_LABELS) == expected
    report.page.evaluate(MOVE, ["alpha", 0.3])
    report.page.evaluate("document.getElementById('what-if-reset').click()")
    assert report.value(READ_LABELS) == expected
    assert report.page.locator("#what-if-said").inner_text() == ""


def test_a_sentence_leads_to_what_its_student_was_trained_on(
    open_report: Opening, bundle: Bundle
) -> None:
    """From the keyboard; a baseline was trained on nothing here."""
    report = open_report(bundle)
    summary = report.page.locator("#training-of-trace > summary")
    summary.focus()
    report.page.keyboard.press("Enter")
    body = report.page.locator("#training-of-trace")
    body.get_by_text("was trained on 180 traces of 180 problems").wait_for()
    assert "400 sentences in them: 75.0% teacher, 25.0% student" in body.inner_text()
    nearest = body.locator("table").first.locator("tbody tr")
    assert nearest.first.inner_text().split("\t")[0] == "1.00"
    assert WORDS in nearest.first.inner_text()
    assert [row.split("\t")[0] for row in nearest.all_inner_texts()] == ["1.00", similarity()]
    rows = body.locator("table").last.locator("tbody tr").all_inner_texts()
    assert rows == ["0\tBen has 14 apples.\t3.00\t97\t3 of 4\t"]


def similarity() -> str:
    """Of the other sentence that shares words, by the catalogue's macro."""
    with duckdb.connect() as connection:
        connection.execute(views.WORDS)
        asked = [WORDS, "So Ben has 22 * 4 = 88 eggs."]
        (found,) = connection.execute("SELECT similarity(?, ?)", asked).fetchone() or (None,)
    return f"{found:.2f}"
