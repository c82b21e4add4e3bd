r"""Quantities of several numbers: durations, dates, ranges, shares.

`3 hours 20 minutes` is neither 3 nor 20, and no expression either: it is one answer as a whole, and
equals another one only in the same words.
"""

from __future__ import annotations

import re

_N = r"\d{1,12}(?:[.,]\d{1,12}){0,3}"
_V = rf"\$?{_N}\$?"
_FAMILIES = (
    r"years?|yrs?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|min|m|seconds?|secs?|s",
    r"miles?|yards?|yds?|feet|foot|ft|inch(?:es)?|in",
    r"kilomet(?:er|re)s?|km|met(?:er|re)s?|m|centimet(?:er|re)s?|cm|millimet(?:er|re)s?|mm",
    r"tons?|tonnes?|kilograms?|kilos?|kg|grams?|g|stones?|pounds?|lbs?|ounces?|oz",
    r"gallons?|quarts?|pints?|cups?|lit(?:er|re)s?|l|millilit(?:er|re)s?|ml",
    r"dollars?|euros?|pounds?|cents?|pence|quarters?|dimes?|nickels?|penn(?:y|ies)",
    r"degrees?|minutes?|seconds?",
)
_END = r"(?![A-Za-z])"
# `15 minutes, 42 minutes in all` are two quantities.
_UNITS = "|".join(
    rf"{_V} ?(?P<unit{number}>{units}){_END}"
    rf"(?:\.?,?(?: and)? ?{_V} ?(?!(?P=unit{number})s?{_END})(?:{units}){_END}){{1,6}}"
    for number, units in enumerate(_FAMILIES)
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATES = (
    rf"{_DAY}(?: of)? {_MONTH}(?:,? \d{{4}})?(?!\w)|{_MONTH} {_DAY}(?:,? \d{{4}})?(?!\w)"
    r"|[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?![-\d])"
)
_PARTS = (
    r"(?:hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?"
    r"|tenths?|hundredths?)"
)
_SHARES = (
    rf"{_V} and (?:an?|one|two|three|four) {_PARTS}{_END}|{_PARTS} of (?:the )?{_V}"
    rf"|{_V} (?:thirds|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths){_END}"
    rf"|{_V} out of (?:the )?{_V}|{_V}[ -]by[ -]{_V}"
)
_RANGES = rf"{_V} to {_V}|{_V}–{_V}(?! ?=)"
_FEET = r"\d{1,3}['′] ?\d{1,2}(?:\"|″|'')"
QUANTITY = rf"(?<![\w.])(?i:{_UNITS}|{_DATES}|{_SHARES}|{_RANGES}|{_FEET})"
"""Searched in linear time."""
ROUNDED = rf"(?i:\bround\w{{0,3}}(?: it)?(?: up| down| off)? {_V} (?=to \$?\d))"
"""Before a number that ends no range, as 42 of `round 41.7 to 42`."""

_QUANTITY = re.compile(QUANTITY)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]{0,200})\}|\\[ ,;:!]")
_SMALL = re.compile(r"\band\b|,(?!\d)|\bof\b|\bthe\b|(?<=[a-z]{2})s\b|(?<=\d)(?:st|nd|rd|th)\b|[$]")
_DASH = re.compile(r"(?<=\d) ?[-–] ?(?=\d)")


def is_quantity(expression: str) -> bool:
    """True if an expression is, or holds, a quantity of several numbers."""
    return bool(_QUANTITY.search(_bare(expression)))


def are_same(a: str, b: str) -> bool:
    """True if two quantities have the same words, small ones and plurals aside."""
    return _words(a) == _words(b)


def _bare(expression: str) -> str:
    return " ".join(_WRAPPED.sub(r" \1 ", expression).split())


def _words(expression: str) -> list[str]:
    text = _SMALL.sub(" ", _DASH.sub(" to ", _bare(expression).lower()))
    return re.findall(r"[a-z]+|[\d.,:]+|\S", text)
