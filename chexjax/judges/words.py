"""A report as the words that RadGraph was trained on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

Split = Literal["radgraph", "radgraph-xl"]
"""Whose words: those of the first RadGraph, or those of RadGraph-XL."""

# Its expression reads as if a hyphen were among them, but stands for a range from comma to comma.
_ALONE = re.compile(r"([/,:.!?()])")

_RUNS = re.compile(r"\w+|[^\w\s]+")
_ESCAPES = ("\\n", "\\f", "\\u2122")
"""Written out in the reports that RadGraph-XL was trained on: backslash and letters."""
_TAKEN_APART = ((").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )"))


def _first(report: str) -> list[str]:
    """Words between blanks, some punctuation marks being words of their own."""
    return _ALONE.sub(r" \1 ", report).split()


def _xl(report: str) -> list[str]:
    """Runs of letters and digits, and runs of anything else, of which a few are taken apart."""
    for escape in _ESCAPES:
        report = report.replace(escape, " ")
    text = " ".join(_RUNS.findall(report.replace('\\"', "``")))
    for run, apart in _TAKEN_APART:
        text = text.replace(run, apart)
    return text.split()


SPLITS: Mapping[Split, Callable[[str], list[str]]] = {"radgraph": _first, "radgraph-xl": _xl}
"""Report -> words, by whose words they are."""


def as_read(word: str) -> str:
    """What the model reads in place of a word."""
    return word[1:] if word in ("/.", "/?") else word
