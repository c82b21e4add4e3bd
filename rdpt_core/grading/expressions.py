r"""One spelling for expressions: Unicode, Markdown and plain text become the LaTeX that math-verify
reads, and plain numbers are compared exactly."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

_SYMBOLS = {
    "−": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "÷": "/",
    "∞": r"\infty ",
    "π": r"\pi ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "±": r"\pm ",
    "°": r"^\circ ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "√": "sqrt",
    "½": r"\frac{1}{2}",
    "⁰": "^0",
    "¹": "^1",
    "²": "^2",
    "³": "^3",
    "⁴": "^4",
    "⁵": "^5",
    "⁶": "^6",
    "⁷": "^7",
    "⁸": "^8",
    "⁹": "^9",
}
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# `2**3` is a power; around words and numbers two asterisks are bold type.
_MARKDOWN = re.compile(r"\*\*(?![\w(])|(?<![\w)])\*\*|`")
_SQUARE_UNIT = re.compile(r"(?<=\d)[a-z]{1,3}[²³]")
_RIGHT = r"(?= ?(?:\$|\(|\\[a-z]|-?\.?\d|[b-zB-HJ-Z]\b))"


def _behind(word: str) -> str:
    """A word behind a number or a letter; it comes first in the pattern, which is searched fast."""
    return rf" {word}(?:(?<=[\d)}}%] {word})|(?<=\b[a-zA-Z] {word}))"


# Operators that are spelled out beside a number: `minus 5` is not 5.
_SPELLED = (
    (re.compile(_behind("plus") + _RIGHT), " +"),
    (re.compile(_behind("minus") + _RIGHT), " -"),
    (re.compile(r"\b(?:[Mm]inus|[Nn]egative) (?=\$?\.?\d)"), "-"),
    (re.compile(_behind("times") + _RIGHT), r" \\times"),
    (re.compile(_behind("multiplied by") + _RIGHT), r" \\times"),
    (re.compile(_behind("divided by") + _RIGHT), "/"),
    (re.compile(_behind("squared") + r"\b"), "^2"),
    (re.compile(_behind("cubed") + r"\b"), "^3"),
    (re.compile(r" factorial(?<=\d factorial)\b"), "! "),
    (re.compile(r"square root of \$?(\d{1,30})(?![\d.,])\$?"), r"\\sqrt{\1}"),
    (re.compile(r" – (?<=\d – )(?=[\d$(\\])"), " - "),
    (re.compile(r" : (?<=\d : )(?=\d)"), ":"),
)
_IS = r" (?:is|equals) "
_ASSIGNED = rf"\$?\b(?<!['\\])[A-Za-z]\$?{_IS}\$?-?\d(?:[\d./]{{0,20}}\d)?\$?"
_ASSIGNMENTS = re.compile(rf"{_ASSIGNED}(?:(?:,|;|,? and) {_ASSIGNED}){{1,20}}")


def plain(text: str) -> str:
    """The text in ASCII mathematics, without Markdown's bold type; letters stay as they are."""
    text = _MARKDOWN.sub("", text)
    for pattern, operator in _SPELLED:
        text = pattern.sub(operator, text)
    # `x is 3, y is 4` is a pair
    text = _ASSIGNMENTS.sub(lambda match: re.sub(_IS, " = ", match.group()), text)
    if text.isascii():
        return text
    return _NOT_ASCII.sub(lambda match: _symbol(match.group()), _SQUARE_UNIT.sub(" ", text))


@lru_cache(4096)
def _symbol(char: str) -> str:
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= char <= "\uff5e":  # full-width forms of ASCII
        return chr(ord(char) - 0xFEE0)
    return " " if unicodedata.category(char) == "Sc" else char  # a currency


_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]|\\?\$")
_EDGES = re.compile(r"^(?:\\[,;:! ~]|[=*/^_,;:~\s])+|(?:(?<!\.)\.|\\[,;:! ~]|[-+=*/^_,;:(<~\s])+$")
_REWRITTEN = (
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^(-?\d{2,})"), r"^{\1}"),  # in TeX, 2^70 is 2^7 times 0
    (re.compile(r"(?<![\\a-z])sqrt\s*(?:\(([^()]*)\)|(\d+|[a-z]))"), r"\\sqrt{\1\2}"),
    (re.compile(r"(?<![\\a-zA-Z])pi(?![a-zA-Z])"), r"\\pi "),
    (re.compile(r"\\math(?:rm|it)\{([a-z])\}"), r"\1"),
    (re.compile(r"^\]([^\[\]]+)([\[\]])$"), r"(\1\2"),  # the interval ]0, 1[
    (re.compile(r"^([(\[][^\[\]()]+)\[$"), r"\1)"),
)


def clean(expression: str) -> str:
    """The expression without delimiters, currency and what stands around it, in LaTeX."""
    text = _EDGES.sub("", _DELIMITER.sub("", expression))
    for pattern, replacement in _REWRITTEN:
        text = pattern.sub(replacement, text)
    return _balanced(text).strip()


def _balanced(text: str) -> str:
    """Without one parenthesis too many at either end, as of `(so 5)`."""
    surplus = len(re.findall(r"[(\[]", text)) - len(re.findall(r"[)\]]", text))
    if surplus > 0 and text[0] in "([":
        return text[1:]
    return text[:-1] if surplus < 0 and text[-1] in ")]" else text


_NUMBER = re.compile(
    r"([-+]?)\s*(?:"
    r"(?P<grouped>[1-9]\d{0,2}(?:(?:,|\{,\}|,\\!|[ ])\d{3})+(?:\.\d+)?)"
    r"|(?P<comma>(?:0|\d{4,}),\d+)"  # 0,111 and 1000,99 hold no thousands
    r"|(?P<digits>\d+\.?\d*|\.\d+)(?:e(?P<exponent>[-+]?\d{1,3}))?"
    r")"
)
_TOLERANCE = Fraction(5, 10**7)


@lru_cache(512)
def number(expression: str) -> Fraction | None:
    """The exact value of a decimal number such as `1,234.5`, `.5` or `1e-05`; None for others."""
    match = _NUMBER.fullmatch(expression)
    if not match or len(expression) > 1_000:
        return None
    decimal = (match["comma"] or "").replace(",", ".")
    digits = decimal or re.sub(r"[^\d.]", "", match["grouped"] or match["digits"])
    value = Fraction(digits) * Fraction(10) ** int(match["exponent"] or 0)
    return -value if match[1] == "-" else value


def are_equal(a: Fraction, b: Fraction) -> bool:
    """Whole numbers exactly; others to six decimals, or to their size where that is below 1."""
    if a.denominator == b.denominator == 1:
        return a == b
    return abs(a - b) <= _TOLERANCE * min(Fraction(1), abs(a))


def latex_number(expression: str) -> str:
    """`1e-05` as the fraction that it is; any other expression as it stands."""
    value = number(expression) if "e" in expression else None
    return expression if value is None else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
