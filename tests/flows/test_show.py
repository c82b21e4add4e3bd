"""`rdpt show`: a trace sentence by sentence, safe to look at, readable without colour."""

from __future__ import annotations

import re
from itertools import pairwise

import duckdb
import pytest

from flows import cli
from flows.catalogue import keep_noise, publish_catalogue
from flows.commands.show import colour_of
from flows.workspace import NOISE, Opened
from rdpt_core.report.figures import FILLS
from rdpt_core.report.terminal import Colour, Shown, legend, printable, trace_lines
from rdpt_core.store.catalog import NoiseRow
from rdpt_core.tables.rows import Label, Provenance, Sentence, Trace, ZoneKind
from tests.flows.recorded_requests import refused

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(text: str, label: Label | None, margin: float | None = 0.3) -> Shown:
    sentence = Sentence("t", 0, 0, len(text.encode()), ZoneKind.ANSWER)
    return Shown(
        sentence,
        text,
        Provenance("t", 0, label, None, margin, 0.91, None, 0.125, None if label else "too_long"),
    )


def lines(*sentences: Shown, width: int = 80, colour: Colour = Colour.NONE) -> list[str]:
    return list(trace_lines(sentences, width, colour))[1:]


# ---------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(("label", "letter"), list(zip(Label, "TS==+", strict=True)))
def test_a_label_is_a_letter_beside_its_colour(label: Label, letter: str) -> None:
    (plain,) = lines(shown("So it is 4.", label))
    (painted,) = lines(shown("So it is 4.", label), colour=Colour.TRUE)
    assert plain == f"  1 {letter}   0.910      -  0.125 So it is 4."
    red, green, blue = (int(FILLS[label][i : i + 2], 16) for i in (1, 3, 5))
    assert f"\x1b[48;2;{red};{green};{blue};38;2;26;26;26mSo it is 4.\x1b[0m" in painted
    assert ESCAPES.sub("", painted) == plain


def test_what_is_near_a_threshold_or_has_no_score_is_marked() -> None:
    near, far, missing = lines(
        shown("a", Label.TEACHER, 0.0099), shown("b", Label.TEACHER, 0.01), shown("c", None, None)
    )
    assert (near[4:6], far[4:6], missing[4:6]) == ("T~", "T ", "? ")
    assert all(mark in legend(Colour.NONE) for mark in "~?|+=")


def test_a_tag_has_no_number_and_no_label() -> None:
    tag = Shown(Sentence("t", 0, 0, 8, ZoneKind.TAG), "<think>\n", None)
    first, second = lines(tag, shown("Plan.", Label.STUDENT))
    assert first.split() == ["|", "<think>"]
    assert second.startswith("  1 S")


def test_long_sentences_are_wrapped_under_their_beginning() -> None:
    found = lines(shown("word " * 40, Label.TEACHER), width=70)
    assert len(found) > 3
    assert max(map(len, found)) <= 70
    assert all(line.startswith(" " * 28 + "word") for line in found[1:])


HOSTILE = {
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "a\rb\x00c\x9bd\x7f": r"a\x0db\x00c\x9bd\x7f",
    "\u202eevil\u2066\u200b": r"\u202eevil\u2066\u200b",
    "line\u2028para\u2029": r"line\u2028para\u2029",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("colour", Colour)
def test_no_character_of_a_text_acts_on_the_terminal(text: str, colour: Colour) -> None:
    assert printable(text) == HOSTILE[text]
    line = ESCAPES.sub("", "".join(lines(shown(f"<{text}>", Label.TEACHER), colour=colour)))
    assert line.endswith(f"<{HOSTILE[text]}>")
    assert line.isprintable()


def test_letters_of_every_script_stay() -> None:
    assert printable("Straße Ω 数学 ∑√ 😀 é") == "Straße Ω 数学 ∑√ 😀 é"


@pytest.mark.parametrize(
    ("environment", "terminal", "colour"),
    [
        ({"COLORTERM": "truecolor"}, True, Colour.TRUE),
        ({}, True, Colour.INDEXED),
        ({"COLORTERM": "truecolor"}, False, Colour.NONE),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, True, Colour.NONE),
        ({"COLORTERM": "truecolor", "NO_COLOR": ""}, True, Colour.TRUE),
        ({"TERM": "dumb"}, True, Colour.NONE),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], terminal: bool, colour: Colour
) -> None:
    assert colour_of(environment, terminal) is colour


def test_256_colours_tell_the_labels_apart() -> None:
    fills = {
        label: lines(shown("a", label), colour=Colour.INDEXED)[0]
        for label in (Label.TEACHER, Label.STUDENT, Label.SHARED, Label.BOOSTED)
    }
    codes = {re.findall(r"48;5;(\d+)", line)[0] for line in fills.values()}
    assert len(codes) == 4


# ---------------------------------------------------------------------------- the verb


def traces(study: Opened, side: str, name: str) -> list[Trace]:
    from tasks.plan import Plan
    from tasks.stage import Parts

    (configuration,) = [c for c in study.study.configurations() if c.name == name]
    call = configuration.find("traces", side)
    assert call is not None
    parts = Plan(study.store).table(call).parts
    return [trace for rows in Parts(study.store, Trace, parts) for trace in rows]


def test_a_prefix_finds_a_trace_with_its_probabilities(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces(study, "test:bench", "random")[0]
    assert cli.main(["show", trace.trace_id[:24]]) == 0
    out = capsys.readouterr().out
    assert f"trace    {trace.trace_id}" in out
    assert "of       random, test:bench" in out
    assert "How much is" in out
    assert re.search(r"^  1 [TS=+?]", out, re.MULTILINE)
    assert "\x1b" not in out


def test_measured_noise_marks_what_the_catalogue_calls_undetermined(
    study: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traces(study, "test:bench", "random")[0]

    def marked() -> int:
        assert cli.main(["show", trace.trace_id]) == 0
        return len(re.findall(r"^ +\d+ [TS=+]~", capsys.readouterr().out, re.MULTILINE))

    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        query = "SELECT max(margin), count(*) FROM provenance WHERE trace_id = ?"
        largest, number = sql.execute(query, [trace.trace_id]).fetchall()[0]
    assert number
    for p99, expected in ((largest, number), (0.0, 0)):
        rows = [NoiseRow(scorer, "x", None, p99, p99, None, 32) for scorer in scorers(study)]
        keep_noise(study, rows)
        publish_catalogue(study)
        assert marked() == expected
        with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
            query = "SELECT count(*) FILTER (undetermined) FROM provenance WHERE trace_id = ?"
            assert sql.execute(query, [trace.trace_id]).fetchall() == [(expected,)]
    (study.runtime.workspace / NOISE).unlink()
    publish_catalogue(study)


def scorers(study: Opened) -> list[str]:
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as sql:
        return [name for (name,) in sql.execute("SELECT scorer FROM scorers").fetchall()]


def test_arms_that_share_their_labels_need_no_choice(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both arms choose from the same traces of the teacher, which were labelled once."""
    trace = traces(study, "train", "random")[0]
    assert cli.main(["show", trace.trace_id, "study"]) == 0
    assert "train" in capsys.readouterr().out


def test_a_trace_that_nobody_labels_is_shown_without(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces(study, "test:bench", "teacher")[0]
    assert cli.main(["show", trace.trace_id]) == 0
    assert "no configuration labels its sentences" in capsys.readouterr().out


MISTAKES = {
    ("zzz",): "no trace begins with 'zzz'",
    ("",): "no trace begins with ''",
    ("zzz", "nothing.toml"): "there is no file 'nothing.toml'",
    ("zzz", "study", "--configuration", "randon"): "did you mean random?",
}


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_exits_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert MISTAKES[arguments] in refused(capsys, "show", *arguments)


def test_a_prefix_of_several_traces_lists_them(
    study: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(
        {
            t.trace_id
            for side, name in (("train", "random"), ("test:bench", "teacher"))
            for t in traces(study, side, name)
        }
    )
    crowded = next(a[0] for a, b in pairwise(names) if a[0] == b[0])
    said = refused(capsys, "show", crowded)
    assert f"traces begin with '{crowded}': give more of one" in said
    assert next(name for name in names if name[0] == crowded) in said
