import pytest

from chexjax.stages.pair import best_against_worst, summary, with_mismatched, with_scores

TIE = 1e-8


def row(*scores):
    return {
        "id": "s1",
        "row": 7,
        "candidates": [{"report": f"report {k}"} for k in range(len(scores))],
        "judgements": [{"score": score} for score in scores],
    }


def test_the_best_candidate_stands_against_the_worst():
    assert best_against_worst(row(0.5, 0.25, 1.0, 0.75), TIE) == {
        "id": "s1",
        "row": 7,
        "chosen": "report 2",
        "rejected": "report 1",
        "rewards": [1.0, 0.25],
    }


def test_of_equals_the_first_is_taken():
    pair = best_against_worst(row(0.5, 1.0, 0.5, 1.0), TIE)
    assert (pair["chosen"], pair["rejected"]) == ("report 1", "report 0")


@pytest.mark.parametrize("scores", [(0.5, 0.5), (0.0, 0.0, 0.0), (0.3, 0.3 + 1e-9)])
def test_a_study_whose_candidates_tie_has_no_pair(scores):
    assert best_against_worst(row(*scores), TIE) is None


def test_the_least_difference_is_a_number_of_the_config():
    assert best_against_worst(row(0.5, 0.6), 0.2) is None
    assert best_against_worst(row(0.5, 0.8), 0.2)


def test_each_pair_is_mismatched_with_another_one_s_report():
    pairs = [{"id": str(k), "chosen": f"c{k}", "rejected": f"r{k}"} for k in range(40)]
    made = with_mismatched(pairs, seed=1)
    assert [row["id"] for row in made] == [pair["id"] for pair in pairs]
    sources = [int(row["mismatched"][1:]) for row in made]
    assert sorted(sources) == list(range(40))  # each pair gives one report
    assert all(source != k for k, source in enumerate(sources))
    sides = [row["mismatched"][0] for row in made]
    assert 10 < sides.count("c") < 30
    assert with_mismatched(pairs, seed=1) == made != with_mismatched(pairs, seed=2)


def test_statistics_by_hand():
    pairs = [best_against_worst(row(*scores), TIE) for scores in ((1.0, 0.5), (0.25, 0.0, 0.5))]
    assert summary(pairs, studies=5) == {
        "studies": 5,
        "ties": 3,
        "share_dropped": pytest.approx(0.6),
        "reward_chosen": {"mean": 0.75, "sd": 0.25},
        "reward_rejected": {"mean": 0.25, "sd": 0.25},
        "words_chosen": 2.0,
        "words_rejected": 2.0,
    }


def test_a_study_with_a_score_that_is_no_number_is_rejected_by_name():
    good, bad = row(0.5, 1.0), row(0.5, float("nan")) | {"id": "b"}
    scored, rejects = with_scores([bad, good])
    assert scored == [good]
    assert [reject.id for reject in rejects] == ["b"]
    assert "nan" in rejects[0].reason
