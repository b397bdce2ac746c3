"""ROUGE and BLEU: values worked out by hand from their definitions, and published ones."""

from __future__ import annotations

import math

import pytest

from chexjax.judges import Judge, build
from chexjax.judges.overlap import Bleu, CocoBleu, Rouge

REFERENCE = "the heart is mildly enlarged today"


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # Common subsequence "the heart enlarged": 3 of 5 candidate words, 3 of 6 reference words.
    (one,) = Rouge().judge([REFERENCE], ["the heart looks much enlarged"])
    assert one.details == {"precision": 0.6, "recall": 0.5}
    assert one.score == pytest.approx(2 * 0.6 * 0.5 / 1.1)


def test_rouge_l_stems_only_when_asked() -> None:
    pair = (["two small nodules"], ["two small nodule"])
    assert Rouge().judge(*pair)[0].score == 1.0
    assert Rouge(stem=False).judge(*pair)[0].score == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("of", "precision", "recall", "f1"),
    [
        ("1", 6 / 8, 6 / 9, 0.7058823529411765),  # F1 as in rouge-score's README
        ("2", 2 / 7, 2 / 8, 4 / 15),
        ("L", 5 / 8, 5 / 9, 0.5882352941176471),
    ],
)
def test_rouge_of_a_published_example(of, precision, recall, f1) -> None:
    candidate = "The quick brown dog jumps on the log."
    (one,) = Rouge(of=of).judge(["The quick brown fox jumps over the lazy dog"], [candidate])
    assert one.details == pytest.approx({"precision": precision, "recall": recall})
    assert one.score == pytest.approx(f1)


def test_sentence_bleu_is_the_geometric_mean_of_precisions_under_a_brevity_penalty() -> None:
    # Five words, all in order: precisions 1, against a reference of six words.
    (one,) = Bleu().judge([REFERENCE], ["the heart is mildly enlarged"])
    assert one.score == pytest.approx(math.exp(1 - 6 / 5))
    # 4/5 words, 2/4 pairs, 1/3 triples; the one 4-gram of none is smoothed to 1/(2 * 2).
    (one,) = Bleu().judge([REFERENCE], ["the heart is much enlarged"])
    precisions = [4 / 5, 2 / 4, 1 / 3, 1 / (2 * 2)]
    assert one.details["precisions"] == pytest.approx(precisions)
    assert one.score == pytest.approx(math.exp(-1 / 5) * math.prod(precisions) ** 0.25)


def test_a_report_shorter_than_the_order_is_not_zero_by_definition() -> None:
    (one,) = Bleu().judge(["Normal heart."], ["Normal heart."])
    assert one.score == pytest.approx(1.0)


def test_corpus_bleu_pools_counts_and_is_not_the_mean_of_sentences() -> None:
    references = ["a b c d e f", "g h"]
    candidates = ["a b c d e f", "x y"]
    bleu = Bleu()
    mean = sum(one.score for one in bleu.judge(references, candidates)) / 2
    # Pooled: 6/8 words, 5/6 pairs, 4/4 triples, 3/3 fours, equal lengths.
    expected = (6 / 8 * 5 / 6) ** 0.25
    assert bleu.corpus(references, candidates) == pytest.approx(expected)
    assert mean != pytest.approx(expected, abs=0.1)


# What pycocoevalcap 1.2 computes of these pairs, without the tokenizer that it runs before.
COCO_REFERENCES = [
    REFERENCE,
    "No acute disease.",
    "there is a small left pleural effusion and no pneumothorax",
]
COCO_CANDIDATES = [
    "the heart is mildly enlarged",
    "No acute disease.",
    "there is a small right pleural effusion but no large pneumothorax seen",
]
COCO = {
    1: (0.79999999996, [0.8187307527504899, 0.9999999993333338, 0.6666666666111113]),
    2: (0.6859943405327092, [0.8187307527300217, 0.9999999992500005, 0.49236596387443554]),
    3: (0.5864370855553374, [0.8187307527004564, 0.9999999990555564, 0.36464367169524575]),
    4: (0.4842818719159677, [0.81873075265156, 0.03162277657664911, 0.270919885441463]),
}


@pytest.mark.parametrize("order", COCO)
def test_coco_bleu_is_what_the_coco_tools_compute(order) -> None:
    corpus, sentences = COCO[order]
    bleu = build("bleu_coco" if order == 4 else f"bleu_coco_{order}")
    found = bleu.judge(COCO_REFERENCES, COCO_CANDIDATES)
    assert [one.score for one in found] == pytest.approx(sentences, rel=1e-12)
    assert CocoBleu(order=order).corpus(COCO_REFERENCES, COCO_CANDIDATES) == pytest.approx(
        corpus, rel=1e-12
    )


def test_case_and_attached_punctuation_count_in_coco_bleu() -> None:
    pair = (["No acute disease."], ["no acute disease"])
    assert CocoBleu(order=1).judge(*pair)[0].score == pytest.approx(1 / 3)
    assert CocoBleu(order=1, lowercase=True).judge(*pair)[0].score == pytest.approx(2 / 3)


def test_names_tell_the_variants_apart() -> None:
    bleu = Bleu()
    names = {bleu.name, bleu.corpus_name, Bleu(lowercase=True).name, Bleu(order=2).name}
    names |= {CocoBleu().name, CocoBleu().corpus_name, CocoBleu(order=2).name}
    assert len(names) == 7
    assert bleu.name == "BLEU-4 (sacrebleu, sentence, 13a, exp, mixed case, effective order)"
    assert Rouge().name != Rouge(stem=False).name


@pytest.mark.parametrize("judge", [Rouge(), Bleu(), CocoBleu()])
def test_an_empty_candidate_scores_nothing_and_an_empty_reference_is_refused(
    judge: Judge,
) -> None:
    assert judge.judge([REFERENCE], [""])[0].score == 0.0
    with pytest.raises(ValueError, match="reference 1 is empty"):
        judge.judge([REFERENCE, " "], ["a", "b"])
    with pytest.raises(ValueError, match="1 references but 2 candidates"):
        judge.judge([REFERENCE], ["a", "b"])
