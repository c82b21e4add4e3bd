"""Milliseconds that the report's page takes in Chromium: to open, and to open a trace.

    .venv/bin/python perf/page.py [report.html] [--repeat 5]

Without a file, the page is that of perf/report.py: 150,000 sentences, one trace of 20,000.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WATCH = """() => {
  const mark = (name) => { window[name] = performance.now(); };
  new MutationObserver(() => {
    const { ready } = document.documentElement.dataset;
    if (ready && !window[`ready_${ready}`]) requestAnimationFrame(() => mark(`ready_${ready}`));
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-ready"] });
}"""
SWITCH = """(address) => new Promise((resolve) => {
  const pane = document.querySelector("#pane-a");
  const began = performance.now();
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }).observe(pane, { attributes: true, attributeFilter: ["data-shown"] });
  location.hash = address;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, ids = _page(chosen.file, Path(folder))
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        with sync_playwright() as driver:
            chromium = shutil.which("chromium")
            browser = driver.chromium.launch(executable_path=chromium, args=OPTIONS)
            _measure(browser, path.resolve().as_uri(), ids, chosen.repeat)


def _page(file: Path | None, folder: Path) -> tuple[Path, list[str]]:
    """The file, and ids of traces to open; the longest is last."""
    if file is not None:
        return file, []
    from perf.report import bundle
    from rdpt_core.report.page import write_page

    made = bundle()
    path = folder / "report.html"
    path.write_text(write_page(made), encoding="utf-8")
    lengths = made.traces.first_sentence[1:] - made.traces.first_sentence[:-1].astype(int)
    order = lengths.argsort(kind="stable").tolist()
    ids = [made.traces.trace_id[i] for i in (*order[len(order) // 2 :][:20], order[-1])]
    print(f"{lengths.sum():,} sentences, {len(lengths):,} traces, the longest of {lengths.max():,}")
    return path, ids


def _measure(browser: Browser, address: str, ids: list[str], repeat: int) -> None:
    opened = [_opened(browser, address) for _ in range(repeat)]
    for at, name in enumerate(("first screen", "everything")):
        _say(name, [times[at] for times in opened])
    if not ids:
        return
    page = _ready(browser, address)
    _say("another trace", [page.evaluate(SWITCH, f"#trace={one}") for one in ids[:-1]])
    longest = []
    for _ in range(repeat):
        longest.append(page.evaluate(SWITCH, f"#trace={ids[-1]}&s=10000"))
        page.evaluate(SWITCH, f"#trace={ids[0]}")
    _say("the longest trace", longest)
    page.close()


def _ready(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(f"({WATCH})()")
    page.goto(address)
    page.wait_for_selector("html[data-ready=all]", state="attached", timeout=120_000)
    page.wait_for_timeout(500)
    return page


def _opened(browser: Browser, address: str) -> tuple[float, float]:
    page = _ready(browser, address)
    found = page.evaluate("[window.ready_first, window.ready_all]")
    page.close()
    return found[0] or found[1], found[1]


def _say(what: str, milliseconds: list[float]) -> None:
    middle, most = statistics.median(milliseconds), max(milliseconds)
    print(f"{what:<20} {middle:7.0f} ms, at most {most:.0f} ms (n = {len(milliseconds)})")


if __name__ == "__main__":
    main()
