"""Agreement with the truth, by hand."""

import pytest

from chexjax.judges.answer import CATEGORIES, judgement
from chexjax.judges.examination import by_category, examine, tau


def verdict(matched, well_formed=True, **errors):
    counts = dict.fromkeys(CATEGORIES, 0) | errors
    none = dict.fromkeys(CATEGORIES, 0)
    return judgement(matched, counts, none, [], well_formed=well_formed)


def test_tau_b_with_ties():
    # 6 pairs; (1,1) tied in one: concordant 4, discordant 1: 3 / sqrt(5 * 6).
    assert tau([1, 1, 2, 3], [1, 2, 4, 3]) == pytest.approx(3 / 30**0.5)
    assert tau([1, 2, 3], [5, 5, 5]) == 0.0
    assert tau([1], [1]) == 0.0


def test_counts_by_category():
    truths = [verdict(2, a=2), verdict(1, b=1), verdict(0)]
    verdicts = [verdict(2, a=1), verdict(2, b=1), verdict(0, a=1)]
    found = by_category(truths, verdicts)
    assert found["a"] == {
        "true": 2,
        "said": 2,
        "precision": 0.5,
        "recall": 0.5,
        "agreement": pytest.approx(1 / 3),
    }
    assert found["matched"]["precision"] == pytest.approx(3 / 4)
    assert found["matched"]["recall"] == 1.0
    assert found["b"]["agreement"] == found["f"]["precision"] == found["f"]["recall"] == 1.0


def test_answers_that_cannot_be_read_are_counted_and_left_out():
    truths = [verdict(1), verdict(1, a=1), verdict(0), verdict(3, b=1)]
    verdicts = [verdict(1), verdict(1, a=1), verdict(0), verdict(0, well_formed=False)]
    found = examine(
        ["a b c", "a b c", "a b c", "a b c"], ["a b c", "a b x y", "z", "a b"], truths, verdicts
    )
    assert (found["pairs"], found["well_formed"]) == (4, 0.75)
    assert (found["tau"], found["exact"], found["error"]) == (1.0, 1.0, 0.0)
    # Words 3, 4, 1, 2 against scores 1, 1/2, 0, 3/4: 4 of 6 pairs in the same order.
    assert found["tau_length"] == pytest.approx(1 / 3)
    assert found["tau_rouge_l"] == pytest.approx(1.0)
