"""Pairs are the best candidate against the worst, and ties are dropped."""

import pytest

from chexjax.stages.pair import best_against_worst


def row(*scores):
    return {
        "id": "a",
        "row": 7,
        "reference": "r",
        "candidates": [{"report": f"report {k}"} for k in range(len(scores))],
        "judgements": [{"score": score, "details": {}} for score in scores],
    }


def test_the_best_is_chosen_and_the_worst_rejected():
    pair = best_against_worst(row(0.25, 0.75, 0.5, 0.0), 1e-8)
    assert pair == {
        "id": "a",
        "row": 7,
        "chosen": "report 1",
        "rejected": "report 3",
        "rewards": [0.75, 0.0],
    }


def test_the_first_of_equals_is_taken():
    pair = best_against_worst(row(0.5, 1.0, 0.5, 1.0), 1e-8)
    assert (pair["chosen"], pair["rejected"]) == ("report 1", "report 0")


@pytest.mark.parametrize("scores", [(0.5, 0.5, 0.5, 0.5), (0.5, 0.5 + 1e-9)])
def test_a_tie_makes_no_pair(scores):
    assert best_against_worst(row(*scores), 1e-8) is None
