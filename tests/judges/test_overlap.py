"""ROUGE-L and BLEU: values worked out by hand from their definitions."""

from __future__ import annotations

import math

import pytest

from chexjax.judges.overlap import Bleu, RougeL

REFERENCE = "the heart is mildly enlarged today"


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # Common subsequence "the heart enlarged": 3 of 5 candidate words, 3 of 6 reference words.
    (one,) = RougeL().judge([REFERENCE], ["the heart looks much enlarged"])
    assert one.details == {"precision": 0.6, "recall": 0.5}
    assert one.score == pytest.approx(2 * 0.6 * 0.5 / 1.1)


def test_rouge_l_stems_only_when_asked() -> None:
    pair = (["two small nodules"], ["two small nodule"])
    assert RougeL().judge(*pair)[0].score == 1.0
    assert RougeL(stem=False).judge(*pair)[0].score == pytest.approx(2 / 3)


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


def test_names_tell_the_variants_apart() -> None:
    bleu = Bleu()
    names = {bleu.name, bleu.corpus_name, Bleu(lowercase=True).name, Bleu(order=2).name}
    assert len(names) == 4
    assert bleu.name == "BLEU-4 (sacrebleu, sentence, 13a, exp, mixed case, effective order)"
    assert RougeL().name != RougeL(stem=False).name


@pytest.mark.parametrize("judge", [RougeL(), Bleu()])
def test_an_empty_candidate_scores_nothing_and_an_empty_reference_is_refused(
    judge: RougeL | Bleu,
) -> None:
    assert judge.judge([REFERENCE], [""])[0].score == 0.0
    with pytest.raises(ValueError, match="reference 1 is empty"):
        judge.judge([REFERENCE, " "], ["a", "b"])
    with pytest.raises(ValueError, match="1 references but 2 candidates"):
        judge.judge([REFERENCE], ["a", "b"])
