"""Reads a report back into findings, whoever wrote it.

Clause by clause with a small lexicon, not by the grammar's templates turned round: a
language model seldom writes a template word by word, and what it does write must still be read.
"""

from __future__ import annotations

import dataclasses

from chexjax.data.phantom.findings import KINDS, LUNG_KINDS, Finding
from chexjax.data.phantom.lexicon import Span, Token, clauses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affirmed:
    """A finding stated as present, and where."""

    finding: Finding
    span: Span


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denied:
    """Kinds of finding stated as absent in one clause, and where."""

    kinds: tuple[str, ...]
    span: Span


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison with a prior study: unchanged, worse or improved, and where."""

    change: str
    span: Span


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a report says; spans are characters of the text as given.

    Attributes:
      affirmed: Present findings, at most one of a kind, in order of their mention.
      denied: Statements of absence; no kind twice, none that was affirmed before.
      compared: Comparisons with a prior study; no change twice.
      conflicts: Affirmed findings that contradict an earlier statement, which wins; none twice.
      unread: Clauses without any statement.
    """

    affirmed: tuple[Affirmed, ...]
    denied: tuple[Denied, ...]
    compared: tuple[Compared, ...]
    conflicts: tuple[Affirmed, ...]
    unread: tuple[Span, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The present findings alone."""
        return tuple(a.finding for a in self.affirmed)


_SUBJECTS = {
    "heart": ("cardiomegaly",),
    "mediastinum": ("mediastinum",),
    "heart mediastinum": ("cardiomegaly", "mediastinum"),
    "summary": ("consolidation", "edema", "effusion", "pneumothorax"),
    "lungs": LUNG_KINDS,
    "vessels": ("edema",),
    "pleura": ("effusion", "pneumothorax"),
    "angles": ("effusion",),
    "bones": ("fracture",),
}
_CAN_BE_LARGE = ("heart", "mediastinum", "heart mediastinum")


@dataclasses.dataclass
class _Segment:
    """The part of a clause between two joining words."""

    start: int
    kinds: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    subjects: list[str] = dataclasses.field(default_factory=list)
    state: str | None = None
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    negated: bool = False


def read(report: str) -> Reading:
    """Reads `report`, which may be any text.

    Case and white space don't matter. Each clause (a sentence, or its part after "but" or "there
    is") may state findings, deny kinds of finding from a "no", "not" or "without" up to its end,
    call an organ normal, and compare with a prior study. The first statement about a kind wins: a
    later one that agrees fills in what the first left open, one that contradicts it is listed in
    `conflicts` if it affirms, and passed over if it denies (so "the lungs are otherwise clear"
    rules out just the kinds that were not affirmed before).
    """
    reader = _Reader(report)
    for span, tokens in clauses(report):
        reader.clause(span, tokens)
    return reader.reading()


class _Reader:
    """Gathers the statements of a report clause by clause."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._affirmed: dict[str, Affirmed] = {}
        self._denied: dict[str, Denied] = {}
        self._compared: dict[str, Compared] = {}
        self._conflicts: dict[Finding, Affirmed] = {}
        self._unread: list[Span] = []

    def reading(self) -> Reading:
        """Everything gathered so far."""
        return Reading(
            affirmed=tuple(self._affirmed.values()),
            denied=tuple(dict.fromkeys(self._denied.values())),
            compared=tuple(self._compared.values()),
            conflicts=tuple(self._conflicts.values()),
            unread=tuple(self._unread),
        )

    def clause(self, span: Span, tokens: list[Token]) -> None:
        """Takes in the statements of one clause."""
        span = self._trim(span)
        if span[0] == span[1]:
            return
        segments = _segments(span[0], tokens)
        starts = [s.start for s in segments]
        read = self._comparison(span, tokens)
        for segment, end in zip(segments, [*starts[1:], span[1]], strict=True):
            where = self._trim((segment.start, end))
            findings, kinds = _affirmed_by(segment), _denied_by(segment)
            for finding in findings:
                self._affirm(finding, where)
            if not segment.negated:
                self._deny(kinds, where)
            read = read or bool(findings or kinds)
        # All that one "no" or "without" reaches is one statement.
        negated = [s for s in segments if s.negated]
        if negated:
            span_negated = self._trim((negated[0].start, span[1]))
            self._deny([kind for s in negated for kind in _denied_by(s)], span_negated)
        if not read:
            self._unread.append(span)

    def _comparison(self, span: Span, tokens: list[Token]) -> bool:
        changes = [value for role, value, *_ in tokens if role == "change"]
        prior = any(role == "prior" for role, *_ in tokens)
        if not changes or not (prior or changes[0] == "unchanged"):
            return False
        self._compared.setdefault(changes[0], Compared(change=changes[0], span=span))
        return True

    def _affirm(self, finding: Finding, span: Span) -> None:
        new = Affirmed(finding=finding, span=span)
        old = self._affirmed.get(finding.kind)
        if finding.kind in self._denied:
            self._conflicts.setdefault(finding, new)
        elif old is None:
            self._affirmed[finding.kind] = new
        else:
            merged = _merge(old.finding, finding)
            if merged is None:
                self._conflicts.setdefault(finding, new)
            elif merged != old.finding:
                # Point at the statement that says more; usually a comparison came first.
                self._affirmed[finding.kind] = Affirmed(finding=merged, span=span)

    def _deny(self, kinds: list[str], span: Span) -> None:
        new = [k for k in kinds if k not in self._affirmed and k not in self._denied]
        statement = Denied(kinds=tuple(dict.fromkeys(new)), span=span)
        self._denied.update(dict.fromkeys(new, statement))

    def _trim(self, span: Span) -> Span:
        start, end = span
        while start < end and not self._text[start].isalnum():
            start += 1
        while end > start and self._text[end - 1].isspace():
            end -= 1
        return start, end


def _segments(start: int, tokens: list[Token]) -> list[_Segment]:
    """Cuts a clause at joining words and at its negation, which reaches to the clause's end.

    A segment that names no finding and no state hands what it has to the next one: "heart size
    and mediastinal contours are normal" is one statement about both.
    """
    segments = [_Segment(start=start)]
    for role, value, begin, _ in tokens:
        last = segments[-1]
        if role in ("join", "not"):
            last = _next_segment(segments, begin, negated=last.negated or role == "not")
        if role == "kind":
            kind, _, grade = value.partition(" ")
            last.kinds.append((kind, grade or None))
        elif role == "subject":
            last.subjects.append(value)
        elif role == "state":
            last.state = last.state or value
        elif role in ("severity", "side", "zone"):
            last.attributes.setdefault(role, value)
    return _absorb(segments)


def _absorb(segments: list[_Segment]) -> list[_Segment]:
    """Lets each segment without a statement of its own add its attributes to the one before."""
    kept = segments[:1]
    for segment in segments[1:]:
        if segment.kinds or segment.state:
            kept.append(segment)
        else:
            kept[-1].attributes = segment.attributes | kept[-1].attributes
    return kept


def _affirmed_by(segment: _Segment) -> list[Finding]:
    if segment.negated:
        return []
    kinds = list(segment.kinds)
    if segment.state == "large":
        kinds += [(k, None) for s in segment.subjects if s in _CAN_BE_LARGE for k in _SUBJECTS[s]]
    return [_finding(kind, grade, segment.attributes) for kind, grade in kinds]


def _denied_by(segment: _Segment) -> list[str]:
    subjects = [kind for s in segment.subjects for kind in _SUBJECTS[s]]
    if not segment.negated:
        return subjects if segment.state == "normal" else []
    stated = [kind for kind, _ in segment.kinds]
    return stated + (subjects if segment.state in ("large", "abnormal") else [])


def _next_segment(segments: list[_Segment], begin: int, *, negated: bool) -> _Segment:
    last = segments[-1]
    if last.kinds or last.state:
        segments.append(_Segment(start=begin, negated=negated))
    else:
        last.negated = negated
    return segments[-1]


def _finding(kind: str, grade: str | None, attributes: dict[str, str]) -> Finding:
    """The finding with those of the attributes that apply to its kind."""
    table = KINDS[kind]
    severity, side, zone = (attributes.get(a) for a in ("severity", "side", "zone"))
    return Finding(
        kind=kind,
        side=side if side in table.sides else None,
        severity=grade or (severity if severity in table.severities else None),
        zone=zone if zone in table.zones else None,
    )


def _merge(old: Finding, new: Finding) -> Finding | None:
    """What both say together; None if they contradict each other."""
    fields = {}
    for name in ("side", "severity", "zone"):
        a, b = getattr(old, name), getattr(new, name)
        if a is not None and b is not None and a != b:
            return None
        fields[name] = a if b is None else b
    return Finding(kind=old.kind, **fields)
