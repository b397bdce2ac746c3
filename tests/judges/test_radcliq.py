"""RadCliQ: numbers that others published of it, and BLEU-2 worked out by hand."""

import math

import numpy as np
import pytest

from chexjax.judges import Judgement, JudgeSettings, build
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.chexbert import CheXbertConfig
from chexjax.judges.radcliq import PARTS, VERSIONS, RadCliQ, RadCliQConfig, bleu_2
from chexjax.judges.radgraph import RadGraphConfig


def of(version, *values):
    [found] = VERSIONS[version]({name: [one] for name, one in zip(PARTS, values, strict=True)})
    return found


@pytest.mark.parametrize(
    ("version", "intercept", "slopes"),
    [
        ("v0", 5.516161, (-1.589034, -3.009830, -1.873372, 0.713942)),
        ("v1", 2.450143, (-1.245216, -1.650845, -0.994772, 0.0)),
    ],
)
def test_it_is_the_published_line_in_raw_units(version, intercept, slopes):
    assert of(version, 0, 0, 0, 0) == pytest.approx(intercept, abs=1e-6)
    for part, slope in enumerate(slopes):
        one = [float(k == part) for k in range(4)]
        assert of(version, *one) - of(version, 0, 0, 0, 0) == pytest.approx(slope, abs=1e-6)


def test_a_perfect_pair_has_the_lowest_value_of_v1():
    assert of("v0", 1, 1, 1, 1) == pytest.approx(-0.2421, abs=5e-5)
    assert of("v1", 1, 1, 1, 1) == pytest.approx(-1.4407, abs=5e-5)


def test_a_perfect_pair_without_a_bertscore_is_the_floor_that_radeval_documents():
    """IDF over one reference leaves raw 0 of the BERTScore of distilroberta, baseline 0.8473319."""
    floor = -0.8473319 / (1 - 0.8473319)
    assert of("v1", 1, floor, 1, 1) == pytest.approx(9.3726, abs=5e-5)


def test_pairs_are_scored_side_by_side():
    parts = {name: np.linspace(0.1, 0.9, 3) ** (k + 1) for k, name in enumerate(PARTS)}
    found = VERSIONS["v0"](parts)
    alone = [of("v0", *(parts[name][k] for name in PARTS)) for k in range(3)]
    assert found == pytest.approx(alone)


def test_bleu_2_is_that_of_lower_case_words_with_full_stops_apart():
    # "no effusion . clear lungs ." against "no edema . clear lungs .": words 5 of 6, pairs 3 of 5.
    found = bleu_2(["No edema. Clear lungs."], ["no effusion.  CLEAR lungs."])
    assert found == pytest.approx(math.sqrt(5 / 6 * 3 / 5))


def test_bleu_2_of_short_and_strange_candidates():
    reference = "the lungs are clear"
    candidates = ["the lungs", "lungs the", "clear", "", "nothing here", "the lungs\nare clear"]
    expected = [
        math.exp(1 - 4 / 2),
        math.exp(1 - 4 / 2) * math.sqrt(0.1),  # both words, no pair: a tenth of one
        math.exp(1 - 4 / 1) * math.sqrt(0.1),  # no pair to be had: a tenth of one
        0,
        0,
        math.exp(1 - 4 / 3) * math.sqrt(2 / 3 * 0.1 / 2),  # only blanks part words
    ]
    assert bleu_2([reference] * 6, candidates) == pytest.approx(expected)


def test_bleu_2_refuses_what_no_judge_can_score():
    with pytest.raises(ValueError, match="2 references but 1 candidates"):
        bleu_2(["a", "b"], ["a"])


class Given:
    """A judge of known scores."""

    name = "given"

    def __init__(self, *scores):
        self._scores = scores

    def judge(self, references, candidates):
        return [Judgement(score) for score in self._scores]


def vectors(reports):
    """Half a right angle between the two kinds of report."""
    return np.array([[2.0, 0.0] if "no" in report else [1.0, 1.0] for report in reports])


def test_the_judge_prefers_what_radcliq_finds_fewer_errors_in():
    reference = "no edema"
    for version in VERSIONS:
        judge = RadCliQ(version, Given(0.9, 0.1), Given(0.8, 0.2), vectors)
        better, worse = judge.judge([reference] * 2, [reference, "edema"])
        assert better.score > worse.score
        assert better.score == -better.details["radcliq"]
        # BLEU-2 of equal reports is 1; of the other it is that of one word, cut short.
        assert better.details["radcliq"] == pytest.approx(of(version, 0.9, 0.8, 1.0, 1.0))
        short = math.exp(1 - 2 / 1) * math.sqrt(0.1)
        assert worse.details["bleu_2"] == pytest.approx(short)
        expected = of(version, 0.1, 0.2, math.sqrt(0.5), short)
        assert worse.details["radcliq"] == pytest.approx(expected)
        assert version in judge.name


class Network:
    """A network that has vectors alone."""

    vectors = staticmethod(vectors)


def test_configs_name_a_version_and_its_parts_are_those_that_it_was_fitted_to(monkeypatch):
    built = []

    def radgraph(config, level):
        built.append(level)
        return Given(0.9)

    monkeypatch.setattr(RadGraphConfig, "build", radgraph)
    monkeypatch.setattr(BertScoreConfig, "build", lambda config: built.append(config) or Given(0.8))
    monkeypatch.setattr(CheXbertConfig, "network", lambda config: Network())
    for version in VERSIONS:
        [found] = build(f"radcliq_{version}").judge(["no edema"], ["no edema"])
        assert found.score == pytest.approx(-of(version, 0.9, 0.8, 1.0, 1.0))
    level, bertscore = built[:2]
    assert level == "combined"
    assert (bertscore.rescale, bertscore.layer, bertscore.idf) == ("distilroberta-base", 5, False)


def test_another_bertscore_than_it_was_fitted_to_is_refused():
    other = RadCliQConfig(bertscore=BertScoreConfig(rescale="distilbert-base-uncased"))
    with pytest.raises(ValueError, match=r"rescale='distilbert-base-uncased': RadCliQ was fitted"):
        build("radcliq_v1", JudgeSettings(radcliq=other))
