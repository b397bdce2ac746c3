"""Held-out studies to look at: image, reference and reports, with the judge's marks in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chexjax.data.study import Study
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.picture import picture
from chexjax.evaluate.significance import number
from chexjax.judges.base import Judgement
from chexjax.page import Html, join, tag

ERRORS = {
    "a": "false finding",
    "b": "missing finding",
    "c": "wrong location",
    "d": "wrong severity",
    "e": "comparison that the reference does not make",
    "f": "missing comparison",
}
"""The six categories of the GREEN judge, which the phantom oracle shares."""

_SMALL = "insignificant-"


@dataclasses.dataclass(frozen=True)
class Pick:
    """A study of the gallery: its number, why it was picked, and test score - baseline score."""

    study: int
    reason: str
    gain: float


def choose(evaluation: Evaluation, count: int = 12) -> list[Pick]:
    """Studies by rule: a third largest gains, a third largest losses, the rest in between.

    Only real gains and losses count as such. The rest is spread evenly over the ranks of the
    studies that are left, so that what is usual comes up as often as it is.
    """
    gains = evaluation.test.columns["score"] - evaluation.baseline.columns["score"]
    order = [int(k) for k in np.argsort(-gains, kind="stable")]
    count = min(count, len(order))
    up = [k for k in order if gains[k] > 0][: count // 3]
    down = [k for k in reversed(order) if gains[k] < 0][: count // 3]
    rest = [k for k in order if k not in {*up, *down}]
    left = count - len(up) - len(down)
    between = [rest[int((k + 0.5) * len(rest) / left)] for k in range(left)]
    groups = (("large gain", up), ("large loss", down), ("in between", between))
    return [Pick(k, reason, float(gains[k])) for reason, group in groups for k in group]


RULE = (
    "Chosen by rule: a third are the studies where the score rose most, a third those where it "
    "fell most (fewer where fewer did), the others stand at even steps through the ranks between. "
    "Pages are handed on, so studies have numbers here: their rows in report.json, which has the "
    "ids."
)
"""What `choose` does, in the words of the page."""


def gallery(evaluation: Evaluation, study: Callable[[int], Study], count: int = 12) -> Html:
    """The cards of the chosen studies under a key to the marks.

    Args:
      evaluation: The numbers.
      study: Gives a study with its images by its number; only the chosen ones are asked for.
      count: How many.
    """
    cards = [_card(evaluation, study(pick.study), pick) for pick in choose(evaluation, count)]
    return join([_key(), *cards])


def _card(evaluation: Evaluation, study: Study, pick: Pick) -> Html:
    views = zip(study.images[:2], study.views[:2], strict=True)
    systems = [evaluation.baseline, *evaluation.systems[1:][-1:]]
    head = tag(
        "header",
        tag("h3", f"Study {pick.study}"),
        tag("span", pick.reason, class_="chip"),
        tag("span", f"score {number(pick.gain, 2, signed=True)}", class_="change"),
    )
    asked = [tag("p", tag("b", "Indication"), " ", study.indication)] if study.indication else []
    left = tag("div", *(picture(data, view) for data, view in views), *asked, class_="views")
    reference = _report("Reference", "", tag("p", study.findings))
    reports = [_judged(system, pick.study) for system in systems]
    body = tag("div", left, tag("div", reference, *reports, class_="reports"), class_="body")
    return tag("article", head, body, class_="study")


def _judged(system: SystemResult, study: int) -> Html:
    report, judgement = system.reports[study], system.judgements[study]
    wrong = [item for item in _items(judgement) if _rank(item["category"])]
    parts = [tag("p", marked(report, judgement)) if report.strip() else tag("p", tag("i", "empty"))]
    if wrong:
        lines = (
            tag("li", _letter(item["category"]), item["text"], class_=_kind(item["category"]))
            for item in wrong
        )
        parts.append(tag("ul", *lines, class_="errors"))
    return _report(system.name, f"{judgement.score:.2f}", *parts)


def _report(name: str, score: str, *parts: Html) -> Html:
    return tag("div", tag("h4", name, *([tag("span", score)] if score else [])), *parts)


def marked(report: str, judgement: Judgement) -> Html:
    """The report with each span of `judgement.details["items"]` marked by its category.

    Where spans overlap, an error hides a match and a significant error an insignificant one.
    """
    items = sorted(
        (item for item in _items(judgement) if item["span"] is not None),
        key=lambda item: _rank(item["category"]),
    )
    owner: list[Mapping[str, Any] | None] = [None] * len(report)
    for item in items:
        start, end = item["span"]
        owner[start:end] = [item] * len(owner[start:end])
    return join(
        _mark(report[start:end], owner[start]) for start, end in _runs([id(one) for one in owner])
    )


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch of equal neighbours."""
    edges = [k for k in range(1, len(values)) if values[k] != values[k - 1]]
    return zip([0, *edges] if values else [], [*edges, len(values)], strict=False)


def _mark(text: str, item: Mapping[str, Any] | None) -> Html:
    if item is None:
        return join([text])
    category = str(item["category"])
    said = f"{_name(category)}: {item['text']}"
    return tag("mark", text, _letter(category), class_=_kind(category), title=said)


def _letter(category: str) -> Html:
    letter = category.removeprefix(_SMALL)
    return tag("sup", letter) if letter in ERRORS else Html("")


def _name(category: str) -> str:
    name = ERRORS.get(category.removeprefix(_SMALL), category)
    return f"{name}, of no clinical weight" if category.startswith(_SMALL) else name


def _kind(category: str) -> str:
    return ("match", "small", "wrong")[_rank(category)]


def _rank(category: str) -> int:
    """0 for a match, 1 for an insignificant error, 2 for a significant one."""
    return 0 if category == "matched" else 1 if category.startswith(_SMALL) else 2


def _items(judgement: Judgement) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = judgement.details.get("items", ())
    return items


def _key() -> Html:
    samples = [
        tag("mark", "agrees with the reference", class_="match"),
        tag("mark", "error", class_="wrong"),
        tag("mark", "error of no clinical weight", class_="small"),
    ]
    letters = (tag("span", tag("sup", letter), " ", name) for letter, name in ERRORS.items())
    return tag("p", *samples, *letters, class_="key")


STYLE = """
.key{display:flex;flex-wrap:wrap;gap:.4rem 1.3rem;font-size:.85rem;color:var(--muted)}
mark{background:none;color:inherit;text-decoration:underline;text-decoration-thickness:1px;
  text-underline-offset:.25em;text-decoration-color:var(--accent)}
mark.wrong{background:var(--wrong-wash);text-decoration:none;border-radius:.2rem;
  padding:.05rem .2rem;box-decoration-break:clone;-webkit-box-decoration-break:clone}
mark.small{text-decoration-style:dotted;text-decoration-thickness:2px;
  text-decoration-color:var(--doubt)}
sup{font-size:.7em;font-weight:700;line-height:0;color:var(--wrong);margin-left:.15em}
.small sup{color:var(--doubt)}
.study{border-top:1px solid var(--rule);padding:1.5rem 0 1.8rem}
.study header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.3rem .9rem;margin:0 0 1rem}
.study h3{font-variant-numeric:tabular-nums}
.chip{font-size:.8rem;color:var(--muted)}
.change{font-size:.88rem;margin-left:auto;font-variant-numeric:tabular-nums}
.body{display:grid;grid-template-columns:14rem 1fr;gap:1.2rem 2rem;align-items:start}
.views{display:grid;grid-template-columns:1fr 1fr;gap:.5rem .8rem;align-items:start}
.views img:first-child,.views img:only-of-type~p{grid-column:1/-1}
.views img{display:block;width:100%;background:#000;border-radius:.25rem}
.views p{font-size:.85rem;color:var(--muted);line-height:1.45;margin:0}
.views b{font-weight:600}
.reports{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:1.2rem 1.8rem}
.reports h4{display:flex;justify-content:space-between;font-size:.8rem;font-weight:600;
  color:var(--muted);margin:0 0 .5rem;padding-bottom:.3rem;border-bottom:1px solid var(--rule)}
.reports h4 span{font-variant-numeric:tabular-nums;color:var(--ink)}
.reports p{font-size:.92rem;line-height:1.65;margin:0 0 .6rem;overflow-wrap:break-word}
.errors{list-style:none;margin:.8rem 0 0;padding:0;font-size:.82rem;line-height:1.5;
  color:var(--muted)}
.errors li{padding-left:.9rem;text-indent:-.9rem}
.errors sup{display:inline-block;width:.9rem;margin:0;text-indent:0;font-size:.75em}
@media (max-width:62rem){.reports{grid-template-columns:1fr}}
@media (max-width:40rem){.body{grid-template-columns:1fr}
  .views img:first-child,.views img:only-of-type~p{grid-column:auto}
  .views img~img~p{grid-column:1/-1}}
"""
"""What the cards add to the look of the page."""
