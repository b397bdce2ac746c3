"""What is known of a study that questions can be made about: of phantoms, and of real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from chexjax.data.chexpert_labels import ABSENT, PRESENT
from chexjax.data.phantom.findings import KINDS, SEVERITIES, SIDES
from chexjax.data.phantom.phrases import NOUNS
from chexjax.data.study import Study

NOT_THERE = "absent"
"""What the grade of something is that is not there."""

LOBES = ("upper lobe", "middle lobe", "lower lobe")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detail:
    """One word about a finding, and the words that could stand there.

    Attributes:
      noun: The finding.
      about: `side`, `severity` or `place`.
      word: What is true.
      words: The words to choose from, the true one among them unless it is `NOT_THERE`.
      statement: All that is known of the finding, `{}` in the place of the word; empty where the
        finding is absent.
    """

    noun: str
    about: str
    word: str
    words: tuple[str, ...]
    statement: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A study without its images.

    Attributes:
      id: Of the study.
      source: Data set.
      labels: Label -> 1 present, 0 absent; what is uncertain or unsaid is left out.
      details: What is known of its findings.
      views: Names of views that a picture of it can be shown in.
      view_names: All names of views, to choose from.
    """

    id: str
    source: str
    labels: Mapping[str, int]
    details: tuple[Detail, ...]
    views: tuple[str, ...]
    view_names: tuple[str, ...]


PHANTOM_VIEWS = ("frontal", "lateral facing left", "lateral facing right")
"""Three, as CheXpert's are: a phantom has no AP that could be told from PA."""

VIEWS = ("AP", "PA", "LATERAL")
"""CheXpert's, as CheXbench asks for them."""

_NOUNS = {**NOUNS, "fracture": "rib fracture"}
"""In the singular, since a question is about one."""


def phantom_subject(study: Study, kinds: Sequence[str]) -> Subject:
    """What the scene of a phantom says that was drawn out of `kinds`."""
    found = study.truth["findings"]
    details = [detail for finding in found for detail in _phantom_details(finding)]
    present = {finding["kind"] for finding in found}
    for kind in kinds:
        if KINDS[kind].severities == SEVERITIES and kind not in present:
            absent = Detail(noun=_NOUNS[kind], about="severity", word=NOT_THERE, words=SEVERITIES)
            details.append(absent)
    return Subject(
        id=study.id,
        source="phantom",
        labels=study.labels,
        details=tuple(details),
        views=PHANTOM_VIEWS,
        view_names=PHANTOM_VIEWS,
    )


def _phantom_details(finding: Mapping[str, Any]) -> list[Detail]:
    table, kind = KINDS[finding["kind"]], finding["kind"]
    noun, severity = _NOUNS[kind], finding["severity"] or ""
    if kind == "lesion":  # its two grades are two words for the thing itself
        noun, severity = {"mild": "nodule", "severe": "mass"}[severity], ""
    zone = f"{finding['zone']} zone" if finding["zone"] else ""
    said = {"severity": severity, "side": finding["side"] or "", "place": zone}
    words = {
        "severity": table.severities,
        "side": table.sides,
        "place": tuple(f"{one} zone" for one in table.zones),
    }
    return [
        Detail(
            noun=noun,
            about=about,
            word=word,
            words=words[about],
            statement=" ".join([*_blanked(said, about), noun]),
        )
        for about, word in said.items()
        if word
    ]


def _blanked(said: Mapping[str, str], about: str) -> list[str]:
    return ["{}" if name == about else word for name, word in said.items() if word]


def real_subject(study: Study) -> Subject:
    """What labels and views of a real study say, and its MeSH terms where there are any.

    Open-I's annotators wrote terms with qualifiers, `Opacity/lung/base/left`.
    """
    terms = [term.lower().split("/") for term in study.truth.get("mesh", ())]
    headings = [term[0] for term in terms]
    # Of something that is named twice another word may be true as well.
    once = [term for term in terms if headings.count(term[0]) == 1]
    return Subject(
        id=study.id,
        source=str(study.attributes.get("source", "")),
        labels={label: v for label, v in study.labels.items() if v in (PRESENT, ABSENT)},
        details=tuple(detail for term in once for detail in _mesh_details(term)),
        views=tuple(view for view in study.views if view in VIEWS),
        view_names=VIEWS,
    )


def _mesh_details(term: Sequence[str]) -> list[Detail]:
    heading, *qualifiers = [part.strip() for part in term]
    details = []
    for about, words in (("side", SIDES), ("severity", SEVERITIES), ("place", LOBES)):
        named = [word for word in qualifiers if word in words]
        if len(named) == 1:
            rest = ["{}" if word == named[0] else word for word in qualifiers]
            statement = ", ".join([heading, *rest])
            details.append(
                Detail(noun=heading, about=about, word=named[0], words=words, statement=statement)
            )
    return details
