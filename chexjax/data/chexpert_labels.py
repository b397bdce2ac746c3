"""The 14 labels that CheXpert, MIMIC-CXR and CheXbert share, in CheXbert's order."""

from __future__ import annotations

CHEXPERT_14 = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)

CHEXPERT_5 = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""Those of CheXpert's competition, which papers report beside all 14."""

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
"""What a source can say of a label; where it says nothing, the label is left out."""
