"""What holds for the whole page: hostile texts run nothing, everybody can use it, at any width."""

from __future__ import annotations

import dataclasses

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Opening, Scheme
from tests.browser.hostile import HOSTILE, poisoned
from tests.core.report.example_bundles import example_bundle, without_traces

OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"


def use_everything(page: Page) -> None:
    """All that shows a text: both panes, hidden tables, search, lists, other questions."""
    for key in ("c", "j", "n", "j", "k"):
        page.keyboard.press(key)
    page.evaluate(OPEN_ALL)
    page.locator("#a-text [role=option]").nth(1).dispatch_event("pointerover")
    page.locator(".telling button").first.click()
    page.locator(".questions button.answer").first.click()
    page.locator(".differences button").first.click()
    page.fill("#search", "alert")
    page.wait_for_timeout(300)


@pytest.mark.fault("X4")
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_text_runs_nothing(open_report: Opening, number: int) -> None:
    """`open_report` fails on any request, dialog, error, or violation of the policy."""
    text = HOSTILE[number]
    bundle = poisoned(example_bundle(num_questions=3, num_sentences=4), text)
    report = open_report(bundle)
    use_everything(report.page)
    wanted = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert report.value("document.querySelector('.side .problem').textContent") == wanted
    assert report.value("document.querySelectorAll('body script').length") == 5
    assert report.value("document.querySelectorAll('iframe, object, embed, img, form').length") == 0
    assert report.value("document.documentElement.scrollWidth") <= 1440


def test_there_are_forty_of_them() -> None:
    assert len(set(HOSTILE)) == 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 590])
def test_axe_finds_no_violation(open_report: Opening, scheme: Scheme, width: int) -> None:
    page = open_report(example_bundle(num_questions=30), scheme, width).page
    page.keyboard.press("c")
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(300)
    for key in ("Escape", "?"):
        page.keyboard.press(key)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], [n["html"][:160] for n in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("width", [590, 1024])
def test_a_narrow_page_is_complete_and_never_scrolls_sideways(
    open_report: Opening, width: int
) -> None:
    report = open_report(example_bundle(num_questions=30), width=width)
    report.page.keyboard.press("c")
    report.page.evaluate(OPEN_ALL)
    report.page.wait_for_timeout(200)
    assert report.value("document.documentElement.scrollWidth") <= width
    for section in ("overview", "trace-section", "find", "differences", "selection", "numbers"):
        assert report.page.locator(f"#{section}").is_visible()
    too_wide = report.value(
        "[...document.querySelectorAll('main > section > *, figure, .text')]"
        ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.className)"
    )
    assert too_wide == []


def test_focus_is_visible_wherever_it_goes(open_report: Opening) -> None:
    report = open_report(example_bundle(num_questions=5))
    seen = set()
    for _ in range(110):
        report.page.keyboard.press("Tab")
        tag, style = report.value(
            "(() => { const one = document.activeElement;"
            " return [one.tagName, getComputedStyle(one).outlineStyle]; })()"
        )
        seen.add(tag)
        assert tag == "BODY" or style != "none", tag
    assert {"A", "BUTTON", "SELECT", "INPUT", "DIV"} <= seen


def test_the_theme_is_chosen_in_the_page_alone(open_report: Opening) -> None:
    report = open_report(example_bundle(num_questions=3), "light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = report.value(background)
    report.page.click("#theme")
    assert report.value(background) == light
    report.page.click("#theme")
    assert report.value(background) != light
    assert report.value("[document.cookie, localStorage.length]") == ["", 0]


def test_a_trace_of_thousands_of_sentences_opens(open_report: Opening) -> None:
    bundle = example_bundle(num_questions=1, num_sentences=3000)
    page = open_report(bundle, fragment=f"#trace={bundle.traces.trace_id[1]}&s=2500").page
    assert page.locator("#a-text [role=option]").count() == 2999
    assert page.locator("#pane-a .closer svg").is_visible()
    box, text = page.locator("#a-2500").bounding_box(), page.locator("#a-text").bounding_box()
    assert box is not None
    assert text is not None
    assert text["y"] <= box["y"] <= text["y"] + text["height"]


def test_print_shows_the_whole_text(open_report: Opening) -> None:
    report = open_report(example_bundle(num_questions=3, num_sentences=120))
    heights = "['clientHeight', 'scrollHeight'].map((k) => document.querySelector('#a-text')[k])"
    screen = report.value(heights)
    report.page.emulate_media(media="print")
    printed = report.value(heights)
    assert screen[0] < screen[1]
    assert printed[0] == printed[1]


def test_a_report_without_traces_is_used_without_errors(open_report: Opening) -> None:
    page = open_report(without_traces(example_bundle())).page
    for key in ("j", "n", "c", "/"):
        page.keyboard.press(key)
    assert page.locator("#accuracy-figure .dot").count() == 3
    assert page.locator("#trace-section").inner_text().startswith("Trace")
    assert Axe().run(page).response["violations"] == []


def test_a_report_without_any_number_is_a_page(open_report: Opening) -> None:
    bundle = without_traces(example_bundle())
    bare = dataclasses.replace(
        bundle,
        configurations=[dataclasses.replace(one, results={}) for one in bundle.configurations],
        curves=[],
        differences=[],
        selection=[],
        numbers={},
        baseline=None,
    )
    page = open_report(bare).page
    assert "No answer was graded here" in page.locator("#overview").inner_text()
    assert Axe().run(page).response["violations"] == []
