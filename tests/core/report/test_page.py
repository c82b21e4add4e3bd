"""The page as a file: its bytes, its policy, and what it must not hold."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from rdpt_core.report import encoding
from rdpt_core.report.bundle import Bundle
from rdpt_core.report.page import SCRIPTS, write_page
from tests.core.report.example_bundles import example_bundle, without_traces


class Elements(HTMLParser):
    """Every start tag with its attributes, and the content of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.content: list[str] = []
        self.is_open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.content.append("")

        self.is_open = True

    def handle_endtag(self, tag: str) -> None:
        self.is_open = False

    def handle_data(self, data: str) -> None:
        if self.is_open:
            self.content[-1] += data

    def contents(self, tag: str) -> list[str]:
        return [text for (one, _), text in zip(self.found, self.content, strict=True) if one == tag]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return example_bundle()


@pytest.fixture(scope="module")
def elements(bundle: Bundle) -> Elements:
    return Elements(write_page(bundle))


def small(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoding.encoded(bundle).small)
    return found


def decoded_columns(bundle: Bundle) -> dict[str, Any]:
    """As the page reads them: one buffer, cut by type and size."""
    data = encoding.encoded(bundle)
    buffer = gzip.decompress(base64.b64decode(data.columns))
    columns, at = {}, 0
    for name, kind, size in json.loads(data.small)["columns"]:
        columns[name] = np.frombuffer(buffer, np.dtype(kind).newbyteorder("<"), size, at)
        at += columns[name].nbytes
    assert at == len(buffer)
    return columns


def test_the_same_bundle_gives_the_same_bytes() -> None:
    assert write_page(example_bundle()) == write_page(example_bundle())


@pytest.mark.fault("X4")
def test_the_policy_admits_this_script_and_this_style_alone(elements: Elements) -> None:
    policy = next(
        attributes["content"] or ""
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    scripts = [
        text
        for (tag, attributes), text in zip(elements.found, elements.content, strict=True)
        if tag == "script" and "type" not in attributes
    ]
    (script,), (style,) = scripts, elements.contents("style")
    for name, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy


@pytest.mark.fault("X4")
def test_x4_a_name_is_text(bundle: Bundle) -> None:
    name = '</title><script>alert(1)</script><img src=x onerror="alert(2)">'
    found = Elements(write_page(dataclasses.replace(bundle, experiment=name))).found
    assert found == Elements(write_page(bundle)).found


@pytest.mark.fault("X4")
def test_nothing_is_loaded_and_nothing_is_styled_or_handled_inline(elements: Elements) -> None:
    for tag, attributes in elements.found:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
        target = attributes.get("src") or attributes.get("href") or "#"
        assert target.startswith("#") or target == "data:,", (tag, target)
    for content in (*elements.contents("style"), *elements.contents("script")):
        assert "url(" not in content.replace("url(#${pattern})", "")
        assert "import(" not in content
        assert "@import" not in content


@pytest.mark.fault("X4")
def test_scripts_make_elements_of_no_text() -> None:
    from rdpt_core.report import page

    for name in SCRIPTS:
        source = page._file(name)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source
        )
        assert "</script" not in source
        assert "<!--" not in source


def test_every_script_of_the_folder_is_used() -> None:
    from importlib.resources import files

    folder = files("rdpt_core.report").joinpath("page")
    assert {one.name for one in folder.iterdir() if one.name.endswith(".js")} == set(SCRIPTS)


def test_columns_come_back(bundle: Bundle) -> None:
    columns = decoded_columns(bundle)
    traces, sentences = bundle.traces, bundle.sentences
    np.testing.assert_array_equal(columns["outcome"], traces.outcome)
    np.testing.assert_array_equal(columns["label"], sentences.label)
    np.testing.assert_array_equal(columns["p"], sentences.p.reshape(-1))
    np.testing.assert_array_equal(columns["margin"], sentences.margin)
    np.testing.assert_array_equal(np.cumsum(columns["num_bytes"]), traces.first_byte[1:])
    np.testing.assert_array_equal(np.cumsum(columns["num_sentences"]), traces.first_sentence[1:])


def test_places_of_sentences_come_back_with_gaps_between_them(bundle: Bundle) -> None:
    sentences = dataclasses.replace(bundle.sentences, start=bundle.sentences.start + 1)
    columns = decoded_columns(dataclasses.replace(bundle, sentences=sentences))
    starts, stops = [], []
    first = bundle.traces.first_sentence
    for a, b in itertools.pairwise(first):
        at = 0
        for gap, length in zip(columns["gap"][a:b], columns["length"][a:b], strict=True):
            starts.append(at + int(gap))
            at = starts[-1] + int(length)
            stops.append(at)
    assert starts == sentences.start.tolist()
    assert stops == sentences.stop.tolist()


def test_texts_come_back_in_blocks_that_begin_with_a_trace(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 1500)
    data = encoding.encoded(bundle)
    texts = [gzip.decompress(base64.b64decode(block)) for block in data.blocks]
    starts = json.loads(data.small)["blocks"]
    assert b"".join(texts) == bundle.text
    assert len(texts) > 3
    assert max(map(len, texts)) <= 1500
    assert set(starts) <= set(bundle.traces.first_byte.tolist())
    assert starts == [sum(map(len, texts[:k])) for k in range(len(texts))]


def test_a_trace_longer_than_a_block_is_one_of_its_own(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 10)
    assert len(encoding.encoded(bundle).blocks) == len(bundle.traces.trace_id)


def test_a_report_without_traces_is_a_page(bundle: Bundle) -> None:
    empty = without_traces(bundle)
    assert encoding.encoded(empty).blocks == []
    assert "<h1>" in write_page(empty)


@pytest.mark.fault("X4")
def test_json_cannot_end_its_element() -> None:
    text = encoding.as_json({"</script><!--": "a & b \u2028\u2029 </SCRIPT>"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script><!--": "a & b \u2028\u2029 </SCRIPT>"}


@pytest.mark.fault("F31")
def test_json_replaces_half_a_surrogate_pair_and_what_is_no_number() -> None:
    found = json.loads(
        encoding.as_json(["a\ud800b", "\U0001f600", float("nan"), float("inf"), 0.1])
    )
    assert found == ["a�b", "\U0001f600", None, None, 0.1]


def test_numbers_are_the_same_to_the_last_bit(bundle: Bundle) -> None:
    number = small(bundle)["configurations"][1]["results"]["pocket-bench"]["accuracy"]
    expected = bundle.configurations[1].results["pocket-bench"]["accuracy"]
    assert number == dataclasses.asdict(expected)
