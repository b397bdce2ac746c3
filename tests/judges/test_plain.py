"""What judges are shown of a report: tags, marks and case change no verdict."""

import pytest

from chexjax.judges import JudgeSettings, build, build_labeler
from chexjax.judges.base import CorpusMetric

REFERENCE = "The heart is moderately enlarged. There is a small left pleural effusion."
CANDIDATE = "The heart is mildly enlarged. There is no pneumothorax."
TAGGED = (
    "[Cardiac]\n**Heart:** The heart is  moderately enlarged.\n[Breathing] There is a small LEFT "
    "pleural effusion.",
    "**[Cardiac] Heart:** the heart is mildly enlarged. [Breathing]\n\n"
    "There is no **pneumothorax**.",
)
UNTAGGED = ("Heart: " + REFERENCE, "Heart: " + CANDIDATE)


@pytest.mark.parametrize(
    "name", ["oracle", "rouge_l", "bleu", "rule_labels", "lc_rouge_1", "lc_characters_rouge_1"]
)
def test_a_pair_with_tags_scores_as_the_same_pair_without(name):
    judge = build(name)
    [tagged], [untagged] = (judge.judge([r], [c]) for r, c in (TAGGED, UNTAGGED))
    assert tagged.score == untagged.score > 0
    kept = build(name, JudgeSettings(plain=False))
    [raw] = kept.judge(*([text] for text in TAGGED))
    assert name in ("oracle", "rule_labels") or raw.score != tagged.score
    assert isinstance(judge, CorpusMetric) == isinstance(kept, CorpusMetric)


def test_a_metric_of_all_reports_is_shown_plain_texts_too():
    bleu = build("bleu")
    found = [bleu.corpus([r] * 2, [c] * 2) for r, c in (TAGGED, UNTAGGED)]
    assert found[0] == found[1] > 0
    raw = build("bleu", JudgeSettings(plain=False))
    assert raw.corpus([TAGGED[0]], [TAGGED[1]]) != found[0]
    assert (raw.name, raw.corpus_name) == (bleu.name, bleu.corpus_name)


def test_spans_are_of_the_candidate_as_it_was_given():
    candidate = "[Cardiac]  The **HEART** is\n enlarged.[Pleura]\n There is no pneumothorax."
    [verdict] = build("oracle").judge([REFERENCE], [candidate])
    said = [candidate[slice(*one["span"])] for one in verdict.details["items"] if one["span"]]
    assert any("HEART" in text and text.rstrip(".").endswith("enlarged") for text in said)
    assert all(not text.startswith(("[", " ")) for text in said)


def test_labels_are_read_from_plain_texts():
    report = ["[Pneumothorax] The heart is **enlarged**."]
    plain, raw = (build_labeler("rule_labels", JudgeSettings(plain=p)) for p in (True, False))
    [found] = plain.labeler(report)
    assert found == {"Cardiomegaly": 1, "No Finding": 0} != raw.labeler(report)[0]


def test_a_reference_of_tags_alone_is_refused():
    with pytest.raises(ValueError, match="reference 1 is empty"):
        build("rouge_l").judge(["Clear.", "[Lungs] **"], ["Clear.", "Clear."])
    [verdict] = build("rouge_l").judge(["Clear."], ["[Lungs]"])
    assert verdict.score == 0
