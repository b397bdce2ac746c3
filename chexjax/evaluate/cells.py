"""Numbers for people: a value with its interval under it in a table, beside it in a line."""

from __future__ import annotations

import math

from chexjax.evaluate.significance import Interval, number
from chexjax.page import Html, stacked

PER_CENT = "\u00a0%"


def parts(
    one: Interval, digits: int = 3, *, signed: bool = False, unit: str = ""
) -> tuple[str, str]:
    """Value with its unit, and the ends of its interval; these are empty where there is none."""
    span = one.span(digits, signed=signed) if math.isfinite(one.low) else ""
    return one.value(digits, signed=signed) + unit, span


def cell(one: Interval, digits: int = 3, *, signed: bool = False, unit: str = "") -> Html:
    """Both in a cell of a page."""
    return stacked(*parts(one, digits, signed=signed, unit=unit))


def share(one: Interval) -> Html:
    """A share with its interval, in per cent."""
    return cell(one.percent, 1, unit=PER_CENT)


def share_text(one: Interval) -> str:
    """The same in one line, in whole per cent: `62 % (55 to 70)`."""
    return one.percent.text(0, unit=PER_CENT)


def per_cent(share: float, digits: int = 1) -> str:
    """A share by itself."""
    return number(100 * share, digits) + PER_CENT
