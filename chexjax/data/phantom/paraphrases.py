"""Other ways to say what the phantom's radiologist says, for readers that must not know its
sentences by heart. `reading.read` gets the content of each of them back."""

from __future__ import annotations

from chexjax.data.phantom.findings import LUNG_KINDS
from chexjax.data.phantom.phrases import HEART, MEDIASTINUM, PLEURA, SILHOUETTE, SUMMARY, Phrasebook

PARAPHRASES = Phrasebook(
    positive={
        "cardiomegaly": (
            "{grade} enlargement of the cardiac silhouette",
            "heart size is {grade}ly enlarged",
            "cardiomegaly, {grade}",
            "again seen is {grade} cardiomegaly",
            "the heart appears {grade}ly enlarged in size",
            "enlarged heart, {grade} in degree",
        ),
        "mediastinum": (
            "mediastinal widening is noted",
            "the superior mediastinum appears widened",
            "enlargement of the mediastinum is present",
            "wide mediastinal contour",
            "there is a widened upper mediastinal silhouette",
        ),
        "effusion": (
            "{side}-sided pleural effusion, {grade}",
            "pleural effusion on the {side}, {grade} in size",
            "{grade} effusion at the {side} costophrenic angle",
            "the {side} pleural space contains a {grade} effusion",
            "there is blunting from a {grade} effusion on the {side}",
            "a {side} pleural effusion of {grade} size is present",
        ),
        "effusion bilateral": (
            "{grade} effusions are present on both sides",
            "bilateral pleural effusions, {grade} in size",
            "both costophrenic angles are blunted by {grade} effusions",
            "there are {grade} effusions bilaterally",
        ),
        "pneumothorax": (
            "{side}-sided pneumothorax, {grade}",
            "pneumothorax on the {side}, {grade} in size",
            "there is a {grade} pneumothorax along the {side} chest wall",
            "a {side} pneumothorax of {grade} size, the pleural line is visible",
            "visible pleural line from a {grade} {side} pneumothorax",
        ),
        "consolidation": (
            "consolidation of the {side} lung, {zone} zone",
            "{zone} zone consolidation on the {side}",
            "airspace consolidation is present in the {side} {zone} lung",
            "opacity in keeping with consolidation in the {zone} {side} lung",
            "focal {side} {zone} consolidation is noted",
        ),
        "atelectasis": (
            "{side} base atelectasis",
            "bands of {side} basal atelectasis are noted",
            "volume loss and atelectasis at the {side} base",
            "there is linear {side} basilar atelectasis",
            "atelectasis on the {side}",
        ),
        "atelectasis bilateral": (
            "bibasal bands, atelectasis on both sides",
            "bilateral atelectasis is noted",
            "volume loss and atelectasis at both lung bases",
            "there is linear basilar atelectasis bilaterally",
        ),
        "edema": (
            "pulmonary edema, {grade}",
            "{grade} interstitial edema is noted",
            "perihilar opacity from {grade} pulmonary edema",
            "findings in keeping with {grade} edema",
            "there is haze consistent with {grade} pulmonary edema",
        ),
        "lesion": (
            "round {grade} in the {side} lung, {zone} zone",
            "{grade} in the {zone} zone on the {side}",
            "there is a round {zone} {grade} on the {side}",
            "a {side} {zone} lung {grade} is noted",
        ),
        "fracture": (
            "acute {side} rib fractures",
            "fractured {side} ribs are noted",
            "there are fractures of ribs on the {side}",
            "the {side} ribs are fractured and displaced",
            "{side}-sided rib fracture is present",
        ),
        "pacemaker": (
            "pacemaker on the {side}",
            "{side}-sided pacemaker in the chest wall",
            "there is a {side} pacemaker, leads in place",
            "leads of a {side} pacemaker project over the chest",
        ),
        "catheter": (
            "{side} central venous line in place",
            "there is a {side} central venous catheter, tip in the vena cava",
            "{side}-sided central catheter is present",
            "the tip of the {side} central line is in the cava",
        ),
        "tube": (
            "there is an endotracheal tube",
            "endotracheal tube is present",
            "the tip of the endotracheal tube lies above the carina",
        ),
    },
    negative={
        HEART: (
            "no cardiomegaly",
            "normal heart size",
            "the heart is unremarkable",
            "cardiac silhouette within normal limits",
            "no enlargement of the heart",
            "there is no cardiac enlargement",
        ),
        MEDIASTINUM: (
            "no mediastinal widening",
            "normal mediastinum",
            "mediastinal silhouette within normal limits",
            "there is no widening of the mediastinum",
            "the mediastinum appears normal",
        ),
        SILHOUETTE: (
            "normal cardiomediastinal silhouette",
            "cardiomediastinal contours are unremarkable",
            "the mediastinum and heart are within normal limits",
            "the cardiomediastinal silhouette is not enlarged",
        ),
        LUNG_KINDS: (
            "clear lungs",
            "the lungs are expanded and unremarkable",
            "lungs are well inflated and normal",
            "both lung fields are clear",
            "lungs clear",
        ),
        ("consolidation",): (
            "no consolidation",
            "negative for consolidation",
            "there is no focal consolidation is seen",
            "without consolidation",
        ),
        ("edema",): (
            "no edema",
            "there is no pulmonary edema",
            "normal pulmonary vasculature",
            "pulmonary vessels are unremarkable",
            "the pulmonary vasculature is unremarkable",
            "without edema",
        ),
        ("consolidation", "edema"): (
            "no focal consolidation or pulmonary edema",
            "there is no consolidation and no edema",
            "neither process is seen, no consolidation nor edema",
            "without edema or consolidation",
        ),
        PLEURA: (
            "no effusion, no pneumothorax",
            "pleural spaces are unremarkable",
            "there is no effusion or pneumothorax",
            "without pneumothorax or effusion",
            "normal pleural spaces",
            "the lungs are free of pneumothorax or pleural effusion",
        ),
        ("effusion",): (
            "no effusion",
            "sharp costophrenic angles",
            "costophrenic angles are clear",
            "the costophrenic angles are normal",
            "without pleural effusion",
        ),
        ("pneumothorax",): (
            "without pneumothorax",
            "there is no visible pneumothorax",
            "negative for pneumothorax",
            "no pneumothorax is present",
        ),
        ("fracture",): (
            "no fracture",
            "there is no rib fracture",
            "intact ribs",
            "no bony abnormality is seen",
            "osseous structures are normal, the bones intact",
            "no acute fracture of the ribs",
            "the ribs are unremarkable",
        ),
        SUMMARY: (
            "no cardiopulmonary abnormality",
            "there is no acute cardiopulmonary process",
            "without acute cardiopulmonary abnormality",
            "no cardiopulmonary process",
        ),
    },
    otherwise=(
        "otherwise clear lungs",
        "lungs otherwise clear",
        "the remaining lung fields are clear",
        "the remaining lungs are unremarkable",
        "the lungs are otherwise normal",
    ),
    opening={
        "unchanged": (
            "compared to the prior, {thing} stable",
            "as compared with the previous study, {thing} unchanged",
            "comparison with the prior study, {thing} stable in appearance",
            "since the prior study, no change",
        ),
        "worse": (
            "since the prior study, {thing} worse",
            "compared to the previous study, {thing} increased",
            "interval worsening since the prior study",
        ),
        "improved": (
            "since the prior study, {thing} improved",
            "compared to the previous study, {thing} decreased",
            "interval improvement since the prior study",
        ),
    },
    closing={
        "unchanged": (
            "no interval change",
            "{thing} unchanged since the previous study",
            "stable since the prior study",
            "{thing} stable from the prior study",
        ),
        "worse": (
            "worsening from the prior study",
            "{thing} increased from the prior study",
            "progression since the previous study",
        ),
        "improved": (
            "improvement from the prior study",
            "{thing} decreased from the prior study",
            "{thing} resolving since the previous study",
        ),
    },
)
"""Sentences that the phantom's own reports never have."""

SYNONYMS = {
    "small": ("tiny", "trace", "slight", "minimal", "mild"),
    "mild": ("slight", "minimal", "small"),
    "mildly": ("slightly", "minimally"),
    "large": ("massive", "marked", "severe"),
    "severe": ("massive", "marked", "large"),
    "severely": ("markedly",),
    "lower": ("basal", "basilar"),
    "upper": ("apical",),
    "mid": ("middle",),
    "present": ("noted", "seen"),
    "seen": ("noted", "present"),
}
"""Words that stand for each other."""
