"""Claims and what runs say to them: for a page, a terminal, and as Markdown for a document."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from chexjax.evaluate.cells import cell
from chexjax.evaluate.claims import Answer, Scale
from chexjax.evaluate.significance import Interval, chance, number
from chexjax.page import Html, folded, join, stacked, tag
from chexjax.page import table as html_table

LEAD = (
    "Written down in the config before any run was made: what is expected of the difference, and "
    "the smallest one that matters. Seen: the 95 % interval lies wholly on the side that was "
    "claimed, or for \u201csame\u201d within that size of zero. Not seen: it leaves no room for a "
    "difference of that size there, or for \u201csame\u201d lies beyond it. Else these runs "
    "can\u2019t tell."
)

PICTURE = (
    "Differences in units of the smallest that matters, whose band is shaded, with 95 % intervals; "
    "what was claimed lies to the right, and for \u201csame\u201d within the band. Drawn to four "
    "such units."
)

_NOTE = (
    "Policies are compared study by study, on the same studies. Could show: half the "
    "interval\u2019s width, the smallest difference that runs with this spread tell from none. "
    "p by Holm: of the claim, adjusted for the number of claims."
)

LEVELS_LEAD = (
    "Means over the repetitions, with 95 % intervals of Student\u2019s t, or of bootstrap draws of "
    "the studies where nothing was repeated; they say less of differences between policies than "
    "the claims above, which pair them."
)

_HEADINGS = ("Claim", "Answer", "Difference", "Claimed", "Could show", "p by Holm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Levels:
    """Measures of all policies of a sweep.

    Attributes:
      scales: How each measure is told.
      policies: Policy -> its measures; NaN where it has none.
    """

    scales: Mapping[str, Scale]
    policies: Mapping[str, Mapping[str, Interval]]


def section(answers: Sequence[Answer]) -> Html:
    """The count of answers, the table, and what each repetition said, folded."""
    rows = [
        [stacked(one.claim.name, _compared(one)), _strong(one.verdict), *_numbers(one, cell)]
        for one in answers
    ]
    each = [[one.claim.name, _means(one), _each(one), one.spread] for one in answers]
    return join(
        [
            tag("p", tag("strong", headline(answers))),
            html_table(_HEADINGS, rows),
            tag("p", _NOTE, class_="note"),
            folded("Each repetition", html_table(_EACH_HEADINGS, each)),
        ]
    )


_EACH_HEADINGS = ("Claim", "Means", "Differences", "Interval from")


def headline(answers: Sequence[Answer]) -> str:
    """How many claims were seen, and how many not: `12 claims: 7 seen, ...`."""
    count = collections.Counter(one.verdict for one in answers)
    told = ", ".join(f"{count[answer]} {answer}" for answer in ("seen", "not seen", "can't tell"))
    return f"{len(answers)} claims: {told}"


def levels_section(levels: Levels) -> Html:
    """A table, a line a policy."""
    return html_table(*_levels(levels, cell))


def markdown(answers: Sequence[Answer], levels: Levels) -> str:
    """The same as Markdown tables."""
    rows = [
        [one.claim.name, one.verdict, *_numbers(one, Interval.text), _compared(one)]
        for one in answers
    ]
    each = [[one.claim.name, _means(one), _each(one), one.spread] for one in answers]
    parts = [
        headline(answers),
        _table((*_HEADINGS, "Of"), rows),
        _NOTE,
        _table(_EACH_HEADINGS, each),
    ]
    if levels.scales:
        parts += [LEVELS_LEAD, _table(*_levels(levels, Interval.text))]
    return "\n\n".join(parts) + "\n"


def show(answers: Sequence[Answer], console: Console) -> None:
    """The table, in a terminal."""
    table = Table(*_HEADINGS, title=headline(answers))
    for one in answers:
        table.add_row(one.claim.name, one.verdict, *_numbers(one, Interval.text))
    console.print(table)


def _numbers(one: Answer, form: Callable[..., str]) -> list[str]:
    """What stands behind a claim's answer."""
    digits, claim = one.scale.digits, one.claim
    return [
        form(one.difference, digits),
        f"{claim.expect}, {claim.margin:g} {one.scale.unit}",
        number(one.could_show, digits),
        chance(one.holm),
    ]


def _compared(one: Answer) -> str:
    return f"{one.claim.of} \u2212 {one.claim.minus}, {one.claim.measure}"


def _means(one: Answer) -> str:
    return f"{number(one.of, one.scale.digits)} against {number(one.minus, one.scale.digits)}"


def _each(one: Answer) -> str:
    told = (number(gap, one.scale.digits, signed=True) for gap in one.each)
    return f"{', '.join(told)} ({_counted(one.studies)})"


def _counted(studies: Sequence[int]) -> str:
    counts = dict.fromkeys(studies)
    return f"{', '.join(f'{count:,}' for count in counts)} studies"


def _strong(answer: str) -> Html:
    return tag("strong", answer) if answer == "seen" else tag("span", answer)


def _levels(levels: Levels, form: Callable[..., str]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows."""
    headings = ["Policy", *(f"{name} ({scale.unit})" for name, scale in levels.scales.items())]
    rows = [
        [policy, *(_level(found[name], scale, form) for name, scale in levels.scales.items())]
        for policy, found in levels.policies.items()
    ]
    return headings, rows


def _level(one: Interval, scale: Scale, form: Callable[..., str]) -> str:
    return form(one, scale.digits) if math.isfinite(one.low) else one.value(scale.digits)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
