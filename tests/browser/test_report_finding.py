"""Finding traces: the table, its filters, the most telling sentences, differences."""

from __future__ import annotations

import dataclasses

import pytest

from rdpt_core.report.bundle import Bundle
from tests.browser.conftest import Opened, Opening
from tests.core.report.example_bundles import ARMS, WORDS, example_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return example_bundle(num_questions=40)


def num_listed(report: Opened) -> int:
    return int(report.page.locator("#listed").inner_text().split(" ")[0].replace(",", ""))


def correct(bundle: Bundle, question: int) -> list[bool]:
    """True for each arm, in their order, that answers the question."""
    traces = bundle.traces
    mine = [i for i in range(len(traces.trace_id)) if traces.question[i] == question]
    return [bool(traces.outcome[i] == 0) for i in mine]


def test_questions_whose_outcome_flips_stand_first(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    flips = [k for k in range(40) if len(set(correct(bundle, k))) == 2]
    others = [k for k in range(40) if k not in flips]
    golds = report.value(
        "[...document.querySelectorAll('.questions .column-gold bdi')]"
        ".map((one) => one.textContent)"
    )
    assert golds == [str(19 + k) for k in (*flips, *others)][: len(golds)]
    assert flips
    assert others


def test_filters_narrow_the_table(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    filters = report.page.locator(".filters")
    assert num_listed(report) == 40
    filters.get_by_label("outcome").select_option("flips")
    assert num_listed(report) == sum(len(set(correct(bundle, k))) == 2 for k in range(40))
    filters.get_by_label("configuration").select_option(label=ARMS[1])
    filters.get_by_label("outcome").select_option("wrong")
    assert num_listed(report) == sum(not correct(bundle, k)[1] for k in range(40))
    filters.get_by_text("Clear").click()
    filters.get_by_label("benchmark").select_option(label="other-bench")
    assert num_listed(report) == sum(one.benchmark == 1 for one in bundle.questions)


def share(bundle: Bundle, trace: int, code: int) -> float:
    first, last = bundle.traces.first_sentence[trace : trace + 2]
    is_shown = bundle.sentences.zone[first:last] > 0
    return float((bundle.sentences.label[first:last] == code)[is_shown].sum() / is_shown.sum())


def test_a_filter_by_class_and_share(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    report.page.locator(".filters").get_by_label("class").select_option("teacher")
    report.page.get_by_label("its share at least, %").fill("50")
    code = bundle.labels.index("teacher")
    traces = range(len(bundle.traces.trace_id))
    found = {int(bundle.traces.question[i]) for i in traces if share(bundle, i, code) >= 0.5}
    assert num_listed(report) == len(found)
    assert 0 < len(found) < 40


def test_search_finds_problems_and_texts_of_traces(open_report: Opening, bundle: Bundle) -> None:
    at = bundle.text.index(WORDS.encode(), int(bundle.traces.first_byte[5]))
    text = bundle.text[:at] + b"Zebra " + bundle.text[at + 6 :]
    report = open_report(dataclasses.replace(bundle, text=text))
    for words, count in (("zebra", "1 question "), ("has 21 apples", "1 question "), ("", "40 ")):
        report.page.fill("#search", words)
        report.wait_for(f"document.querySelector('#listed').textContent.startsWith('{count}')")


def test_only_rows_in_view_exist(open_report: Opening) -> None:
    report = open_report(example_bundle(num_questions=3000, num_sentences=3))
    count = "document.querySelectorAll('.questions tbody tr').length"
    assert report.value(count) < 60
    report.value("void (document.querySelector('.scroller').scrollTop = 45000)")
    report.wait_for(
        "[...document.querySelectorAll('.questions tr[aria-rowindex]')]"
        ".some((row) => row.getAttribute('aria-rowindex') > 1500)"
    )
    assert report.value(count) < 60
    assert report.page.locator(".questions").get_attribute("aria-rowcount") == "3001"


def test_the_table_is_used_by_keys_alone(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    page = report.page
    page.locator(".questions button[tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert report.value("document.activeElement.getAttribute('aria-label')").startswith(ARMS[1])
    page.keyboard.press("Enter")
    assert page.locator("#trace-controls select").first.input_value() == "1"
    page.keyboard.press("End")
    assert report.value("document.activeElement.dataset.row") == "39"


def test_a_telling_sentence_is_a_click_from_its_trace(open_report: Opening, bundle: Bundle) -> None:
    report = open_report(bundle)
    item = bundle.telling["boosted"][2]
    lists = report.page.locator(".telling ol")
    assert lists.count() == 3
    button = lists.nth(1).locator("button").nth(2)
    assert WORDS[:20] in button.inner_text()
    button.click()
    trace = bundle.traces.trace_id[item.trace]
    report.wait_for(f"document.querySelector('#pane-a').dataset.shown === '{trace}'")
    assert report.chosen() == f"a-{item.position}"


def test_differences_turn_round_with_the_baseline(open_report: Opening, bundle: Bundle) -> None:
    page = open_report(bundle).page
    cells = page.locator(".differences td[data-value]")
    assert cells.count() == 3
    assert cells.first.get_attribute("data-value") == str(0.64 - 0.3125)
    page.locator("#differences").get_by_label("against").select_option("random")
    assert cells.count() == 1
    assert cells.first.get_attribute("data-value") == str(-(0.725 - 0.3125))
    assert page.locator(".differences button").first.inner_text() == "12"


def test_gained_questions_are_listed_by_a_click(open_report: Opening, bundle: Bundle) -> None:
    one = dataclasses.replace(bundle.differences[0], first="random", second="longest", gained=7)
    report = open_report(dataclasses.replace(bundle, differences=[one], baseline="longest"))
    report.page.locator(".differences button").first.click()
    answers = [correct(bundle, k) for k in range(40) if bundle.questions[k].benchmark == 0]
    gained = [is_right for is_right in answers if is_right[1] and not is_right[2]]
    assert num_listed(report) == len(gained) > 0
