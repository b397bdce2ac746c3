"""The phantom's radiologist: writes indications and reports with known content."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.data.findings import LUNG_KINDS, Finding

CHANGES = ("unchanged", "worse", "improved")

# How each grade is spoken of. Lesions are graded by the noun: a nodule or a mass.
_VOLUME = {"mild": ("small",), "moderate": ("moderate",), "severe": ("large",)}
_DEGREE = {"mild": ("mild",), "moderate": ("moderate",), "severe": ("severe", "marked")}
_LESION = {"mild": ("nodule",), "severe": ("mass",)}
_GRADE_WORDS = {
    "cardiomegaly": _DEGREE,
    "edema": _DEGREE,
    "effusion": _VOLUME,
    "pneumothorax": _VOLUME,
    "lesion": _LESION,
}

_POSITIVE: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "the heart is {grade}ly enlarged",
        "there is {grade} cardiomegaly",
        "{grade} cardiomegaly is present",
        "the cardiac silhouette is {grade}ly enlarged",
        "there is {grade} enlargement of the heart",
    ),
    "mediastinum": (
        "the mediastinum is widened",
        "there is widening of the upper mediastinum",
        "widened mediastinal contours are seen",
        "the upper mediastinum is wide",
    ),
    "effusion": (
        "there is a {grade} {side} pleural effusion",
        "{grade} {side} pleural effusion",
        "a {grade} pleural effusion is seen on the {side}",
        "a {grade} {side} effusion blunts the costophrenic angle",
        "{grade} {side} pleural effusion is present",
    ),
    "effusion bilateral": (
        "there are {grade} bilateral pleural effusions",
        "{grade} bilateral pleural effusions are present",
        "{grade} pleural effusions are seen on both sides",
        "{grade} bilateral effusions blunt the costophrenic angles",
    ),
    "pneumothorax": (
        "there is a {grade} {side} pneumothorax",
        "{grade} {side} pneumothorax is present",
        "a {grade} pneumothorax is seen on the {side}",
        "{grade} {side} pneumothorax with a visible pleural line",
    ),
    "consolidation": (
        "there is consolidation in the {side} {zone} zone",
        "{side} {zone} zone consolidation",
        "consolidation is seen in the {zone} zone of the {side} lung",
        "airspace opacity in the {side} {zone} zone is consistent with consolidation",
    ),
    "atelectasis": (
        "there is atelectasis at the {side} base",
        "{side} basal atelectasis",
        "linear atelectasis is seen at the {side} lung base",
        "bands of atelectasis are present at the {side} base with volume loss",
    ),
    "atelectasis bilateral": (
        "there is atelectasis at both bases",
        "bilateral basal atelectasis",
        "linear atelectasis is seen at both lung bases",
        "bands of atelectasis are present at both bases with volume loss",
    ),
    "edema": (
        "there is {grade} pulmonary edema",
        "{grade} pulmonary edema is present",
        "perihilar haze is consistent with {grade} edema",
        "bilateral perihilar opacity in keeping with {grade} pulmonary edema",
    ),
    "lesion": (
        "there is a {grade} in the {side} {zone} zone",
        "{side} {zone} zone {grade}",
        "a {grade} projects over the {side} {zone} zone",
        "a round {grade} is seen in the {zone} zone of the {side} lung",
    ),
    "fracture": (
        "there are {side} rib fractures",
        "displaced {side} rib fractures are seen",
        "fractured ribs are seen on the {side}",
        "acute fractures of the {side} ribs are present",
    ),
    "pacemaker": (
        "a {side} chest pacemaker is in place",
        "{side} pacemaker with leads over the heart",
        "there is a pacemaker in the {side} chest wall",
    ),
    "catheter": (
        "a {side} central venous catheter is in place",
        "{side} central line with tip in the superior vena cava",
        "the tip of a {side} central catheter is in the superior vena cava",
    ),
    "tube": (
        "an endotracheal tube is in place",
        "the endotracheal tube tip is above the carina",
        "endotracheal tube in place with tip above the carina",
    ),
}

_HEART, _MEDIASTINUM = ("cardiomegaly",), ("mediastinum",)
_SILHOUETTE = _HEART + _MEDIASTINUM
_PLEURA = ("effusion", "pneumothorax")
_SUMMARY = ("consolidation", "edema", "effusion", "pneumothorax")

# Statements of absence, by the kinds that they rule out.
_NEGATIVE: dict[tuple[str, ...], tuple[str, ...]] = {
    _HEART: (
        "the heart size is normal",
        "the heart is normal in size",
        "the heart is not enlarged",
        "there is no cardiomegaly",
    ),
    _MEDIASTINUM: (
        "the mediastinal contours are normal",
        "the mediastinum is not widened",
        "the mediastinum is unremarkable",
    ),
    _SILHOUETTE: (
        "the cardiomediastinal silhouette is normal",
        "heart size and mediastinal contours are normal",
        "the heart and mediastinum are unremarkable",
        "the cardiomediastinal silhouette is within normal limits",
    ),
    LUNG_KINDS: (
        "the lungs are clear",
        "both lungs are clear",
        "the lung fields are clear",
        "the lungs are well expanded and clear",
    ),
    ("consolidation",): ("no focal consolidation", "there is no consolidation"),
    ("edema",): ("no pulmonary edema", "the pulmonary vasculature is normal"),
    ("consolidation", "edema"): (
        "no consolidation or edema",
        "there is no pulmonary edema or focal consolidation",
    ),
    _PLEURA: (
        "no pleural effusion or pneumothorax",
        "there is no pneumothorax or pleural effusion",
        "no effusion or pneumothorax is seen",
        "the pleural spaces are clear",
    ),
    ("effusion",): (
        "no pleural effusion",
        "there is no pleural effusion",
        "the costophrenic angles are sharp",
    ),
    ("pneumothorax",): (
        "no pneumothorax",
        "there is no pneumothorax",
        "no pneumothorax is seen",
    ),
    ("fracture",): (
        "no rib fracture is seen",
        "the ribs are intact",
        "the bones are unremarkable",
        "no acute bony abnormality",
    ),
    _SUMMARY: ("no acute cardiopulmonary abnormality", "no acute cardiopulmonary process is seen"),
}
_OTHERWISE = ("the lungs are otherwise clear", "the remaining lungs are clear")

_COMPARISON: dict[str, tuple[str, ...]] = {
    "unchanged": (
        "compared with the prior study, {thing} unchanged",
        "there is no change since the prior study",
        "this is unchanged from the prior study",
        "{thing} stable since the prior study",
    ),
    "worse": (
        "compared with the prior study, {thing} worse",
        "{thing} worse since the prior study",
        "there is worsening since the prior study",
    ),
    "improved": (
        "compared with the prior study, {thing} improved",
        "{thing} improved since the prior study",
        "there is improvement since the prior study",
    ),
}

_COMPLAINTS = (
    "Cough.",
    "Shortness of breath.",
    "Chest pain.",
    "Fever.",
    "Fever and cough.",
    "Weakness.",
    "Preoperative assessment.",
    "Routine examination.",
    "Dyspnea.",
    "None",
    "None",
)
_HINTS = {
    "cardiomegaly": ("Heart failure.", "Leg swelling."),
    "mediastinum": ("Chest pain, rule out aortic disease.",),
    "effusion": ("Shortness of breath, question effusion.", "Decreased breath sounds."),
    "pneumothorax": ("Sudden chest pain, rule out pneumothorax.", "Sudden shortness of breath."),
    "consolidation": ("Fever, rule out pneumonia.", "Productive cough."),
    "atelectasis": ("Recent surgery.",),
    "edema": ("Heart failure.", "Dyspnea, question edema."),
    "lesion": ("Weight loss.", "History of cancer."),
    "fracture": ("Fall.", "Trauma."),
    "pacemaker": ("Arrhythmia.",),
    "catheter": ("Line placement.",),
    "tube": ("Intubated patient.",),
}
_FOLLOW_UP = ("Follow-up.", "Follow-up of prior study.", "Interval change.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """What a report says.

    Attributes:
      findings: What is there; at most one of a kind.
      denied: Statements of absence, each the kinds that it rules out.
      comparison: How the study compares with a prior one, out of `CHANGES`; None without.
    """

    findings: tuple[Finding, ...]
    denied: tuple[tuple[str, ...], ...] = ()
    comparison: str | None = None


def plan(findings: Sequence[Finding], rng: np.random.Generator, *, prior: float = 0.0) -> Content:
    """Chooses what a report of `findings` says beside them: normals, and a prior at times.

    Args:
      findings: What the picture shows.
      rng: Source of the choices.
      prior: Probability that the report compares with a prior study.
    """
    present = {f.kind for f in findings}
    denied = [d for d in _denials(present, rng) if d]
    comparison = None
    if rng.random() < prior:
        odds = (0.5, 0.3, 0.2) if present - {"pacemaker", "catheter", "tube"} else (1.0, 0.0, 0.0)
        comparison = str(rng.choice(CHANGES, p=odds))
    return Content(findings=tuple(findings), denied=tuple(denied), comparison=comparison)


def _denials(present: set[str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Statements of absence region by region: heart, lungs, pleura, bones."""
    lungs = tuple(k for k in LUNG_KINDS if k not in present)
    pleura = tuple(k for k in _PLEURA if k not in present)
    clear = len(lungs) == len(LUNG_KINDS)
    out = [_heart_denial(present, rng)]
    if clear and len(pleura) == 2 and rng.random() < 0.1:
        out.append(_SUMMARY)
    else:
        if clear or rng.random() < 0.4:
            out.append(lungs)
        elif rng.random() < 0.6:
            out.append(tuple(k for k in ("consolidation", "edema") if k not in present))
        if pleura and rng.random() < 0.9:
            out.append(pleura)
    if "fracture" not in present and rng.random() < 0.55:
        out.append(("fracture",))
    return out


def _heart_denial(present: set[str], rng: np.random.Generator) -> tuple[str, ...]:
    absent = tuple(k for k in _SILHOUETTE if k not in present)
    draw = rng.random()
    if absent == _SILHOUETTE:
        return _SILHOUETTE if draw < 0.55 else _HEART
    return absent if draw < 0.7 else ()


def write(content: Content, rng: np.random.Generator) -> str:
    """The report of `content` in prose; `reading.read` gets all of it back.

    Positive statements and normals come in any order, but "otherwise clear" always follows the
    lung findings that it excepts.
    """
    lungs = {f.kind for f in content.findings} & set(LUNG_KINDS)
    late = [d for d in content.denied if d not in _NEGATIVE]
    opening = [_positive(f, rng) for f in content.findings]
    opening += [_pick(_NEGATIVE[d], rng) for d in content.denied if d in _NEGATIVE]
    # Most radiologists go through the regions in turn; some just say what strikes them first.
    sentences = [opening[i] for i in rng.permutation(len(opening))]
    sentences += [_pick(_OTHERWISE, rng) for _ in late if lungs]
    if content.comparison is not None:
        where = 0 if rng.random() < 0.5 else len(sentences)
        sentences.insert(where, _compared(content, rng))
    return " ".join(s[0].upper() + s[1:] + "." for s in sentences)


def _positive(finding: Finding, rng: np.random.Generator) -> str:
    both = f"{finding.kind} bilateral" if finding.side == "bilateral" else finding.kind
    words = _GRADE_WORDS.get(finding.kind, {}).get(finding.severity or "", ("",))
    grade = _pick(words, rng)
    template = _pick(_POSITIVE[both], rng)
    return template.format(grade=grade, side=finding.side, zone=finding.zone)


def _compared(content: Content, rng: np.random.Generator) -> str:
    kinds = [f.kind for f in content.findings if f.kind in ("effusion", "edema", "pneumothorax")]
    thing = "the findings are"
    if kinds and rng.random() < 0.6:
        plural = any(f.kind == kinds[0] and f.side == "bilateral" for f in content.findings)
        thing = f"the {kinds[0]}s are" if plural else f"the {kinds[0]} is"
    return _pick(_COMPARISON[content.comparison or "unchanged"], rng).format(thing=thing)


def indication(content: Content, rng: np.random.Generator) -> str:
    """Why the study was asked for: mostly a common complaint, at times a hint, at times "None"."""
    if content.comparison is not None and rng.random() < 0.5:
        return _pick(_FOLLOW_UP, rng)
    if content.findings and rng.random() < 0.3:
        finding = content.findings[int(rng.integers(len(content.findings)))]
        return _pick(_HINTS[finding.kind], rng)
    return _pick(_COMPLAINTS, rng)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
