"""The phantom's own judge: GREEN's counts, exact because the phantom's reports can be read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chexjax.data.phantom import findings
from chexjax.data.phantom.findings import KINDS, LUNG_KINDS, SEVERITIES, Finding
from chexjax.data.phantom.reading import Affirmed, Denied, Reading, read
from chexjax.judges.answer import CATEGORIES, INSIGNIFICANT, MATCHED, item, judgement
from chexjax.judges.base import Judgement, check_pairs


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
        return [count(_compare(read_references[r], read(c))) for r, c in pairs]


def labels(report: str) -> dict[str, int]:
    """The 14 CheXbert labels (1 present, 0 absent) that a report states; see `findings.labels`."""
    return findings.labels(f.kind for f in read(report).findings)


@dataclasses.dataclass(frozen=True)
class Point:
    """What one or both of two reports state, and what comes of it when they are compared.

    Attributes:
      statement: What is stated, in the fewest words.
      items: What it counts as, in the form of a judgement's `items`; empty where it does not.
    """

    statement: str
    items: Sequence[Mapping[str, Any]] = ()


def compare(reference: str, candidate: str) -> list[Point]:
    """Compares two reports point by point as `PhantomOracle` does.

    Present findings come first, kind by kind in the order of `findings.KINDS`, each as the
    reference and then as the candidate has it; then what the reference rules out; then how both
    compare with a prior study.
    """
    return _compare(read(reference), read(candidate))


def count(points: Iterable[Point]) -> Judgement:
    """The verdict that follows from a comparison."""
    items = [one for point in points for one in point.items]
    counts = [one["category"] for one in items]
    return judgement(
        counts.count(MATCHED),
        {c: counts.count(c) for c in CATEGORIES},
        {c: counts.count(INSIGNIFICANT + c) for c in CATEGORIES},
        items,
    )


def _compare(reference: Reading, candidate: Reading) -> list[Point]:
    wanted = {a.finding.kind: a.finding for a in reference.affirmed}
    stated = {a.finding.kind: a for a in candidate.affirmed}
    points: list[Point] = []
    for kind in KINDS:
        if kind in wanted or kind in stated:
            points.append(_present(kind, wanted.get(kind), stated.get(kind)))
        points += [_contradiction(c) for c in candidate.conflicts if c.finding.kind == kind]
    denials = sorted(reference.denied, key=lambda d: list(KINDS).index(d.kinds[0]))
    points += [_absent(denial, candidate, stated) for denial in denials]
    if reference.compared or candidate.compared:
        points.append(_comparison(reference, candidate))
    return points


def _present(kind: str, wanted: Finding | None, got: Affirmed | None) -> Point:
    """A finding that one of the reports states, or both."""
    span = got.span if got else None
    if wanted is not None:
        found = _outcomes(wanted, got.finding if got else None)
    else:
        assert got is not None
        found = [("a", f"false: {describe(got.finding)}")]
    sides = ", ".join(_attributes(f) for f in (wanted, got.finding if got else None))
    return Point(f"{kind} {sides}", [item(category, text, span) for category, text in found])


def _attributes(finding: Finding | None) -> str:
    """How a finding is stated, its kind apart."""
    if finding is None:
        return "none"
    words = (finding.severity, finding.side, finding.zone)
    return " ".join(word for word in words if word) or "stated"


def _contradiction(conflict: Affirmed) -> Point:
    name = describe(conflict.finding)
    return Point(f"also {name}", [item("a", f"contradicts itself: {name}", conflict.span)])


def _absent(denial: Denied, candidate: Reading, stated: Mapping[str, Affirmed]) -> Point:
    """A statement of absence in the reference; that the lungs are clear is one, not four."""
    lungs = set(denial.kinds) == set(LUNG_KINDS)
    statement = "no lung finding" if lungs else "no " + ", ".join(denial.kinds)
    denied = {kind: d.span for d in candidate.denied for kind in d.kinds}
    shared = [k for k in denial.kinds if k in denied]
    if not shared or any(k in stated for k in denial.kinds):
        return Point(statement)
    return Point(statement, [item(MATCHED, "absent: " + ", ".join(shared), denied[shared[0]])])


def _comparison(reference: Reading, candidate: Reading) -> Point:
    """How both compare with a prior study."""
    wanted, said = ([c.change for c in report.compared] for report in (reference, candidate))
    items = [
        item(MATCHED, f"comparison: {c.change}", c.span)
        if c.change in wanted
        else item("e", f"comparison not in the reference: {c.change}", c.span)
        for c in candidate.compared
    ]
    if not said:
        items = [item(_omitted(c), f"comparison omitted: {c}") for c in wanted]
    sides = ", ".join(" ".join(changes) or "none" for changes in (wanted, said))
    return Point(f"change {sides}", items)


def _outcomes(wanted: Finding, said: Finding | None) -> list[tuple[str, str]]:
    """Categories, with their texts, of one finding that the reference affirms."""
    name = describe(wanted)
    if said is None:
        return [("b", f"missing: {name}")]
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
