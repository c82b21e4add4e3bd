"""How the classes look: letter, fill, line colour and line style say the same, never colour alone.

The fills were searched for the largest smallest distance in OKLab between any two classes, for
normal sight and for each deficiency of colour vision. Keys are the values of `Label`, so that this
file imports no library.
"""

from __future__ import annotations

from typing import Literal

LineStyle = Literal["-", "--", ":", "-."]
"""In matplotlib's spelling."""

LETTERS = {"teacher": "T", "student": "S", "common": "=", "shared": "=", "boosted": "+"}
STYLES: dict[str, LineStyle] = {
    "teacher": "-",
    "student": "--",
    "common": ":",
    "shared": ":",
    "boosted": "-.",
}

FILLS = {
    "teacher": "#97C2FC",
    "student": "#FCD64D",
    "common": "#F3F3F3",
    "shared": "#F3F3F3",
    "boosted": "#DC96B7",
}
LINES = {
    "teacher": "#0B57A4",
    "student": "#9A5B00",
    "common": "#555555",
    "shared": "#555555",
    "boosted": "#8A2A5E",
}
TEXT, GROUND = "#1A1A1A", "#FFFFFF"

DARK_FILLS = {
    "teacher": "#083486",
    "student": "#774B0D",
    "common": "#262626",
    "shared": "#262626",
    "boosted": "#9C4DAB",
}
DARK_LINES = {
    "teacher": "#8AB8FF",
    "student": "#FFC766",
    "common": "#BDBDBD",
    "shared": "#BDBDBD",
    "boosted": "#EE9FF0",
}
DARK_TEXT = "#F2F2F2"

ROLES = ("teacher", "student", "distilled")
"""Models, in the order of a sentence's three probabilities."""
ROLE_LINES = {"teacher": "#0072B2", "student": "#D55E00", "distilled": "#000000"}
ROLE_STYLES: dict[str, LineStyle] = {"teacher": "-", "student": "--", "distilled": ":"}
