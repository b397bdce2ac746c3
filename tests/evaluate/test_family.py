"""The family of comparisons: which ones belong to it, and what Holm leaves of them."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from chexjax.data.study import Study
from chexjax.evaluate.labels import HEADLINE
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.evaluate.studies import family
from chexjax.judges import Labeling
from chexjax.judges.base import Judge


def test_the_system_under_test_meets_all_others_in_all_measures_but_length(
    evaluation: Evaluation,
) -> None:
    found = family.family(evaluation)
    assert {(one.of, one.minus) for one in found} == {
        ("aligned", "SFT"),
        ("aligned", "SFT continued"),
    }
    columns = {"score", "lc_score", "rouge_l", "bleu"}
    assert {one.measure for one in found} == {*columns, *HEADLINE}
    first = found[0]
    # By hand: gaps 2/3, 1, 0, 1/3; all of one sign, so 2 of the 8 ways to swap three studies.
    assert (first.measure, first.randomisation) == ("score", 0.25)
    assert first.gap.mean == pytest.approx(0.5)
    assert first.adjusted == 1.0  # of eighteen comparisons


def test_the_p_of_f1_is_exact_over_three_studies(
    studies: list[Study], judge: Judge, labeler: Labeling
) -> None:
    """By hand: the references have 2, 1 and 1 labels, and nothing false is claimed, so that micro
    F1 of h hits is 2 h / (4 + h). First: 0 + 1 + 0 hits; last: 2 + 0 + 1.
    """
    systems = [
        System(name="first", reports=["clear", "edema", "clear"]),
        System(name="last", reports=["effusion and edema", "clear", "effusion"]),
    ]
    compared = family.family(evaluate(studies[:3], systems, judge, labeler, seed=0))
    micro = {one.measure: one for one in compared}["f1_14_micro"]
    assert micro.gap.mean == pytest.approx(6 / 7 - 2 / 5)
    # Swapping the first study turns 3 : 1 into 1 : 3, the second into 4 : 0, the third into 2 : 2;
    # so do their complements: six of the eight ways are as far apart as what was seen.
    assert micro.randomisation == 0.75
    # Draws of the studies as (n1, n2, n3) of 27: the gap is that far from its mean or farther.
    far = 0
    for drawn in itertools.product(range(3), repeat=3):
        wanted, before, after = (
            sum(hits[k] for k in drawn) for hits in ((2, 1, 1), (0, 1, 0), (2, 0, 1))
        )
        gap = 2 * after / (wanted + after) - 2 * before / (wanted + before)
        far += abs(gap - (6 / 7 - 2 / 5)) >= 6 / 7 - 2 / 5
    assert micro.bootstrap == pytest.approx(far / 27, abs=0.02)


def test_the_page_names_each_comparison(evaluation: Evaluation) -> None:
    text = family.show(family.family(evaluation))
    assert text.count("aligned \u2212 SFT continued") == 9 and "LC score" in text
    assert "F1-14, macro" in text
    assert "yes" not in text


def test_one_system_has_no_family(evaluation: Evaluation) -> None:
    alone = dataclasses.replace(evaluation, systems=evaluation.systems[:1], differences=())
    assert family.family(alone) == []
