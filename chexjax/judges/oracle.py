"""The phantom's own judge: GREEN's counts, exact because the phantom's reports can be read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from chexjax.data import findings
from chexjax.data.findings import LUNG_KINDS, SEVERITIES, Finding
from chexjax.data.lexicon import Span
from chexjax.data.reading import Affirmed, Denied, Reading, read
from chexjax.judges.answer import CATEGORIES, INSIGNIFICANT, MATCHED, judgement
from chexjax.judges.base import Judgement, check_pairs

Said = TypeVar("Said")


@dataclasses.dataclass(frozen=True)
class PhantomOracle:
    """Counts matched findings and errors as the GREEN judge does, by rule instead of by model.

    score = matched / (matched + significant errors), and 0 when nothing matches: in [0, 1].

    A finding that the reference states as present:
      - present in the candidate, same side and zone, same severity: matched;
      - severity one grade off, or not given: matched, and an insignificant (d);
      - severity two grades off: significant (d), not matched;
      - another side or zone, or no side given: significant (c), not matched, severity not looked
        at; zone not given: an insignificant (c) beside the match;
      - absent in the candidate or not spoken of: significant (b).
    What the reference leaves open can't be wrong.

    A finding that the candidate states as present:
      - that the reference denies or is silent on: significant (a);
      - that contradicts what the candidate itself said before: significant (a), whatever the
        reference says, so hedging does not pay. The earlier statement is the one compared.

    A statement of absence in the reference ("the lungs are clear", "no effusion or
    pneumothorax") counts as one match if the candidate denies any of the kinds that it rules out
    and affirms none of them. If the candidate says nothing on them: neither match nor error. A
    denial on which the reference is silent: neither.

    A comparison with a prior study:
      - same change in both: matched;
      - in the candidate only, or another change than the reference's: significant (e);
      - in the reference, while the candidate compares nothing: significant (f) if it is a change
        for the worse or better, insignificant (f) if nothing changed.

    Text that says nothing readable is neither match nor error, and what is repeated counts once.
    """

    name: str = "oracle"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement per pair.

        `details` has `matched`, `significant` and `insignificant` (counts by category), and
        `items`: `category` ("matched", "a".."f", or "insignificant-c"/"-d"/"-f"), a `text` that
        says what, and the `span` of characters in the candidate, None for what is missing there.

        Raises:
          ValueError: lengths differ, or a reference is empty.
        """
        check_pairs(references, candidates)
        read_references = {text: read(text) for text in set(references)}
        pairs = zip(references, candidates, strict=True)
        return [count(_points(read_references[r], read(c))) for r, c in pairs]


def labels(report: str) -> dict[str, int]:
    """The 14 CheXbert labels (1 present, 0 absent) that a report states; see `findings.labels`."""
    return findings.labels(f.kind for f in read(report).findings)


@dataclasses.dataclass(frozen=True)
class Point:
    """One statement of a report, and what comes of it when the two are compared.

    Attributes:
      statement: What is said, in the fewest words.
      items: What it counts as, in the form of a judgement's `items`; empty where it does not.
    """

    statement: str
    items: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Points:
    """A candidate beside its reference, statement by statement.

    Attributes:
      candidate: All that the candidate states, in its order.
      reference: All that the reference states, in its order, with what the candidate makes of it.
      beyond: What of the candidate's statements is an error of its own, in its order.
    """

    candidate: Sequence[str]
    reference: Sequence[Point]
    beyond: Sequence[Point]


def compare(reference: str, candidate: str) -> Points:
    """Compares two reports as `PhantomOracle` does."""
    return _points(read(reference), read(candidate))


def count(points: Points) -> Judgement:
    """The verdict that follows from a comparison."""
    items = [item for point in (*points.reference, *points.beyond) for item in point.items]
    counts = [item["category"] for item in items]
    return judgement(
        counts.count(MATCHED),
        {c: counts.count(c) for c in CATEGORIES},
        {c: counts.count(INSIGNIFICANT + c) for c in CATEGORIES},
        items,
    )


def _points(reference: Reading, candidate: Reading) -> Points:
    stated = {a.finding.kind: a for a in candidate.affirmed}
    points = [
        *((x.span, _finding(x.finding, stated.get(x.finding.kind))) for x in reference.affirmed),
        *((x.span, _denial(x, candidate, stated)) for x in reference.denied),
        *((x.span, _compared(x.change, candidate)) for x in reference.compared),
    ]
    beyond = _beyond(reference, candidate)
    return Points(_statements(candidate), _in_order(points), _in_order(beyond))


def _statements(report: Reading) -> list[str]:
    """A report in the fewest words."""
    return _in_order(
        [
            *((x.span, describe(x.finding)) for x in report.affirmed),
            *((x.span, f"also {describe(x.finding)}") for x in report.conflicts),
            *((x.span, _absence(x.kinds)) for x in report.denied),
            *((x.span, x.change) for x in report.compared),
        ]
    )


def _in_order(said: Iterable[tuple[Span, Said]]) -> list[Said]:
    """As they stand in the report."""
    return [what for _, what in sorted(said, key=lambda pair: pair[0])]


def _finding(wanted: Finding, got: Affirmed | None) -> Point:
    """A finding of the reference."""
    span = got.span if got else None
    found = [_item(category, text, span) for category, text in _compare(wanted, got)]
    return Point(describe(wanted), found)


def _denial(denial: Denied, candidate: Reading, stated: Mapping[str, Affirmed]) -> Point:
    """A statement of absence in the reference."""
    denied = {kind: d.span for d in candidate.denied for kind in d.kinds}
    shared = [k for k in denial.kinds if k in denied]
    if not shared or any(k in stated for k in denial.kinds):
        return Point(_absence(denial.kinds))
    item = _item(MATCHED, "absent: " + ", ".join(shared), denied[shared[0]])
    return Point(_absence(denial.kinds), [item])


def _compared(change: str, candidate: Reading) -> Point:
    """A comparison of the reference."""
    said = {c.change: c.span for c in candidate.compared}
    if change in said:
        return Point(change, [_item(MATCHED, f"comparison: {change}", said[change])])
    if said:
        return Point(change)
    return Point(change, [_item(_omitted(change), f"comparison omitted: {change}", None)])


def _beyond(reference: Reading, candidate: Reading) -> list[tuple[Span, Point]]:
    """What the candidate has no ground for, and where."""
    expected = {f.kind for f in reference.findings}
    changes = [c.change for c in reference.compared]
    found = [
        *(
            (x.span, describe(x.finding), "a", f"false: {describe(x.finding)}")
            for x in candidate.affirmed
            if x.finding.kind not in expected
        ),
        *(
            (x.span, describe(x.finding), "a", f"contradicts itself: {describe(x.finding)}")
            for x in candidate.conflicts
        ),
        *(
            (x.span, x.change, "e", f"comparison not in the reference: {x.change}")
            for x in candidate.compared
            if x.change not in changes
        ),
    ]
    return [(span, Point(said, [_item(c, text, span)])) for span, said, c, text in found]


def _absence(kinds: Sequence[str]) -> str:
    """A statement of absence; that the lungs are clear is one, not four."""
    return "no lung finding" if set(kinds) == set(LUNG_KINDS) else "no " + ", ".join(kinds)


def _item(category: str, text: str, span: Span | None) -> dict[str, Any]:
    return {"category": category, "text": text, "span": span and list(span)}


def _compare(wanted: Finding, got: Affirmed | None) -> list[tuple[str, str]]:
    """Categories, with their texts, of one finding that the reference affirms."""
    name = describe(wanted)
    if got is None:
        return [("b", f"missing: {name}")]
    said = got.finding
    where = f"{describe(said)}, not {name}"
    if wanted.side != said.side and wanted.side is not None:
        return [("c", f"location: {where}")]
    out = []
    if wanted.zone != said.zone and wanted.zone is not None:
        if said.zone is not None:
            return [("c", f"location: {where}")]
        out.append((INSIGNIFICANT + "c", f"location not given: {where}"))
    grades = _grades_apart(wanted.severity, said.severity)
    if grades > 1:
        return [("d", f"severity: {where}")]
    if grades == 1:
        out.append((INSIGNIFICANT + "d", f"severity: {where}"))
    return [(MATCHED, name), *out]


def _grades_apart(wanted: str | None, said: str | None) -> int:
    if wanted is None:
        return 0
    if said is None:
        return 1
    return abs(SEVERITIES.index(wanted) - SEVERITIES.index(said))


def _omitted(change: str) -> str:
    """GREEN's (f) is the omission of "a comparison detailing a change"."""
    return INSIGNIFICANT + "f" if change == "unchanged" else "f"


def describe(finding: Finding) -> str:
    """A finding in a few words, such as "moderate left effusion" or "right upper consolidation"."""
    words = (finding.severity, finding.side, finding.zone, finding.kind)
    return " ".join(word for word in words if word)
