"""F1 per label against hand counts, and what happens to labels that nothing has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from chexjax.evaluate.labels import label_scores
from chexjax.judges import Labeling
from chexjax.judges.label_f1 import Uncertain

REFERENCES = ["effusion and edema", "edema", "effusion", "clear lungs"]
REPORTS = ["effusion", "effusion", "effusion", "clear edema"]


def test_f1_from_counts(labeler: Labeling) -> None:
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
    labeler: Labeling,
) -> None:
    def fond_of_fractures(reports: Sequence[str]) -> list[dict[str, int]]:
        return [
            {**found, "Fracture": int("clear" in report and "edema" in report)}
            for report, found in zip(reports, labeler.labeler(reports), strict=True)
        ]

    found = label_scores(REFERENCES, REPORTS, Labeling("x", fond_of_fractures), seed=0)
    fracture = found.names.index("Fracture")
    assert (found.support[fracture], found.predicted[fracture]) == (0, 1)
    assert math.isnan(found.f1[fracture].mean)
    assert found.macro.mean == pytest.approx(0.4)
    # The false claim still counts in the micro mean.
    assert found.micro.mean == pytest.approx(2 * 2 / (4 + 5))


@pytest.mark.parametrize(("uncertain", "count"), [("present", 2), ("absent", 0)])
def test_uncertain_counts_as_it_is_told(uncertain: Uncertain, count: int) -> None:
    labeling = Labeling("x", lambda reports: [{"Edema": -1} for _ in reports], uncertain)
    found = label_scores(["a", "b"], ["a", "b"], labeling, seed=0)
    assert sum(found.support) == sum(found.predicted) == count
    assert math.isnan(found.macro.mean) == math.isnan(found.micro.mean) == (not count)
    assert found.labeler == f"x, uncertain {uncertain}"


def test_averages_that_papers_quote_count_undefined_f1_as_nothing(labeler: Labeling) -> None:
    found = label_scores(REFERENCES, REPORTS, labeler, seed=0).averages
    # Edema 0, effusion 0.8, and 12 labels that nobody has; reports: 2/3, 0, 1, 0.
    assert found["f1_14_macro"].mean == pytest.approx(0.8 / 14)
    assert found["f1_5_macro"].mean == pytest.approx(0.8 / 5)
    assert found["f1_5_weighted"].mean == pytest.approx(0.4)
    assert found["f1_14_micro"].mean == found["f1_5_micro"].mean == pytest.approx(0.5)
    assert found["f1_5_samples"].mean == pytest.approx((2 / 3 + 1) / 4)
    assert found["f1_mean_of_four"].mean == pytest.approx((0.8 / 14 + 0.8 / 5 + 1) / 4)
    assert found["exact_5"].mean == pytest.approx(1 / 4)
    assert found["f1_14_micro"].low <= 0.5 <= found["f1_14_micro"].high
