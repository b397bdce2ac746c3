"""The family of comparisons: which ones belong to it, and what Holm leaves of them."""

from __future__ import annotations

import dataclasses

import pytest

from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies import family


def test_the_system_under_test_meets_all_others_in_all_measures_but_length(
    evaluation: Evaluation,
) -> None:
    found = family.family(evaluation)
    assert {(one.of, one.minus) for one in found} == {
        ("aligned", "SFT"),
        ("aligned", "SFT continued"),
    }
    assert {one.column for one in found} == {"score", "lc_score", "rouge_l", "bleu"}
    first = found[0]
    # By hand: gaps 2/3, 1, 0, 1/3; all of one sign, so 2 of the 8 ways to swap three studies.
    assert (first.column, first.randomisation) == ("score", 0.25)
    assert first.gap.mean == pytest.approx(0.5)
    assert first.adjusted == 1.0  # of eight comparisons


def test_the_page_names_each_comparison(evaluation: Evaluation) -> None:
    text = family.show(family.family(evaluation))
    assert text.count("aligned \u2212 SFT continued") == 4 and "LC score" in text
    assert "yes" not in text


def test_one_system_has_no_family(evaluation: Evaluation) -> None:
    alone = dataclasses.replace(evaluation, systems=evaluation.systems[:1], differences=())
    assert family.family(alone) == []
