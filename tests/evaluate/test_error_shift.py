"""The shift of error kinds, counted by hand."""

from __future__ import annotations

import dataclasses

import pytest

from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies import error_shift
from chexjax.judges.answer import judgement

KINDS = dict.fromkeys("abcdef", 0)


def counted(evaluation: Evaluation, before: list[dict], after: list[dict]) -> Evaluation:
    first, *between, last = evaluation.systems
    systems = [
        dataclasses.replace(
            system, judgements=tuple(judgement(1, KINDS | errors, KINDS, []) for errors in given)
        )
        for system, given in ((first, before), (last, after))
    ]
    return dataclasses.replace(evaluation, systems=(systems[0], *between, systems[1]))


def test_each_kind_by_itself(evaluation: Evaluation) -> None:
    before = [{"a": 2, "b": 1}, {"a": 2}, {"a": 2}, {"a": 2}]
    after = [{"e": 1}, {"a": 1, "e": 1}, {"e": 1}, {"e": 1}]
    found = error_shift.error_shift(counted(evaluation, before, after))
    assert found is not None and (found.of, found.minus) == ("aligned", "SFT")
    shifts = {one.category: one for one in found.shifts}
    assert (shifts["a"].before.mean, shifts["a"].after.mean) == (2.0, 0.25)
    assert shifts["a"].change.mean == -1.75 and shifts["a"].change.sign == -1
    assert shifts["b"].change.mean == -0.25 and shifts["b"].change.sign == 0
    assert (shifts["e"].change.low, shifts["e"].change.high) == (1.0, 1.0)
    # Exact: 2 of 16 ways reach what was seen in (a) and (e), all in the others; times six.
    assert shifts["a"].adjusted == pytest.approx(6 / 8)
    assert shifts["e"].adjusted == pytest.approx(6 / 8)
    assert shifts["c"].adjusted == 1.0
    text = error_shift.show(found)
    assert "(e) comparison that the reference does not make" in text
    assert "\u22121.75" in text and "<svg" in text


def test_a_judge_that_counts_no_errors_shows_none(evaluation: Evaluation) -> None:
    assert error_shift.error_shift(evaluation) is None
    alone = dataclasses.replace(evaluation, systems=evaluation.systems[:1], differences=())
    assert error_shift.error_shift(alone) is None
