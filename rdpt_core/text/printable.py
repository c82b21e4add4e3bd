"""Untrusted text for people: nothing in it moves a cursor or reorders characters."""

from __future__ import annotations

import unicodedata

HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode categories that are shown as escapes: controls, bidirectional marks, line separators."""


def printable(text: str) -> str:
    """Text without a character that a terminal would act on: those become escapes (`\\x1b`)."""
    return "".join(
        _escaped(c) if unicodedata.category(c) in HIDDEN else c for c in text.replace("\t", "    ")
    )


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
