"""The words of the phantom's radiologist: fewer than 200, so that a tiny model learns them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

from chexjax.data.phantom.findings import LUNG_KINDS

Grades = Mapping[str, tuple[str, ...]]

VOLUME: Grades = {"mild": ("small",), "moderate": ("moderate",), "severe": ("large",)}
DEGREE: Grades = {"mild": ("mild",), "moderate": ("moderate",), "severe": ("severe", "marked")}
LESION: Grades = {"mild": ("nodule",), "severe": ("mass",)}
GRADE_WORDS: Mapping[str, Grades] = {
    "cardiomegaly": DEGREE,
    "edema": DEGREE,
    "effusion": VOLUME,
    "pneumothorax": VOLUME,
    "lesion": LESION,
}
"""How each grade is spoken of; lesions by the noun."""

POSITIVE: Mapping[str, tuple[str, ...]] = {
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
"""Statements of presence, by kind; those for both sides apart."""

NOUNS: Mapping[str, str] = {
    "cardiomegaly": "cardiomegaly",
    "mediastinum": "widened mediastinum",
    "effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
    "consolidation": "consolidation",
    "atelectasis": "atelectasis",
    "edema": "pulmonary edema",
    "lesion": "lung lesion",
    "fracture": "rib fractures",
    "pacemaker": "pacemaker",
    "catheter": "central venous catheter",
    "tube": "endotracheal tube",
}
"""What a finding is called where it does not stand in a sentence, by kind."""

HEART, MEDIASTINUM = ("cardiomegaly",), ("mediastinum",)
SILHOUETTE = HEART + MEDIASTINUM
PLEURA = ("effusion", "pneumothorax")
SUMMARY = ("consolidation", "edema", "effusion", "pneumothorax")

NEGATIVE: Mapping[tuple[str, ...], tuple[str, ...]] = {
    HEART: (
        "the heart size is normal",
        "the heart is normal in size",
        "the heart is not enlarged",
        "there is no cardiomegaly",
    ),
    MEDIASTINUM: (
        "the mediastinal contours are normal",
        "the mediastinum is not widened",
        "the mediastinum is unremarkable",
    ),
    SILHOUETTE: (
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
    PLEURA: (
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
    SUMMARY: ("no acute cardiopulmonary abnormality", "no acute cardiopulmonary process is seen"),
}
"""Statements of absence, by the kinds that they rule out."""

OTHERWISE = ("the lungs are otherwise clear", "the remaining lungs are clear")
"""Rules out the lung findings that the report has not stated before."""

OPENING: Mapping[str, tuple[str, ...]] = {
    "unchanged": (
        "compared with the prior study, {thing} unchanged",
        "compared with the prior study, {thing} stable",
    ),
    "worse": ("compared with the prior study, {thing} worse",),
    "improved": ("compared with the prior study, {thing} improved",),
}
"""Comparisons with a prior study that a report opens with, by the change."""

CLOSING: Mapping[str, tuple[str, ...]] = {
    "unchanged": (
        "there is no change since the prior study",
        "this is unchanged from the prior study",
        "{thing} stable since the prior study",
    ),
    "worse": (
        "{thing} worse since the prior study",
        "there is worsening since the prior study",
    ),
    "improved": (
        "{thing} improved since the prior study",
        "there is improvement since the prior study",
    ),
}
"""Comparisons that a report ends with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phrasebook:
    """The sentences that a radiologist has for everything: tables as those of this module.

    Attributes:
      positive: Statements of presence, by kind; those for both sides apart.
      negative: Statements of absence, by the kinds that they rule out.
      otherwise: What rules out the lung findings that were not stated before.
      opening: Comparisons that a report opens with, by the change.
      closing: Comparisons that a report ends with.
    """

    positive: Mapping[str, Sequence[str]]
    negative: Mapping[tuple[str, ...], Sequence[str]]
    otherwise: Sequence[str]
    opening: Mapping[str, Sequence[str]]
    closing: Mapping[str, Sequence[str]]

    def split(self) -> tuple[Phrasebook, Phrasebook]:
        """Cuts it in two: to learn from, and to be examined with.

        Of every list of two or more sentences the last one is kept for the examination, and the
        others are to be learnt from. A sentence that has no other beside it is in both.
        """
        return self._part(slice(None, -1)), self._part(slice(-1, None))

    def joined(self, other: Phrasebook) -> Phrasebook:
        """The sentences of both."""
        return Phrasebook(
            positive=_joined(self.positive, other.positive),
            negative=_joined(self.negative, other.negative),
            otherwise=(*self.otherwise, *other.otherwise),
            opening=_joined(self.opening, other.opening),
            closing=_joined(self.closing, other.closing),
        )

    def templates(self) -> set[str]:
        """All sentences, with the names of what is filled in."""
        tables = (self.positive, self.negative, self.opening, self.closing)
        return {*self.otherwise, *(t for table in tables for ts in table.values() for t in ts)}

    def _part(self, which: slice) -> Phrasebook:
        return Phrasebook(
            positive=_part(self.positive, which),
            negative=_part(self.negative, which),
            otherwise=self.otherwise[which] or self.otherwise,
            opening=_part(self.opening, which),
            closing=_part(self.closing, which),
        )


Key = TypeVar("Key")


def _part(table: Mapping[Key, Sequence[str]], which: slice) -> dict[Key, Sequence[str]]:
    return {key: sentences[which] or sentences for key, sentences in table.items()}


def _joined(
    one: Mapping[Key, Sequence[str]], other: Mapping[Key, Sequence[str]]
) -> dict[Key, Sequence[str]]:
    return {key: (*one[key], *other.get(key, ())) for key in one}


PHANTOM = Phrasebook(
    positive=POSITIVE, negative=NEGATIVE, otherwise=OTHERWISE, opening=OPENING, closing=CLOSING
)
"""All that the phantom's radiologist says."""

COMPLAINTS = (
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
"""Why the study was asked for, whatever it shows."""

HINTS = {
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
"""Why it was asked for, hinting at a finding."""

FOLLOW_UP = ("Follow-up.", "Follow-up of prior study.", "Interval change.")
