"""Errors that are put into what a report says."""

import numpy as np
import pytest

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import KINDS, Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.reading import read
from chexjax.judges.injection import inject, replan, slip, vary
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


def test_what_is_planned_anew_keeps_findings_and_comparison():
    made = [replan(CONTENT, np.random.default_rng(k)) for k in range(20)]
    assert {(m.findings, m.comparison) for m in made} == {(CONTENT.findings, "worse")}
    assert len({m.denied for m in made}) > 1


def test_slips_are_many_and_are_drawn_from_the_seed():
    report, other = "Small left effusion. The lungs are clear.", "Mild cardiomegaly. No edema."
    made = [slip(report, other, np.random.default_rng(k)) for k in range(60)]
    assert made == [slip(report, other, np.random.default_rng(k)) for k in range(60)]
    assert len(set(made)) > 30
    assert any("cardiomegaly" in text for text in made)
    assert any(len(text) < len(report) for text in made)


def test_a_varied_report_says_the_same():
    rng = np.random.default_rng(0)
    for _ in range(50):
        report = grammar.write(CONTENT, rng)
        varied = vary(report, rng, share=1.0)
        assert read(varied).findings == read(report).findings, varied
