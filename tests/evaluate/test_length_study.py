"""Length exploitation: what counts as repetition, and how a score hangs on length."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies import length_study
from chexjax.evaluate.studies.length_study import (
    lc_drop,
    rank_correlation,
    ratio_of_means,
    repeats,
    repetition,
)


@pytest.mark.parametrize(
    ("report", "found"),
    [
        ("", (0, 0)),
        ("no effusion seen", (0, 0)),
        ("the heart is large", (0, 1)),
        # Eight words have five runs of four; the last one is the first again.
        ("The heart is large the heart is large", (1, 5)),
        ("no no no no no no", (2, 3)),
    ],
)
def test_repeated_runs_of_four_words(report: str, found: tuple[int, int]) -> None:
    assert repeats(report) == found


def test_repetition_pools_the_runs_of_all_reports() -> None:
    reports = ["the heart is large", "no no no no no no", ""]
    assert repetition(reports, seed=0).mean == pytest.approx(2 / 4)
    assert np.isnan(repetition(["short", ""], seed=0).mean)


def test_rank_correlation_is_spearmans_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 200).astype(np.float64)
    y = x + rng.normal(0, 4, 200)
    found = rank_correlation(x, y, seed=0)
    assert found.mean == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    half = 1.96 * (1 - found.mean**2) / np.sqrt(200)
    assert (found.low, found.high) == pytest.approx(
        (found.mean - half, found.mean + half), abs=0.03
    )
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0), seed=0).mean)


def test_a_ratio_of_means_is_no_mean_of_ratios() -> None:
    over, under = np.array([1.0, 3.0]), np.array([1.0, 1.0])
    assert ratio_of_means(over, under, seed=0).mean == 2.0
    assert np.isnan(ratio_of_means(over, np.zeros(2), seed=0).mean)


def test_both_denominators_of_verbosity_and_the_drop(evaluation: Evaluation) -> None:
    study = length_study.length_study(evaluation)
    sft, _, aligned = study.systems
    # Words of SFT 1, 1, 1, 1, of aligned 3, 3, 1, 3, of the references 3, 1, 1, 3.
    assert sft.to_baseline is None and sft.to_reference.mean == pytest.approx(
        (1 / 3 + 2 + 1 / 3) / 4
    )
    assert aligned.to_baseline is not None and aligned.to_baseline.mean == pytest.approx(2.5)
    assert aligned.to_reference.mean == pytest.approx((1 + 3 + 1 + 1) / 4)
    # Scores 1, 1, 1, 2/3; controlled 1, 1/3, 1, 2/3: of 11/3 are 3 left.
    assert aligned.drop.mean == pytest.approx(1 - 3 / (11 / 3))
    assert aligned.drop.low <= aligned.drop.mean <= aligned.drop.high
    assert sft.drop.mean == 0


def test_control_of_length_lowers_a_negative_score_too() -> None:
    score = np.array([-1.0, -2.0, -1.0])
    assert lc_drop(score * [1.0, 2.0, 1.0], score, seed=0).mean == pytest.approx(6 / 4 - 1)


def test_score_by_length_counts_every_report_once(evaluation: Evaluation) -> None:
    aligned = length_study.length_study(evaluation).systems[-1]
    assert [count for count, _ in aligned.bins] == [0, 0, 3, 0, 0, 1]
    assert aligned.bins[2][1].mean == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert aligned.bins[5][1].mean == pytest.approx(1)
    text = length_study.show(length_study.length_study(evaluation), evaluation)
    assert "3 reports" in text and "over 1.5" in text and "\u00f7 words of SFT" in text
