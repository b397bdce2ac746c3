"""The words say what the numbers say, also when the numbers disappoint."""

from __future__ import annotations

import dataclasses

import pytest

from chexjax.evaluate import verdict
from chexjax.evaluate.metrics import Difference, Evaluation
from chexjax.evaluate.significance import Interval


def with_gap(evaluation: Evaluation, gap: Interval) -> Evaluation:
    changed: list[Difference] = [
        dataclasses.replace(one, interval=gap) for one in evaluation.differences
    ]
    return dataclasses.replace(evaluation, differences=tuple(changed))


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Interval(0.1, 0.05, 0.15), "Aligned beats SFT"),
        (Interval(-0.1, -0.15, -0.05), "Aligned scores lower than SFT"),
        (Interval(0.1, -0.05, 0.25), "Aligned cannot be told apart from SFT"),
    ],
)
def test_the_claim_follows_the_interval(evaluation: Evaluation, gap: Interval, words: str) -> None:
    changed = with_gap(evaluation, gap)
    assert verdict.result(changed) == words
    said = verdict.headline(changed)
    assert said.startswith(f"{words}: mean shared words score 0.917 against 0.417 on 4 held-out")
    assert gap.value(signed=True) in said and gap.span(signed=True) in said
    against = verdict.remarks(changed)[0]
    assert against.startswith(words.replace("SFT", "SFT continued (same extra compute)"))


def test_use_of_the_image_is_claimed_only_where_shown(evaluation: Evaluation) -> None:
    def image_remarks(gain: Interval) -> list[str]:
        systems = [
            one if one.image_gain is None else dataclasses.replace(one, image_gain=gain)
            for one in evaluation.systems
        ]
        changed = dataclasses.replace(evaluation, systems=tuple(systems))
        return [text for text in verdict.remarks(changed) if "the image" in text]

    shown, not_shown = Interval(0.2, 0.1, 0.3), Interval(0.0, -0.1, 0.1)
    assert [" uses the image" in text for text in image_remarks(shown)] == [True, True]
    assert ["not shown to use" in text for text in image_remarks(not_shown)] == [True, True]


def test_one_system_alone_is_described_not_compared(evaluation: Evaluation) -> None:
    alone = dataclasses.replace(evaluation, systems=evaluation.systems[:1], differences=())
    assert verdict.headline(alone).startswith("SFT scores 0.417: mean shared words score on 4")
    assert len(verdict.remarks(alone)) == 1
