"""Relative gains and their average, by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies import gain


def changed(evaluation: Evaluation, number: int, **columns: list[float]) -> Evaluation:
    systems = list(evaluation.systems)
    arrays = {name: np.asarray(values, np.float64) for name, values in columns.items()}
    systems[number] = dataclasses.replace(
        systems[number], columns={**systems[number].columns, **arrays}
    )
    return dataclasses.replace(evaluation, systems=tuple(systems))


def test_gains_are_of_means_and_their_average_is_plain(evaluation: Evaluation) -> None:
    found = changed(evaluation, 0, score=[0.2] * 4, bleu=[0.5] * 4)
    found = changed(found, 2, score=[0.1, 0.5, 0.3, 0.3], bleu=[0.4] * 4)
    last = gain.gains(found, ("score", "bleu"))[-1]
    # (0.3 / 0.2 - 1) = 50 %, (0.4 / 0.5 - 1) = -20 %: 15 % on average.
    assert last.each["score"].mean == pytest.approx(50)
    assert last.each["bleu"].mean == pytest.approx(-20)
    assert last.each["bleu"].low == pytest.approx(-20) == last.each["bleu"].high
    assert last.average.mean == pytest.approx(15)
    assert last.average.low == pytest.approx((last.each["score"].low - 20) / 2)
    text = gain.show([last])
    assert "+15.0\u00a0%" in text and "\u221220.0\u00a0%" in text and "over SFT" in text


def test_published_gains_follow(evaluation: Evaluation) -> None:
    """CheXagent with KTO by GREEN: GREEN 0.249 to 0.328, BERTScore 0.856 to 0.867."""
    found = changed(evaluation, 0, score=[0.249] * 4, bleu=[0.856] * 4)
    found = changed(found, 2, score=[0.328] * 4, bleu=[0.867] * 4)
    last = gain.gains(found, ("score", "bleu"))[-1]
    assert last.each["score"].mean == pytest.approx(31.7, abs=0.05)
    assert last.each["bleu"].mean == pytest.approx(1.3, abs=0.05)


def test_labels_count_with_the_draws_of_the_studies(evaluation: Evaluation) -> None:
    """Macro F1: SFT names effusion in 3 for 2 studies that have it, and no edema."""
    last = gain.gains(evaluation, ("macro_f1",))[-1]
    assert evaluation.baseline.labels is not None and evaluation.test.labels is not None
    ratio = evaluation.test.labels.macro.mean / evaluation.baseline.labels.macro.mean
    assert last.average.mean == pytest.approx(100 * (ratio - 1))
    assert last.average.low <= last.average.mean <= last.average.high


def test_a_gain_by_the_average_of_papers(evaluation: Evaluation) -> None:
    """SFT: of both labels' 4 it hits 2 with 3 claims; effusion 0.8, edema none. Aligned: all."""
    last = gain.gains(evaluation, ("f1_mean_of_four",))[-1]
    micro, macro = 2 * 2 / (4 + 3), 0.8
    before = (2 * micro + macro / 14 + macro / 5) / 4
    after = (2 + 2 / 14 + 2 / 5) / 4
    assert last.average.mean == pytest.approx(100 * (after / before - 1))
    assert last.average.low <= last.average.mean <= last.average.high
    assert "F1, mean of four" in gain.show([last])


def test_without_a_choice_the_score_counts_once(evaluation: Evaluation) -> None:
    assert gain.measures_of(evaluation, ()) == ["score", "rouge_l", "bleu", "macro_f1"]
    with pytest.raises(ValueError, match="'green' is not measured; choose from score"):
        gain.measures_of(evaluation, ("green",))


def test_a_gain_on_nothing_is_not_defined(evaluation: Evaluation) -> None:
    found = changed(evaluation, 0, score=[0.0] * 4)
    assert math.isnan(gain.gains(found, ("score",))[-1].average.mean)


def test_a_measure_that_starts_below_zero_leaves_the_average_alone(evaluation: Evaluation) -> None:
    """As RadCliQ with its sign turned does, and BERTScore rescaled by a baseline."""
    turned = changed(evaluation, 0, score=[0.2] * 4, rouge_l=[-0.3] * 4, bleu=[0.5] * 4)
    turned = changed(turned, 2, score=[0.3] * 4, bleu=[0.5] * 4)
    last = gain.gains(dataclasses.replace(turned, systems=turned.systems[::2]))[-1]
    assert last.left_out == ("rouge_l",) and "rouge_l" not in last.each
    assert last.average.mean == pytest.approx((50 + 0 + last.each["macro_f1"].mean) / 3)
    text = gain.show([last])
    assert "Left out, since the mean of SFT is not above zero: ROUGE-L." in text
    assert gain.gains(turned, ("score", "bleu"))[-1].left_out == ()
