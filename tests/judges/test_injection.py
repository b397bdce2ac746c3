"""Reports written anew, and slips in them."""

import numpy as np

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.reading import read
from chexjax.judges.injection import replan, slip, vary

CONTENT = Content(
    findings=(
        Finding(kind="effusion", side="left", severity="mild"),
        Finding(kind="consolidation", side="right", zone="upper"),
    ),
    comparison="worse",
)


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
