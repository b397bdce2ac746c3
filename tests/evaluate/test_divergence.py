"""Distance from SFT, and what was gained on the way."""

from __future__ import annotations

import pytest

from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Interval
from chexjax.evaluate.studies.divergence import NONE, distances, estimate, show


def test_divergence_is_the_mean_of_log_ratios() -> None:
    found = estimate([-4.0, -3.0], [-6.0, -3.0], seed=0)
    # Draws of two studies have a mean of 0, 1 or 2.
    assert found == Interval(1.0, 0.0, 2.0)
    assert estimate([-2.0], [-5.0], seed=0) == Interval(3.0, 3.0, 3.0)


def test_each_policy_stands_with_what_it_gained_on_sft(evaluation: Evaluation) -> None:
    gone = Interval(1.25, 1.0, 1.5)
    sft, aligned = distances(evaluation, "SFT", {"aligned": gone})
    assert (sft.system, sft.divergence, sft.gain) == ("SFT", NONE, None)
    assert (aligned.system, aligned.divergence) == ("aligned", gone)
    # Shared words: SFT has 1/3, 0, 1 and 1/3 of the references, aligned 1, 1, 1 and 2/3.
    assert aligned.gain is not None
    assert aligned.gain.mean == pytest.approx((2 / 3 + 1 + 0 + 1 / 3) / 4)
    assert aligned.gain == evaluation.difference("aligned", "SFT")
    page = show([sft, aligned])
    assert "1.25" in page and "Score \u2212 SFT" in page


def test_without_policies_there_is_nothing_to_show(evaluation: Evaluation) -> None:
    assert distances(evaluation, "SFT", {}) == []
