"""Reads a report back into findings, whoever wrote it.

A small lexer and a clause-by-clause state machine, not the grammar's templates turned round: a
language model seldom writes a template word by word, and what it does write must still be read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from chexjax.data.findings import KINDS, LUNG_KINDS, Finding

Span = tuple[int, int]


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
      conflicts: Affirmed findings that contradict an earlier statement, which wins.
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


# (role, value, pattern); the first that matches at a word wins, so longer ones come first.
_LEXICON: tuple[tuple[str, str, str], ...] = (
    ("change", "unchanged", r"no (?:significant |interval )*change|unchanged|stable"),
    ("change", "worse", r"wors(?:e|ened|ening)|increased|larger|progress(?:ed|ion)"),
    ("change", "improved", r"improve(?:d|ment)|decreased|smaller|resol(?:ved|ving)"),
    ("prior", "", r"prior|previous(?:ly)?|compar(?:ed|ison)|interval"),
    ("not", "", r"no|not|without|(?:free|clear) of|negative for"),
    ("break", "", r"there (?:is|are)|but|however|while|although"),
    ("join", "", r"and|with|or|nor"),
    ("kind", "cardiomegaly", r"cardiomegaly"),
    ("kind", "effusion", r"effusions?"),
    ("kind", "pneumothorax", r"pneumothora(?:x|ces)"),
    ("kind", "consolidation", r"consolidations?"),
    ("kind", "atelectasis", r"atelecta(?:sis|tic)"),
    ("kind", "edema", r"o?edema"),
    ("kind", "lesion mild", r"nodules?"),
    ("kind", "lesion severe", r"mass(?:es)?"),
    ("kind", "fracture", r"fractur(?:es?|ed)"),
    ("kind", "pacemaker", r"pacemaker"),
    ("kind", "catheter", r"catheter|central (?:venous )?line"),
    ("kind", "tube", r"endotracheal tube"),
    ("subject", "heart mediastinum", r"cardiomediastinal"),
    ("subject", "summary", r"cardiopulmonary"),
    ("subject", "heart", r"heart|cardiac"),
    ("subject", "mediastinum", r"mediastin(?:um|al)"),
    ("subject", "lungs", r"lungs|lung fields"),
    ("subject", "vessels", r"vasculature|vascularity|vessels"),
    ("subject", "pleura", r"pleural spaces"),
    ("subject", "angles", r"costophrenic angles"),
    ("subject", "bones", r"ribs|bones|bony|osseous"),
    ("state", "normal", r"normal|clear|unremarkable|intact|sharp"),
    ("state", "large", r"enlarge(?:d|ment)|wide(?:ned|ning)?"),
    ("state", "abnormal", r"abnormalit(?:y|ies)|abnormal|process"),
    ("severity", "mild", r"mild(?:ly)?|small|slight(?:ly)?|minimal(?:ly)?|trace|tiny"),
    ("severity", "moderate", r"moderate(?:ly)?"),
    ("severity", "severe", r"severe(?:ly)?|large|marked(?:ly)?|massive"),
    ("side", "left", r"left"),
    ("side", "right", r"right"),
    ("side", "bilateral", r"bilateral(?:ly)?|both"),
    ("zone", "upper", r"upper|apical"),
    ("zone", "mid", r"mid(?:dle)?"),
    ("zone", "lower", r"lower|basal|basilar|bases?"),
)
_STOP = len(_LEXICON) + 1
_COMMA = _STOP + 1
_LEXER = re.compile(
    r"\b(?:"
    + "|".join("(" + p.replace(" ", r"\s+") + ")" for _, _, p in _LEXICON)
    + r")\b|([.;!?](?=\s|$)|\n)|(,)",
    re.IGNORECASE,
)
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


Token = tuple[str, str, int, int]


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
    for span, tokens in _clauses(report):
        reader.clause(span, tokens)
    return reader.reading()


def _clauses(text: str) -> Iterator[tuple[Span, list[Token]]]:
    start, tokens = 0, list[Token]()
    for match in _LEXER.finditer(text):
        index = match.lastindex or 0
        if index == _STOP:
            yield (start, match.end()), tokens
            start, tokens = match.end(), []
        elif index == _COMMA:
            tokens.append(("join", ",", *match.span()))
        elif _LEXICON[index - 1][0] == "break":
            yield (start, match.start()), tokens
            start, tokens = match.start(), []
        else:
            tokens.append((*_LEXICON[index - 1][:2], *match.span()))
    yield (start, len(text)), tokens


class _Reader:
    """Gathers the statements of a report clause by clause."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._affirmed: dict[str, Affirmed] = {}
        self._denied: dict[str, Denied] = {}
        self._compared: dict[str, Compared] = {}
        self._conflicts: list[Affirmed] = []
        self._unread: list[Span] = []

    def reading(self) -> Reading:
        """Everything gathered so far."""
        return Reading(
            affirmed=tuple(self._affirmed.values()),
            denied=tuple(dict.fromkeys(self._denied.values())),
            compared=tuple(self._compared.values()),
            conflicts=tuple(self._conflicts),
            unread=tuple(self._unread),
        )

    def clause(self, span: Span, tokens: list[Token]) -> None:
        """Takes in the statements of one clause."""
        span = self._trim(span)
        if span[0] == span[1]:
            return
        denied: list[str] = []
        affirms = False
        segments = _segments(span[0], tokens)
        ends = [s.start for s in segments[1:]] + [span[1]]
        for segment, end in zip(segments, ends, strict=True):
            affirmed = _affirmed_by(segment)
            for finding in affirmed:
                self._affirm(finding, self._trim((segment.start, end)))
            affirms = affirms or bool(affirmed)
            denied += _denied_by(segment)
        compared = self._comparison(span, tokens)
        self._deny(denied, span)
        if not (affirms or denied or compared):
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
            self._conflicts.append(new)
        elif old is None:
            self._affirmed[finding.kind] = new
        else:
            merged = _merge(old.finding, finding)
            if merged is None:
                self._conflicts.append(new)
            elif merged != old.finding:
                # Point at the statement that says more; usually a comparison came first.
                self._affirmed[finding.kind] = Affirmed(finding=merged, span=span)

    def _deny(self, kinds: list[str], span: Span) -> None:
        new = [k for k in kinds if k not in self._affirmed and k not in self._denied]
        statement = Denied(kinds=tuple(dict.fromkeys(new)), span=span)
        self._denied.update({kind: statement for kind in new})

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
