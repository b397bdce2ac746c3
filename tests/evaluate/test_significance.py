"""The bootstrap: against closed forms, scipy, and what an interval promises."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from chexjax.evaluate import significance
from chexjax.evaluate.significance import (
    Interval,
    bootstrap_p,
    chance,
    holm,
    interval,
    mean_intervals,
    number,
    randomisation_p,
)


def test_interval_of_a_mean_agrees_with_the_normal_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = mean_intervals({"x": values}, seed=1)["x"]
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


def test_interval_agrees_with_scipy_on_skewed_values() -> None:
    values = np.random.default_rng(3).exponential(size=60)
    found = mean_intervals({"x": values}, seed=2)["x"]
    peer = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.015)


def test_pairing_takes_out_what_the_studies_share() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(size=100)
    a, b = hard + 0.02 + rng.normal(0, 0.01, 100), hard
    found = mean_intervals({"a": a, "b": b, "gain": a - b}, seed=0)
    assert found["gain"].sign == 1
    assert not found["a"].apart(found["b"])


def test_same_seed_same_interval_alone_or_beside_others_and_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).uniform(size=37)
    alone = mean_intervals({"x": values}, seed=9, resamples=500)["x"]
    beside = mean_intervals({"y": -values, "x": values}, seed=9, resamples=500)["x"]
    monkeypatch.setattr(significance, "_CELLS", 37 * 64)
    parts = mean_intervals({"x": values}, seed=9, resamples=500)["x"]
    assert (beside.low, beside.high) == pytest.approx((alone.low, alone.high))
    assert (parts.low, parts.high) == pytest.approx((alone.low, alone.high))


def test_a_constant_has_an_interval_of_no_width() -> None:
    assert mean_intervals({"x": np.full(5, 0.25)}, seed=0)["x"] == Interval(0.25, 0.25, 0.25)


def test_undefined_resamples_are_left_out() -> None:
    assert interval(1.0, np.array([1.0, np.nan, 1.0])) == Interval(1.0, 1.0, 1.0)
    assert np.isnan(interval(np.nan, np.array([np.nan])).low)


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.1, 0.3, 1), (-0.3, -0.1, -1), (-0.1, 0.1, 0), (0.0, 0.1, 0)]
)
def test_sign_needs_the_whole_interval_on_one_side_of_zero(
    low: float, high: float, sign: int
) -> None:
    assert Interval(0.0, low, high).sign == sign


def test_numbers_for_people() -> None:
    assert number(0.1234) == "0.123"
    assert number(-0.5, 1) == "\u22120.5"
    assert number(-0.0001, 3, signed=True) == "+0.000"
    assert number(float("nan")) == "-"
    assert Interval(0.5, 0.25, 0.75).span(2, signed=True) == "+0.25 to +0.75"


def test_randomisation_of_few_studies_is_exact() -> None:
    """Sums of +-1 +-2 +-3: two of eight reach 6; of the second column four of eight reach 2."""
    gaps = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 0.0]])
    np.testing.assert_allclose(randomisation_p(gaps, seed=0), [2 / 8, 4 / 8])


def test_randomisation_agrees_with_scipy_exactly_and_by_trials() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=12), rng.uniform(size=12) + 0.2

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return (x - y).mean(axis=axis)

    peer = scipy.stats.permutation_test(
        (a, b), difference, permutation_type="samples", n_resamples=2**12, vectorized=True
    )
    gaps = (a - b)[:, None]
    assert randomisation_p(gaps, seed=0)[0] == pytest.approx(peer.pvalue)
    drawn = randomisation_p(gaps, seed=0, trials=4000)[0]
    assert drawn == pytest.approx(peer.pvalue, abs=0.03)


def test_p_values_of_many_studies_agree_with_the_t_test() -> None:
    noise = np.random.default_rng(2).normal(0, 1.0, (300, 1))
    gaps = noise - noise.mean() + 0.1
    peer = scipy.stats.ttest_1samp(gaps[:, 0], 0).pvalue
    assert 0.01 < peer < 0.2  # somewhere that a wrong one would show
    assert bootstrap_p(gaps, seed=0)[0] == pytest.approx(peer, rel=0.15)
    assert randomisation_p(gaps, seed=0)[0] == pytest.approx(peer, rel=0.15)


def test_no_difference_has_p_one_and_a_large_one_the_smallest_that_can_be() -> None:
    gaps = np.stack([np.zeros(40), np.full(40, 0.5)], axis=1)
    np.testing.assert_allclose(randomisation_p(gaps, seed=0, trials=999), [1.0, 0.001])
    np.testing.assert_allclose(bootstrap_p(gaps, seed=0, resamples=999), [1.0, 0.001])


def test_holm_steps_down() -> None:
    """By hand: 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not be less than 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    undefined = holm([0.02, float("nan")])
    assert undefined[0] == 0.02 and np.isnan(undefined[1])


def test_p_values_for_people() -> None:
    assert [chance(p) for p in (0.0002, 0.0314, 1.0, float("nan"))] == [
        "< 0.001",
        "0.031",
        "1.000",
        "-",
    ]
