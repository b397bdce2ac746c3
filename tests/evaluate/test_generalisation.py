"""Train on A, test on B: what is compared with what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chexjax.data.study import Study
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.evaluate.studies import generalisation
from chexjax.evaluate.studies.generalisation import Elsewhere
from chexjax.judges.base import Judgement


class Length:
    """A judge whose score is a tenth of the words."""

    name = "words"

    def judge(self, references, candidates):
        return [Judgement(len(text.split()) / 10) for text in candidates]


def measured(**words: list[int]) -> Evaluation:
    count = len(next(iter(words.values())))
    studies = [
        Study(id=str(k), split="test", images=(), views=(), indication="", findings="clear lungs")
        for k in range(count)
    ]
    systems = [
        System(name=name, reports=["word " * n for n in counts]) for name, counts in words.items()
    ]
    return evaluate(studies, systems, Length(), None, seed=0)


def elsewhere(evaluation: Evaluation) -> Elsewhere:
    return Elsewhere(evaluation=evaluation, sources=("A", "B"), identities=("1", "2"))


def test_levels_and_gains_on_both_sources() -> None:
    home = measured(SFT=[2, 4, 2, 4], published=[9] * 4, aligned=[4, 6, 4, 6])
    away = measured(SFT=[1, 1, 3], aligned=[2, 2, 4])
    found = generalisation.generalisation(home, elsewhere(away))
    assert found.studies == (4, 3)
    sft, aligned = found.transfers
    assert sft.home_gain is None and sft.change.mean == pytest.approx(5 / 30 - 0.3)
    assert aligned.home.mean == pytest.approx(0.5) and aligned.away.mean == pytest.approx(8 / 30)
    assert aligned.home_gain is not None and aligned.away_gain is not None
    assert aligned.home_gain.mean == pytest.approx(0.2)
    assert aligned.away_gain.mean == pytest.approx(0.1)
    text = generalisation.show(found)
    assert "50\u00a0%" in text and "A, 4 studies" in text and "B, 3 studies" in text


def test_the_change_between_sources_is_unpaired() -> None:
    """Its interval is as wide as two independent samples make it, whatever the studies share."""
    rng = np.random.default_rng(0)
    words = rng.integers(1, 20, 100)
    one = measured(SFT=words.tolist())
    [found] = generalisation.generalisation(one, elsewhere(one)).transfers
    half = 1.96 * np.sqrt(2) * words.std() / 100
    assert found.change.mean == 0
    assert (found.change.low, found.change.high) == pytest.approx((-half, half), abs=0.02)


def test_each_measure_has_its_transfers_and_f1_only_where_labels_were_read(
    evaluation: Evaluation,
) -> None:
    """By the four studies of `conftest`: micro F1 of SFT 2 * 2 / (4 + 3), of aligned 1."""
    names = ("score", "bleu", "f1_14_micro")
    found = generalisation.generalisation(evaluation, elsewhere(evaluation), names)
    assert [one.measure for one in found.transfers] == [n for n in names for _ in range(3)]
    last = found.transfers[-1]
    assert last.system == "aligned" and last.home.mean == last.away.mean == 1
    assert last.away_gain is not None and last.away_gain.mean == pytest.approx(3 / 7)
    shown, hidden = generalisation.show(found).split("<details>")
    assert "Score" in shown and "BLEU" not in shown and hidden.count("<table") == 2
    bare = [dataclasses.replace(one, labels=None) for one in evaluation.systems]
    away = elsewhere(dataclasses.replace(evaluation, systems=tuple(bare)))
    left = generalisation.generalisation(evaluation, away, names).transfers
    assert {one.measure for one in left} == {"score", "bleu"}
