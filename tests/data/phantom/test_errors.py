"""Errors that are put into what a report says."""

import dataclasses

import numpy as np
import pytest

from chexjax.data.phantom import grammar
from chexjax.data.phantom.errors import inject
from chexjax.data.phantom.findings import KINDS, Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.source import PhantomConfig, PhantomSource
from chexjax.judges.oracle import PhantomOracle

CONTENT = Content(
    findings=(
        Finding(kind="effusion", side="left", severity="mild"),
        Finding(kind="consolidation", side="right", zone="upper"),
    ),
    comparison="worse",
)


def judged(content, wrong, rng):
    reports = [grammar.write(x, rng) for x in (content, wrong)]
    return PhantomOracle().judge(reports[:1], reports[1:])[0].details


@pytest.mark.parametrize(
    ("category", "also"),
    # Another comparison is an error and no omission; one grade is no significant error.
    [("a", ""), ("b", ""), ("c", ""), ("d", "insignificant"), ("e", ""), ("f", "")],
)
def test_an_injected_error_is_one_error_of_its_kind(category, also):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        wrong = inject(CONTENT, category, tuple(KINDS), rng)
        details = judged(CONTENT, wrong, rng)
        counts = dict(details["significant"])
        if also:
            counts[category] += details[also][category]
        assert counts == {c: int(c == category) for c in "abcdef"}, wrong


@pytest.mark.parametrize("category", ["b", "c", "d", "f"])
def test_there_is_nothing_to_get_wrong_in_a_report_that_says_nothing(category):
    empty = Content(findings=())
    assert inject(empty, category, tuple(KINDS), np.random.default_rng(0)) == empty


def test_noise_is_in_training_references_alone_and_changes_nothing_else():
    clean = PhantomConfig(train=60, validate=3, test=5, size=32, prior=0.5, seed=3)
    studies = [list(PhantomSource(dataclasses.replace(clean, noise=n))) for n in (0.0, 0.5, 1.0)]
    wrong = [["mistake" in one.truth for one in noisy] for noisy in studies]
    assert [sum(one) for one in wrong] == [0, pytest.approx(30, abs=12), 60]
    assert wrong[2] == [True] * 60 + [False] * 8
    for right, some, whole in zip(*studies, strict=True):
        assert some in (right, whole)
        same = {**whole.truth, "mistake": None} == {**right.truth, "mistake": None}
        assert same and whole.images == right.images and whole.indication == right.indication


def test_a_noisy_reference_has_an_error_of_the_kind_that_its_truth_names():
    config = PhantomConfig(train=120, validate=0, test=0, size=32, prior=0.5, seed=3)
    right, noisy = (PhantomSource(dataclasses.replace(config, noise=n)) for n in (0.0, 1.0))
    references = [one.findings for one in right]
    candidates = [one.findings for one in noisy]
    verdicts = PhantomOracle().judge(references, candidates)
    kinds = [one.truth["mistake"] for one in noisy]
    for kind, verdict in zip(kinds, verdicts, strict=True):
        details = verdict.details
        assert details["significant"][kind] + details["insignificant"][kind] >= 1
    assert set(kinds) == set("abcdef")
