"""The tasks of the instruction mixture: what can be asked about a study, and what is right.

A task looks at nothing but what the source knows: of phantoms their scenes, of other sources
sections, views, labels, ages and Open-I's MeSH terms. Where that is not enough for an answer it
asks nothing. Phantoms answer all tasks but the age group, since they have no age.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT
from chexjax.data.instruct import labelled
from chexjax.data.instruct.instructions import APART
from chexjax.data.phantom import grammar, phrases
from chexjax.data.phantom.changes import altered, changes
from chexjax.data.phantom.findings import DEVICES, LUNG_KINDS, Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.signs import SIGNS
from chexjax.data.study import Study
from chexjax.data.views import UNKNOWN

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question about a study, without its words.

    Attributes:
      answer: What is right.
      fields: What the phrasings of the task leave open.
      own: Numbers of the study's images that are shown; None for all.
      others: Numbers of the second study's images that are shown.
      phrasings: How it is asked where the task's own phrasings would say what is not so.
    """

    answer: str
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own: Sequence[int] | None = None
    others: Sequence[int] = ()
    phrasings: Sequence[str] = ()


Make = Callable[[Study, Study, np.random.Generator], Asked | None]
"""Asks about a study, and a second one where two are needed; None where nothing can be asked."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
      capability: What it teaches: `coarse`, `fine`, `question`, `text` or `other`.
      make: What asks it.
      images: Whether it shows any.
      pairs: Which second study is asked about, too: none, any near by, or one of the same patient,
        which is any where a source names no patients.
    """

    capability: str
    make: Make
    images: bool = True
    pairs: Literal["", "any", "patient"] = ""


def known(study: Study) -> tuple[Finding, ...] | None:
    """Everything that is to be seen, where the source knows it."""
    found = study.truth.get("findings")
    return None if found is None else tuple(Finding(**finding) for finding in found)


def _view(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    named = [k for k, view in enumerate(study.views) if view != UNKNOWN]
    if not named:
        return None
    number = _pick(named, rng)
    return Asked(grammar.sentence(_spoken(study.views[number])), own=(number,))


def _spoken(view: str) -> str:
    """`AP axial` for `AP AXIAL`: what is no abbreviation in small letters."""
    return " ".join(word if len(word) <= len("LPO") else word.lower() for word in view.split())


def _age_group(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    age = study.attributes.get("age")
    if not isinstance(age, float | int):
        return None
    return Asked(next(words for below, words in _AGE_GROUPS if age < below))


_AGE_GROUPS = (
    (18, "Under 18 years."),
    (40, "18 to 39 years."),
    (60, "40 to 59 years."),
    (math.inf, "60 years or more."),
)
"""Ages below which a group ends, and what it is called."""


def _disease(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    present = [label for label in CHEXPERT_14 if study.labels.get(label) == PRESENT]
    return Asked(", ".join(present) + ".") if present else None


def _abnormality_detection(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if found is None:
        named = labelled.abnormal(study)
    else:
        named = [phrases.NOUNS[f.kind] for f in found if f.kind not in DEVICES]
    if named is None:
        return None
    return Asked(f"Yes: {', '.join(named)}." if named else "No.")


def _abnormality_localisation(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if found is None:
        placed = labelled.placed(study)
    else:
        there = (f for f in found if f.side and f.kind not in DEVICES)
        placed = [(phrases.NOUNS[f.kind], grammar.place(f)) for f in there]
    if not placed:
        return None
    finding, place = _pick(placed, rng)
    return Asked(grammar.sentence(place), {"finding": finding})


def _foreign_objects(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if found is None:
        named = labelled.devices(study)
    else:
        named = [grammar.name(f) for f in found if f.kind in DEVICES]
    return None if named is None else Asked(grammar.sentence(", ".join(named) or "none"))


def _closed_question(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    """Yes and no are equally likely where both can be asked for."""
    asked = {label: study.labels.get(label) for label in CHEXPERT_14 if label != "No Finding"}
    sides = [[label for label in asked if asked[label] == x] for x in (PRESENT, ABSENT)]
    sides = [labels for labels in sides if labels]
    if not sides:
        return None
    label = _pick(_pick(sides, rng), rng)
    return Asked("Yes." if asked[label] == PRESENT else "No.", {"finding": label.lower()})


def _open_question(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if found is None:
        graded = labelled.graded(study)
    else:  # a lesion's grade is its name
        there = (f for f in found if f.severity and f.kind != "lesion")
        graded = [(phrases.NOUNS[f.kind], grammar.grade_word(f)) for f in there]
    if not graded:
        return None
    finding, grade = _pick(graded, rng)
    return Asked(grammar.sentence(grade), {"finding": finding})


_CHANGED = {"new": "new", "gone": "gone", "changed": "changed"}
_DIFFERING = {"new": "only the second", "gone": "only the first", "changed": "otherwise"}
"""What is said of two patients, of whom nothing has changed."""


def _difference(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    if study.id == other.id or not other.images:
        return None
    before, after = known(study), known(other)
    same = bool(study.patient) and study.patient == other.patient
    ways, phrasings = (_CHANGED, ()) if same else (_DIFFERING, APART)
    if before is None or after is None:  # nothing that labels say is not yet no difference
        said = labelled.difference(study, other, new=ways["new"], gone=ways["gone"])
    else:
        said = changes(before, after, **ways) or "No difference."
    return Asked(said, own=(0,), others=(0,), phrasings=phrasings) if said else None


def _text_question(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    asked = _closed_question(study, other, rng)
    if asked is None or not study.findings:
        return None
    return dataclasses.replace(asked, fields={**asked.fields, "report": study.findings})


def _findings_with_indication(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    return Asked(study.findings, {"indication": study.indication or "None"})


def _findings(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    return Asked(study.findings)


def _impression(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    return Asked(study.impression) if study.impression else None


def _summarisation(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    return Asked(study.impression, {"report": study.findings}) if study.impression else None


REGIONS: Mapping[str, tuple[str, ...]] = {
    "heart": phrases.HEART,
    "mediastinum": phrases.MEDIASTINUM,
    "lungs": LUNG_KINDS,
    "pleura": phrases.PLEURA,
    "ribs": ("fracture",),
    "devices": DEVICES,
}
"""Parts of a report, each with the kinds of finding that it can have."""


def _anatomy_findings(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if found is None:
        return None
    region = _pick(list(REGIONS), rng)
    here = tuple(f for f in found if f.kind in REGIONS[region])
    absent = tuple(k for k in REGIONS[region] if k not in {f.kind for f in here})
    denied = () if region == "devices" or not absent else (absent,)
    said = grammar.write(Content(findings=here, denied=denied), rng)
    return Asked(said or "No device is seen.", {"region": region})


def _report_evaluation(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    true = known(study)
    if true is None:
        return None
    told = altered(true, known(other) or (), rng)
    candidate = grammar.write(grammar.plan(told, rng), rng)
    said = changes(true, told, new="false", gone="missing", changed="wrong")
    fields = {"reference": study.findings, "candidate": candidate}
    return Asked(said or "No error.", fields)


def _explanation(study: Study, other: Study, rng: np.random.Generator) -> Asked | None:
    found = known(study)
    if not found:
        return None
    finding = _pick(found, rng)
    words = {"where": _where(finding), "grade": grammar.grade_word(finding)}
    sign = SIGNS[finding.kind].format(**words)
    return Asked(grammar.sentence(sign), {"finding": grammar.name(finding)})


def _where(finding: Finding) -> str:
    """A place with its preposition: `in the left lower zone`, `on both sides`."""
    there = grammar.place(finding)
    if finding.zone:
        return f"in the {there}"
    return f"on {there}" if finding.side == "bilateral" else f"on the {there}"


def _pick(options: Sequence[_T], rng: np.random.Generator) -> _T:
    return options[int(rng.integers(len(options)))]


TASKS: Mapping[str, Task] = {
    "view": Task("coarse", _view),
    "age_group": Task("coarse", _age_group),
    "disease": Task("coarse", _disease),
    "abnormality_detection": Task("fine", _abnormality_detection),
    "abnormality_localisation": Task("fine", _abnormality_localisation),
    "foreign_objects": Task("fine", _foreign_objects),
    "closed_question": Task("question", _closed_question),
    "open_question": Task("question", _open_question),
    "difference": Task("question", _difference, pairs="patient"),
    "text_question": Task("question", _text_question, images=False),
    "findings_with_indication": Task("text", _findings_with_indication),
    "findings": Task("text", _findings),
    "impression": Task("text", _impression),
    "summarisation": Task("text", _summarisation, images=False),
    "anatomy_findings": Task("text", _anatomy_findings),
    "report_evaluation": Task("other", _report_evaluation, images=False, pairs="any"),
    "explanation": Task("other", _explanation),
    "report": Task("text", _findings),
}
"""All tasks by the name that configs use.

Each has its phrasings in `instructions`, but for `report`: its words are the policy's own request,
with the indication, which is what the other stages ask.
"""
