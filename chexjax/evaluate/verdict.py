"""The result in words, computed from the numbers, whichever way it went."""

from __future__ import annotations

from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import Interval


def result(evaluation: Evaluation) -> str:
    """How the system under test did against the baseline, in a few words."""
    base, test = evaluation.baseline, evaluation.test
    if base is test:
        return f"{_opening(test.name)} scores {test.means['score'].value()}"
    gap = evaluation.difference(test.name, base.name)
    return f"{_opening(test.name)} {_compared(gap, base.name)}"


def figures(evaluation: Evaluation) -> str:
    """The numbers behind `result`."""
    base, test = evaluation.baseline, evaluation.test
    score = test.means["score"]
    on = f"on {len(evaluation.ids):,} held-out studies"
    if base is test:
        return f"mean {evaluation.judge} score {on}, 95 % interval {score.span()}."
    gap = evaluation.difference(test.name, base.name)
    scores = f"{score.value()} against {base.means['score'].value()}"
    return f"mean {evaluation.judge} score {scores} {on}, a difference of {_signed(gap)}."


def headline(evaluation: Evaluation) -> str:
    """The result and its numbers as one sentence."""
    return f"{result(evaluation)}: {figures(evaluation)}"


def remarks(evaluation: Evaluation) -> list[str]:
    """The sentences after it: the other systems, length, and whether the image was used."""
    said = [_against(evaluation, other) for other in evaluation.systems[1:-1]]
    if evaluation.baseline is not evaluation.test:
        said.append(_length(evaluation))
    said += [_image(one) for one in evaluation.systems if one.image_gain is not None]
    if evaluation.unreadable:
        said.append(
            f"{len(evaluation.unreadable):,} more studies are left out: some report on them has "
            f"no score by {evaluation.judge} or by a metric."
        )
    return said


def _against(evaluation: Evaluation, other: SystemResult) -> str:
    gap = evaluation.difference(evaluation.test.name, other.name)
    note = f" ({other.note})" if other.note else ""
    return (
        f"{_opening(evaluation.test.name)} {_compared(gap, other.name)}{note}: "
        f"difference {_signed(gap)}."
    )


def _length(evaluation: Evaluation) -> str:
    base, test = evaluation.baseline, evaluation.test
    gap = evaluation.difference(test.name, base.name, "lc_score")
    return (
        f"{_opening(test.name)} writes {test.means['words'].value(1)} words a report, {base.name} "
        f"{base.means['words'].value(1)}; with the score controlled for length the difference is "
        f"{_signed(gap)}."
    )


def _image(system: SystemResult) -> str:
    assert system.image_gain is not None and system.shuffled_mean is not None
    own, shuffled = system.means["score"], system.shuffled_mean
    uses = "uses the image" if system.image_gain.sign > 0 else "is not shown to use the image"
    apart = "intervals apart" if own.apart(shuffled) else "intervals that overlap"
    return (
        f"{_opening(system.name)} {uses}: with another study's, its score goes from "
        f"{own.value()} to {shuffled.value()} ({apart}: {own.span()}, {shuffled.span()})."
    )


def _compared(gap: Interval, name: str) -> str:
    verbs = {-1: "scores lower than", 0: "cannot be told apart from", 1: "beats"}
    return f"{verbs[gap.sign]} {name}"


def _signed(gap: Interval) -> str:
    return f"{gap.value(signed=True)} (95 % interval {gap.span(signed=True)})"


def _opening(name: str) -> str:
    return name[:1].upper() + name[1:]
