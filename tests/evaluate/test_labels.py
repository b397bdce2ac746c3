"""F1 per label against hand counts, and what happens to labels that nothing has."""

from __future__ import annotations

import math

import pytest

from chexjax.evaluate.labels import label_scores
from chexjax.evaluate.metrics import Labeler

REFERENCES = ["effusion and edema", "edema", "effusion", "clear lungs"]
REPORTS = ["effusion", "effusion", "effusion", "clear edema"]


def test_f1_from_counts(labeler: Labeler) -> None:
    found = label_scores(REFERENCES, REPORTS, labeler, seed=0)
    edema, effusion = (found.names.index(name) for name in ("Edema", "Pleural Effusion"))
    # Edema: in references 0 and 1, claimed in 3: no hit. Effusion: in 0 and 2, claimed in 0-2.
    assert (found.support[edema], found.predicted[edema]) == (2, 1)
    assert (found.support[effusion], found.predicted[effusion]) == (2, 3)
    assert found.f1[edema].mean == 0
    assert found.f1[effusion].mean == pytest.approx(2 * 2 / (2 + 3))
    assert found.macro.mean == pytest.approx((0 + 0.8) / 2)
    assert found.micro.mean == pytest.approx(2 * 2 / (4 + 4))
    assert found.micro.low <= found.micro.mean <= found.micro.high


def test_a_label_that_no_reference_has_is_undefined_and_outside_the_macro_mean(
    labeler: Labeler,
) -> None:
    def fond_of_fractures(report: str) -> dict[str, int]:
        return {**labeler(report)} | {"Fracture": int("clear" in report and "edema" in report)}

    found = label_scores(REFERENCES, REPORTS, fond_of_fractures, seed=0)
    fracture = found.names.index("Fracture")
    assert (found.support[fracture], found.predicted[fracture]) == (0, 1)
    assert math.isnan(found.f1[fracture].mean)
    assert found.macro.mean == pytest.approx(0.4)
    # The false claim still counts in the micro mean.
    assert found.micro.mean == pytest.approx(2 * 2 / (4 + 5))


def test_uncertain_is_not_present() -> None:
    found = label_scores(["a", "b"], ["a", "b"], lambda _: {"Edema": -1}, seed=0)
    assert sum(found.support) == sum(found.predicted) == 0
    assert math.isnan(found.macro.mean) and math.isnan(found.micro.mean)
