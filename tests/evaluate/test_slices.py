"""Slices: who is in which, how each scores, and what a gap is worth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chexjax.data.study import Study
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.evaluate.studies import slices
from chexjax.evaluate.studies.slices import SliceConfig, sliced, values_of
from chexjax.judges.base import Judgement


class Length:
    """A judge whose score is a tenth of the words."""

    name = "words"

    def judge(self, references, candidates):
        return [Judgement(len(text.split()) / 10) for text in candidates]


def made(sexes: str, first: list[int], last: list[int]) -> tuple[Evaluation, list[Study]]:
    """Studies of people of these sexes, on which two systems wrote so many words."""
    studies = [
        Study(
            id=str(k),
            split="test",
            images=(b"",),
            views=("PA",),
            indication="",
            findings="clear lungs",
            attributes={} if sex == "?" else {"sex": sex},
        )
        for k, sex in enumerate(sexes)
    ]
    systems = [
        System(name=name, reports=["word " * count for count in counts])
        for name, counts in (("SFT", first), ("aligned", last))
    ]
    return evaluate(studies, systems, Length(), None, seed=0), studies


def test_means_counts_and_gains_of_each_slice() -> None:
    evaluation, studies = made("FFFMMM?", [1, 2, 3, 4, 4, 4, 9], [2, 3, 4, 4, 4, 4, 9])
    [found] = sliced(evaluation, studies, SliceConfig(smallest=2))
    assert found.attribute == "sex"  # all views are PA: there is nothing to compare
    women, men = found.slices
    assert (women.value, women.studies, men.studies) == ("F", 3, 3)
    assert women.means["SFT"]["score"].mean == pytest.approx(0.2)
    assert men.means["aligned"]["score"].mean == pytest.approx(0.4)
    assert men.means["SFT"]["score"].low == pytest.approx(0.4) == men.means["SFT"]["score"].high
    assert women.gains["score"].mean == pytest.approx(0.1) and men.gains["score"].mean == 0
    assert found.small == (1, 1)  # the one whose sex is not given
    before, after = found.gaps
    assert (before.low, before.high) == ("F", "M")
    assert before.size.mean == pytest.approx(0.2) and after.size.mean == pytest.approx(0.1)
    text = slices.show([found])
    assert "Too small to show: 1 of the slices (studies: 1)." in text
    assert "aligned \u2212 SFT" in text


def test_the_interval_of_a_slice_is_that_of_its_studies_alone() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(1, 20, 200).tolist()
    evaluation, studies = made("FM" * 100, words, words)
    [found] = sliced(evaluation, studies, SliceConfig())
    own = np.array(words[::2]) / 10
    half = 1.96 * own.std() / 10
    women = found.slices[0].means["SFT"]["score"]
    assert women.mean == pytest.approx(own.mean())
    assert (women.low, women.high) == pytest.approx(
        (own.mean() - half, own.mean() + half), abs=0.03
    )


def test_a_gap_of_chance_is_told_from_one_that_is_there() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(1, 20, 120)
    same, _ = made("FM" * 60, noise.tolist(), noise.tolist())
    apart = noise + np.tile([0, 8], 60)
    other, studies = made("FM" * 60, noise.tolist(), apart.tolist())
    [chance] = sliced(same, studies, SliceConfig())
    [real] = sliced(other, studies, SliceConfig())
    assert chance.gaps[1].adjusted > 0.05
    assert real.gaps[1].adjusted < 0.01
    # The one deal in question by hand: p of a permutation test, twice for the two systems.
    assert real.gaps[1].adjusted == pytest.approx(2 / 2001)


def test_what_is_not_known_is_shown_and_is_no_end_of_a_gap() -> None:
    words = [1, 1, 2, 2, 9, 9]
    evaluation, studies = made("FFMM??", words, words)
    [found] = sliced(evaluation, studies, SliceConfig(smallest=2))
    assert [one.value for one in found.slices] == ["F", "M", "not given"]
    assert found.slices[2].means["SFT"]["score"].mean == pytest.approx(0.9)
    [gap, _] = found.gaps
    assert (gap.low, gap.high) == ("F", "M") and gap.size.mean == pytest.approx(0.1)
    # 2 of the 6 deals of four scores to two pairs gape so, twice for the two systems.
    assert gap.adjusted == pytest.approx(2 / 3, abs=0.1)
    # Of one known slice and the rest there is no gap.
    evaluation, studies = made("FFFF??", words, words)
    [found] = sliced(evaluation, studies, SliceConfig(smallest=2))
    assert len(found.slices) == 2 and found.gaps == ()
    assert "Largest gap" not in slices.show([found])
    turned = [dataclasses.replace(one, views=("UNKNOWN",), attributes={}) for one in studies[4:]]
    [found] = sliced(evaluation, [*studies[:4], *turned], SliceConfig(by=("view",), smallest=2))
    assert found.gaps == ()


def test_label_f1_of_a_slice_is_counted_over_its_studies(
    evaluation: Evaluation, studies: list[Study]
) -> None:
    """By hand of `conftest`'s four: SFT names effusion in the first three studies, edema never."""
    sexes = [
        dataclasses.replace(s, attributes={"sex": x}) for s, x in zip(studies, "FFMM", strict=True)
    ]
    measures = ("score", "bleu", "f1_14_micro")
    [found] = sliced(evaluation, sexes, SliceConfig(smallest=2), measures)
    women, men = found.slices
    # Women: effusion and edema, edema; said: effusion, effusion. Men: effusion, none; the same.
    assert women.means["SFT"]["f1_14_micro"].mean == pytest.approx(2 * 1 / (3 + 2))
    assert men.means["SFT"]["f1_14_micro"].mean == 1
    assert women.gains["f1_14_micro"].mean == pytest.approx(1 - 0.4)
    assert [(gap.measure, gap.system) for gap in found.gaps] == [
        (measure, system) for measure in measures for system in ("SFT", "aligned")
    ]
    gap = found.gaps[4]
    assert (gap.low, gap.high) == ("F", "M") and gap.size.mean == pytest.approx(0.6)
    assert gap.adjusted <= 1
    text = slices.show([found])
    shown, hidden = text.split("<details>")
    assert "F1-14, micro" not in shown and "<summary>By Sentence BLEU, mean, F1-14" in hidden
    assert shown.count("<table") == 2 == hidden.count("<table")


def test_ages_are_grouped_and_other_numbers_cut_in_thirds() -> None:
    _, studies = made("F" * 30, [1] * 30, [1] * 30)
    aged = [
        dataclasses.replace(study, attributes={"age": float(20 + 2 * k), "dose": float(k)})
        for k, study in enumerate(studies)
    ]
    ages = values_of(aged, "age", (40, 60))
    assert (ages[9], ages[10], ages[19], ages[20]) == (
        "< 40",
        "\u2265 40, < 60",
        "\u2265 40, < 60",
        "\u2265 60",
    )
    doses = values_of(aged, "dose", (40, 60))
    assert sorted(doses.count(value) for value in set(doses)) == [10, 10, 10]
    assert values_of(studies, "age", (40, 60)) == ["not given"] * 30


def test_what_cannot_be_sliced_by_is_said() -> None:
    evaluation, studies = made("FM", [1, 1], [1, 1])
    assert sliced(evaluation, studies, SliceConfig()) == ()
    with pytest.raises(ValueError, match="'race' is known of no study; choose from sex, view"):
        sliced(evaluation, studies, SliceConfig(by=("race",)))
    with pytest.raises(ValueError, match="do not rise"):
        SliceConfig(ages=(60.0, 40.0))
    with pytest.raises(ValueError, match="do not rise"):
        SliceConfig(ages=())
    with pytest.raises(ValueError, match="smallest=1"):
        SliceConfig(smallest=1)
