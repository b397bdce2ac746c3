"""Cells of tables: a value with its interval under it."""

from __future__ import annotations

from chexjax.evaluate.significance import Interval, number
from chexjax.page import Html, tag


def cell(one: Interval, digits: int = 3, *, signed: bool = False, unit: str = "") -> Html:
    """A value with the ends of its interval; `unit` stands behind the value alone."""
    value = one.value(digits, signed=signed) + unit
    return tag("span", value, tag("small", one.span(digits, signed=signed)))


def share(one: Interval) -> Html:
    """A share in per cent."""
    ends = f"{number(100 * one.low, 1)} to {number(100 * one.high, 1)}"
    return tag("span", f"{number(100 * one.mean, 1)} %", tag("small", ends))
