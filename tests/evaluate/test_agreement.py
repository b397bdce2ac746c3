"""Agreement beyond chance, against the values that textbooks print."""

from __future__ import annotations

import numpy as np
import pytest

from chexjax.evaluate.readers.agreement import cohen, fleiss, krippendorff


def column(*counts: tuple[int, int, int]) -> np.ndarray:
    """Ratings of two raters from a table: (first's category, second's, how many cases)."""
    return np.array([(a, b) for a, b, count in counts for _ in range(count)])


def test_cohen_of_fifty_proposals() -> None:
    # The usual example: both yes 20, both no 15, 5 and 10 apart; 0.7 observed, 0.5 by chance.
    ratings = column((1, 1, 20), (1, 0, 5), (0, 1, 10), (0, 0, 15))
    assert cohen(ratings[:, 0], ratings[:, 1]) == pytest.approx(0.4)


def test_cohen_tells_two_tables_of_equal_agreement_apart() -> None:
    # 60 of 100 equal in both, but chance differs: 0.1304 and 0.2593 (Smeeton's point on kappa).
    first = column((1, 1, 45), (1, 0, 15), (0, 1, 25), (0, 0, 15))
    second = column((1, 1, 25), (1, 0, 35), (0, 1, 5), (0, 0, 35))
    assert cohen(first[:, 0], first[:, 1]) == pytest.approx(0.1304, abs=5e-5)
    assert cohen(second[:, 0], second[:, 1]) == pytest.approx(0.2593, abs=5e-5)


def test_fleiss_of_ten_subjects_and_fourteen_raters() -> None:
    table = [
        (0, 0, 0, 0, 14),
        (0, 2, 6, 4, 2),
        (0, 0, 3, 5, 6),
        (0, 3, 9, 2, 0),
        (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0),
        (3, 2, 6, 3, 0),
        (2, 5, 3, 2, 2),
        (6, 5, 2, 1, 0),
        (0, 2, 2, 3, 7),
    ]
    ratings = np.array([[c for c, n in enumerate(row) for _ in range(n)] for row in table])
    assert fleiss(ratings) == pytest.approx(0.210, abs=5e-4)


KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def test_krippendorff_of_four_observers_with_gaps() -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011), nominal data: 0.743.
    rows = [[int(c) if c != "." else -1 for c in r.split()] for r in KRIPPENDORFF.split("\n")[1:-1]]
    assert krippendorff(np.array(rows).T) == pytest.approx(0.743, abs=5e-4)


def test_gaps_leave_cases_out_for_those_who_did_not_rate_them() -> None:
    full = column((0, 0, 6), (1, 1, 5), (0, 1, 3))
    gaps = np.concatenate([full, [[0, -1], [-1, 1], [-1, -1]]])
    assert cohen(gaps[:, 0], gaps[:, 1]) == cohen(full[:, 0], full[:, 1])
    assert fleiss(gaps) == fleiss(full)
    assert krippendorff(gaps) == krippendorff(full)


@pytest.mark.parametrize("same", [[[0, 0], [1, 1], [2, 2]], [[1, 1], [0, 0], [0, 0]]])
def test_full_agreement_is_one(same: list[list[int]]) -> None:
    ratings = np.array(same)
    for found in (cohen(ratings[:, 0], ratings[:, 1]), fleiss(ratings), krippendorff(ratings)):
        assert found == pytest.approx(1.0)


def test_one_category_or_nothing_shared_has_no_agreement_beyond_chance() -> None:
    for ratings in (np.zeros((4, 2), np.int64), np.array([[0, -1], [-1, 1]])):
        assert np.isnan(cohen(ratings[:, 0], ratings[:, 1]))
        assert np.isnan(fleiss(ratings)) and np.isnan(krippendorff(ratings))
