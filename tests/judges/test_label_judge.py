"""Labels as a judge: shares by hand, and what is read how often."""

import json

import pytest

from chexjax.judges import JUDGES, LABELERS, JudgeSettings, build, build_labeler
from chexjax.judges.label_judge import Labeling, LabelJudge, RuleLabelsConfig

REFERENCE = "Cardiomegaly with edema. No effusion."


def test_the_score_is_the_share_of_equal_labels_and_says_which_are_not():
    candidates = [REFERENCE, "Cardiomegaly and a small effusion.", "A rib fracture."]
    same, other, far = build("rule_labels").judge([REFERENCE] * 3, candidates)
    assert same.score == 1 and same.details == {"items": []}
    assert other.score == pytest.approx(12 / 14)
    assert other.details["items"] == [
        {"category": "b", "text": "missing: Edema", "span": None},
        {"category": "a", "text": "false: Pleural Effusion", "span": None},
    ]
    json.dumps(other.details)
    assert far.score == pytest.approx(11 / 14)


def test_five_labels_and_uncertain_ones_by_setting():
    pair = [REFERENCE], ["Cardiomegaly, possible edema. A rib fracture."]

    def score(**config):
        settings = JudgeSettings(rule_labels=RuleLabelsConfig(**config))
        return build("rule_labels", settings).judge(*pair)[0].score

    assert score(of="five") == 1
    assert score(of="five", uncertain="absent") == pytest.approx(4 / 5)
    assert score(uncertain="absent") == pytest.approx(12 / 14)


def test_the_corpus_has_the_mean_of_four_f1():
    judge = build("rule_labels")
    found = judge.corpus([REFERENCE, "Clear lungs."], [REFERENCE, "Edema."])
    # Hits: cardiomegaly and edema; edema is false once, no finding is missed.
    micro_14, macro_14 = 2 * 2 / (3 + 3), (1 + 2 / 3) / 14
    micro_5, macro_5 = 2 * 2 / (2 + 3), (1 + 2 / 3) / 5
    assert found == pytest.approx((micro_14 + macro_14 + micro_5 + macro_5) / 4)
    assert "F1-14 and F1-5" in judge.corpus_name


def test_an_empty_candidate_is_judged_and_an_empty_reference_refused():
    judge = build("rule_labels")
    assert judge.judge([REFERENCE], [""])[0].score == pytest.approx(12 / 14)
    with pytest.raises(ValueError, match="reference 0 is empty"):
        judge.judge([" "], ["a"])


def test_equal_texts_are_read_once():
    asked = []

    def labeler(reports):
        asked.extend(reports)
        return [{} for _ in reports]

    LabelJudge(Labeling("x", labeler)).judge(["a", "a", "b"], ["b", "a", "c"])
    assert sorted(asked) == ["a", "b", "c"]


def test_labelers_by_name():
    [found] = build_labeler("rule_labels").labeler(["Small effusion."])
    assert found["Pleural Effusion"] == 1
    [found] = build_labeler("grammar").labeler(["There is a small left pleural effusion."])
    assert found["Pleural Effusion"] == 1
    assert {"chexbert", "rule_labels"} <= JUDGES.keys() & LABELERS.keys()
    with pytest.raises(ValueError, match="no labeler 'chexpert'; did you mean 'chexbert'"):
        build_labeler("chexpert")
