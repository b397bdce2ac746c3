"""F1 of labels against scikit-learn's report, recorded, and its traps by hand."""

import numpy as np
import pytest

from chexjax.data.chexpert_labels import CHEXPERT_5, CHEXPERT_14
from chexjax.judges.label_f1 import FIVE, averages, counted, present

# Twelve reports, a bit a label. One label that neither side has, one that no reference has, a
# report without labels on either side.
TRUTH = [0, 88, 852, 521, 0, 537, 258, 12288, 10529, 10240, 0, 784]
SAID = [4, 976, 9029, 2601, 0, 697, 941, 12296, 8489, 10240, 8329, 272]

SKLEARN = {  # 1.9.1, classification_report(zero_division=0)
    "f1_14_micro": 0.64,
    "f1_14_macro": 0.5481292517,
    "f1_14_weighted": 0.6942802408,
    "f1_14_samples": 0.5332912458,
    "f1_5_micro": 0.8387096774,
    "f1_5_macro": 0.8825396825,
    "f1_5_weighted": 0.8433862434,
    "f1_5_samples": 0.5825396825,
}


def bits(numbers):
    return np.array([[int(b) for b in f"{number:014b}"] for number in numbers], bool)


def scores(truth, said):
    return {
        name: float(value[0])
        for name, value in averages(counted(truth, said).mean(0, keepdims=True)).items()
    }


def test_averages_are_those_of_scikit_learn():
    found = scores(bits(TRUTH), bits(SAID))
    for name, value in SKLEARN.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    four = [SKLEARN[f"f1_{n}_{a}"] for n in (14, 5) for a in ("micro", "macro")]
    assert found["f1_mean_of_four"] == pytest.approx(sum(four) / 4, abs=1e-9)
    assert found["exact_5"] == pytest.approx(8 / 12)


def test_weighted_alone_feels_which_side_is_the_reference():
    there, back = scores(bits(TRUTH), bits(SAID)), scores(bits(SAID), bits(TRUTH))
    apart = {name for name in there if there[name] != pytest.approx(back[name])}
    assert apart == {"f1_14_weighted", "f1_5_weighted"}


def test_reports_without_any_label_agree_and_count_nothing():
    found = scores(bits([0, 0]), bits([0, 0]))
    assert found.pop("exact_5") == 1
    assert set(found.values()) == {0.0}


def test_the_five_are_the_published_columns():
    assert FIVE == [1, 4, 5, 7, 9]
    assert [CHEXPERT_14[k] for k in FIVE] == list(CHEXPERT_5)


def test_presence_of_uncertain_labels():
    labels = [{"Edema": 1, "Fracture": -1, "Pneumonia": 0}]
    edema, fracture = CHEXPERT_14.index("Edema"), CHEXPERT_14.index("Fracture")
    assert np.flatnonzero(present(labels, "present")).tolist() == [edema, fracture]
    assert np.flatnonzero(present(labels, "absent")).tolist() == [edema]
