"""What reaches a terminal: untrusted text unchanged, colours where they are wanted."""

from __future__ import annotations

import io
import random

import pytest
from rich.text import Text

from rdpt_core.report.terminal import Terminal


class Screen(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(text: Text | str, file: io.StringIO) -> str:
    Terminal(file=file).print(text)
    return file.getvalue()


@pytest.mark.parametrize("text", ["[red]so[/red]", ":smile: [/] [link=x]", "3 'a' http://x [1]"])
def test_markup_in_a_text_is_shown_literally(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert printed(text, Screen()) == f"{text}\n"


@pytest.mark.parametrize(
    ("environment", "terminal", "code"),
    [
        ({"COLORTERM": "truecolor"}, True, "48;2;"),
        ({"TERM": "xterm-256color"}, True, "48;5;"),
        ({"COLORTERM": "truecolor"}, False, ""),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, True, ""),
        ({"COLORTERM": "truecolor", "NO_COLOR": ""}, True, "48;2;"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, True, ""),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], terminal: bool, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM", "COLORTERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    style = f"on #{random.randrange(0x800000, 0x900000):06x}"  # rich remembers codes of a style
    shown = printed(Text("a", style), Screen() if terminal else io.StringIO())
    assert code in shown
    assert (shown == "a\n") == (not code)


def test_a_pipe_gets_lines_of_any_length_unbroken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    line = "a line of many words " * 20 + "."
    assert printed(Text(line), io.StringIO()) == f"{line}\n"


def test_a_closed_pipe_is_left_to_the_caller() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        printed("a", Closed())
