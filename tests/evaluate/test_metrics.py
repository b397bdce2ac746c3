"""Every number of an evaluation, worked out by hand for four small studies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chexjax.data.study import Study
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.evaluate.significance import Interval
from chexjax.evaluate.table import measures
from chexjax.evaluate.verdict import remarks
from chexjax.judges import build
from chexjax.judges.base import Judge, Judgement


def test_columns_of_each_study(evaluation: Evaluation) -> None:
    sft, aligned = evaluation.baseline.columns, evaluation.test.columns
    np.testing.assert_allclose(sft["score"], [1 / 3, 0, 1, 1 / 3])
    np.testing.assert_allclose(aligned["score"], [1, 1, 1, 2 / 3])
    # The second report repeats its word three times: a third of the score is left.
    np.testing.assert_allclose(aligned["lc_score"], [1, 1 / 3, 1, 2 / 3])
    np.testing.assert_allclose(aligned["words"], [3, 3, 1, 3])
    np.testing.assert_allclose(aligned["over_long"], [0, 1, 0, 0])
    np.testing.assert_allclose(aligned["rouge_l"][:3], [1, 0.5, 1])
    np.testing.assert_allclose(aligned["bleu"][[0, 2]], 1)


def test_any_judges_are_the_metrics_and_one_without_a_score_leaves_a_study_out(
    studies: list[Study], judge: Judge
) -> None:
    system = System(name="x", reports=["effusion and edema", "?", "effusion", "clear"])
    metrics = {"picky": Picky(), "bleu_coco": build("bleu_coco")}
    found = evaluate(studies, [system], judge, None, seed=0, metrics=metrics)
    assert list(found.test.columns) == [
        *("score", "lc_score", "picky", "bleu_coco", "words", "over_long")
    ]
    assert found.ids == ("study-0", "study-2", "study-3")
    np.testing.assert_array_equal(found.test.columns["picky"], [18, 8, 5])
    assert found.test.means["picky"].mean == pytest.approx(31 / 3)
    assert list(found.test.corpus) == ["bleu_coco"]
    assert list(found.metrics) == ["picky", "bleu_coco", "corpus_bleu_coco"]
    assert list(measures(found.test)) == [
        *("score", "lc_score", "picky", "bleu_coco", "corpus_bleu_coco", "words", "over_long")
    ]


def test_over_long_starts_above_the_ratio(studies: list[Study], judge: Judge) -> None:
    system = System(name="x", reports=["a b c d", "a", "a b", "a b c"])
    found = evaluate(studies, [system], judge, None, seed=0, long_ratio=4 / 3)
    np.testing.assert_array_equal(found.test.columns["over_long"], [0, 0, 1, 0])


def test_means_and_differences(evaluation: Evaluation) -> None:
    assert evaluation.baseline.means["score"].mean == pytest.approx(5 / 12)
    gap = evaluation.difference("aligned", "SFT")
    assert gap.mean == pytest.approx((2 / 3 + 1 + 0 + 1 / 3) / 4)
    assert evaluation.difference("SFT continued", "SFT") == Interval(0.0, 0.0, 0.0)
    assert evaluation.difference("aligned", "SFT", "words").mean == pytest.approx(1.5)
    with pytest.raises(KeyError, match="no difference 'SFT' - 'aligned'"):
        evaluation.difference("SFT", "aligned")


def test_shuffled_reports_are_judged_by_the_studies_own_references(
    evaluation: Evaluation,
) -> None:
    test = evaluation.test
    assert test.shuffled is not None and test.image_gain is not None
    np.testing.assert_allclose(test.shuffled, [1 / 3, 1, 0, 0])
    assert test.image_gain.mean == pytest.approx(11 / 12 - 1 / 3)
    assert evaluation.systems[1].shuffled is None
    assert evaluation.systems[1].image_gain is None


def test_an_empty_report_is_judged_and_counted(studies: list[Study], judge: Judge) -> None:
    found = evaluate(studies, [System(name="x", reports=[""] * 4)], judge, None, seed=0)
    assert found.test.means["words"].mean == 0
    assert found.test.labels is None
    assert len(found.test.judgements) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reports": ["a"]}, "system 'SFT': 1 reports for 4 studies"),
        ({"shuffled": ["a"] * 5}, "system 'SFT': 5 shuffled for 4 studies"),
        ({"name": "aligned"}, "give each a name of its own"),
    ],
)
def test_bad_systems_are_named(
    studies: list[Study],
    systems: list[System],
    judge: Judge,
    change: dict[str, object],
    message: str,
) -> None:
    broken = dataclasses.replace(systems[0], **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        evaluate(studies, [broken, *systems[1:]], judge, None, seed=0)


def test_nothing_to_evaluate_is_an_error(systems: list[System], judge: Judge) -> None:
    with pytest.raises(ValueError, match="0 studies and 3 systems"):
        evaluate([], systems, judge, None, seed=0)


class Picky:
    """A judge that gives what it cannot read no score."""

    name = "picky"

    def judge(self, references, candidates):
        return [Judgement(float("nan") if c == "?" else len(c)) for c in candidates]


def test_a_study_with_a_report_that_has_no_score_is_left_out_of_everything(
    studies: list[Study],
) -> None:
    systems = [
        System(name="a", reports=["x", "?", "xx", "xxx"], shuffled=["x"] * 4),
        System(name="b", reports=["x", "x", "xx", "x"], shuffled=["?", "x", "x", "x"]),
    ]
    found = evaluate(studies, systems, Picky(), None, seed=0)
    assert found.ids == (studies[2].id, studies[3].id)
    assert found.unreadable == (studies[0].id, studies[1].id)
    assert found.references == tuple(study.findings for study in studies[2:])
    np.testing.assert_array_equal(found.baseline.columns["score"], [2, 3])
    assert found.baseline.reports == ("xx", "xxx")
    assert found.difference("b", "a").mean == -1
    assert any("2 more studies are left out" in said for said in remarks(found))
    with pytest.raises(ValueError, match="picky gave no study's reports a score each"):
        evaluate(studies, [System(name="c", reports=["?"] * 4)], Picky(), None, seed=0)
