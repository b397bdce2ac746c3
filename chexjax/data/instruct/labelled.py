"""What labels and MeSH terms say of a study whose findings are not known one by one."""

from __future__ import annotations

from collections.abc import Iterator

from chexjax.data.chexbench.subjects import real_subject
from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT
from chexjax.data.phantom import grammar
from chexjax.data.sources.openi_labels import TERMS
from chexjax.data.study import Study

_DEVICES = "Support Devices"
_ABNORMAL = [label for label in CHEXPERT_14 if label not in ("No Finding", _DEVICES)]

_FINDINGS = {
    term.lower()
    for label, terms in TERMS.items()
    for term in terms
    if label not in (_DEVICES, "Pleural Other") and "/" not in term
}
"""Headings that name a finding, and not a part of the body whose qualifiers do."""


def abnormal(study: Study) -> list[str] | None:
    """What is abnormal by the labels; None where they say neither what, nor that nothing is."""
    named = [label.lower() for label in _ABNORMAL if study.labels.get(label) == PRESENT]
    return named if named or study.labels.get("No Finding") == PRESENT else None


def devices(study: Study) -> list[str] | None:
    """The label of devices where it is present; None where it is not said or uncertain."""
    return {PRESENT: [_DEVICES.lower()], ABSENT: []}.get(study.labels.get(_DEVICES, -1))


def difference(study: Study, other: Study, *, new: str, gone: str) -> str:
    """What only another study has and what it lacks, of the labels that both are sure of.

    Args:
      study: The first.
      other: The second.
      new: What is said of a label that is present in the second.
      gone: Of one that is present in the first.
    """
    ways = {new: (ABSENT, PRESENT), gone: (PRESENT, ABSENT)}
    pairs = {n: (study.labels.get(n), other.labels.get(n)) for n in (*_ABNORMAL, _DEVICES)}
    said = {way: [n.lower() for n in pairs if pairs[n] == values] for way, values in ways.items()}
    listed = (f"{way}: {', '.join(names)}" for way, names in said.items() if names)
    return " ".join(map(grammar.sentence, listed))


def placed(study: Study) -> list[tuple[str, str]]:
    """(finding, its place) of MeSH terms that say a side or a lobe: `left lower lobe`."""
    sides, lobes = (dict(_said(study, about)) for about in ("side", "place"))
    found = []
    for finding in dict.fromkeys([*sides, *lobes]):
        side, lobe = sides.get(finding, ""), lobes.get(finding, "")
        both = f"both {lobe}s" if lobe else "both sides"
        found.append((finding, both if side == "bilateral" else f"{side} {lobe}".strip()))
    return found


def graded(study: Study) -> list[tuple[str, str]]:
    """(finding, its grade) of MeSH terms that say `mild`, `moderate` or `severe`."""
    return list(_said(study, "severity"))


def _said(study: Study, about: str) -> Iterator[tuple[str, str]]:
    for detail in real_subject(study).details:
        if detail.about == about and detail.noun in _FINDINGS:
            # A heading may be turned round: `fractures, bone`.
            yield " ".join(reversed(detail.noun.split(", "))), detail.word
