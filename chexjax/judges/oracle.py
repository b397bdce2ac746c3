"""The phantom's own judge: GREEN's counts, exact because the phantom's reports can be read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from chexjax.data import findings
from chexjax.data.findings import SEVERITIES, Finding
from chexjax.data.reading import Affirmed, Reading, Span, read
from chexjax.judges.answer import CATEGORIES, INSIGNIFICANT, MATCHED, judgement
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
        return [_judge(read_references[r], read(c)) for r, c in pairs]


def labels(report: str) -> dict[str, int]:
    """The 14 CheXbert labels (1 present, 0 absent) that a report states; see `findings.labels`."""
    return findings.labels(f.kind for f in read(report).findings)


def _judge(reference: Reading, candidate: Reading) -> Judgement:
    items: list[dict[str, Any]] = []

    def add(category: str, text: str, span: Span | None) -> None:
        items.append({"category": category, "text": text, "span": span and list(span)})

    stated = {a.finding.kind: a for a in candidate.affirmed}
    for wanted in reference.findings:
        for category, text in _compare(wanted, stated.get(wanted.kind)):
            add(category, text, stated[wanted.kind].span if wanted.kind in stated else None)
    expected = {f.kind for f in reference.findings}
    for extra in candidate.affirmed:
        if extra.finding.kind not in expected:
            add("a", f"false: {describe(extra.finding)}", extra.span)
    for conflict in candidate.conflicts:
        add("a", f"contradicts itself: {describe(conflict.finding)}", conflict.span)
    denied = {kind: d.span for d in candidate.denied for kind in d.kinds}
    for denial in reference.denied:
        shared = [k for k in denial.kinds if k in denied]
        if shared and not any(k in stated for k in denial.kinds):
            add(MATCHED, "absent: " + ", ".join(shared), denied[shared[0]])
    for category, text, span in _comparisons(reference, candidate):
        add(category, text, span)
    return _count(items)


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


def _comparisons(reference: Reading, candidate: Reading) -> list[tuple[str, str, Span | None]]:
    wanted = [c.change for c in reference.compared]
    out: list[tuple[str, str, Span | None]] = []
    for said in candidate.compared:
        if said.change in wanted:
            out.append((MATCHED, f"comparison: {said.change}", said.span))
        else:
            out.append(("e", f"comparison not in the reference: {said.change}", said.span))
    if not candidate.compared:
        out += [(_omitted(change), f"comparison omitted: {change}", None) for change in wanted]
    return out


def _omitted(change: str) -> str:
    """GREEN's (f) is the omission of "a comparison detailing a change"."""
    return INSIGNIFICANT + "f" if change == "unchanged" else "f"


def _count(items: list[dict[str, Any]]) -> Judgement:
    counts = [item["category"] for item in items]
    return judgement(
        counts.count(MATCHED),
        {c: counts.count(c) for c in CATEGORIES},
        {c: counts.count(INSIGNIFICANT + c) for c in CATEGORIES},
        items,
    )


def describe(finding: Finding) -> str:
    """A finding in a few words, such as "moderate left effusion" or "right upper consolidation"."""
    words = (finding.severity, finding.side, finding.zone, finding.kind)
    return " ".join(word for word in words if word)
