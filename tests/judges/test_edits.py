"""Errors that are put into the text of reports by rule."""

import numpy as np
import pytest

from chexjax.data.phantom.source import PhantomConfig, PhantomSource
from chexjax.judges.edits import edit, falsified, sentences
from chexjax.judges.oracle import PhantomOracle, count

FINDING = "Small nodule in the left upper lobe."


def edited(reference, other="Normal.", seeds=range(40), most=1):
    """All the different candidates, with what counts as an error in them."""
    made = [edit(reference, other, np.random.default_rng(seed), most) for seed in seeds]
    return {
        one.candidate: "".join(
            prefix + c
            for prefix, key in (("", "significant"), ("-", "insignificant"))
            for c, n in count(one.points).details[key].items()
            if n
        )
        for one in made
    }


@pytest.mark.parametrize(
    ("reference", "candidate", "errors"),
    [
        (FINDING, FINDING, ""),
        (f"{FINDING} Normal.", "Normal.", "b"),
        (FINDING, "Small nodule in the right upper lobe.", "c"),
        (FINDING, "Large nodule in the left upper lobe.", "d"),
        (FINDING, "Moderate nodule in the left upper lobe.", "-d"),
        ("No pleural effusion. Normal.", "Normal.", ""),
        ("No pleural effusion.", "There is pleural effusion.", "a"),
        ("There is no pneumothorax.", "There is pneumothorax.", "a"),
        ("There is a pneumothorax.", "There is no pneumothorax.", "b"),
        ("Normal. The mass is larger than in the prior study.", "Normal.", "f"),
        ("Normal. Unchanged from the prior study.", "Normal.", "-f"),
    ],
)
def test_an_edit_counts_as_what_it_is(reference, candidate, errors):
    assert edited(reference)[candidate] == errors


def test_a_falsified_reference_has_one_error_and_else_the_same_words():
    kinds = ("cardiomegaly", "effusion", "pneumothorax", "consolidation", "pacemaker")
    source = PhantomSource(PhantomConfig(train=150, validate=0, test=0, size=32, kinds=kinds))
    references = [study.findings for study in source]
    made = [falsified(text, np.random.default_rng(k)) for k, text in enumerate(references)]
    pairs = [(right, wrong) for right, wrong in zip(references, made, strict=True) if wrong]
    assert 60 < len(pairs) < 120  # of healthy people nothing has an opposite
    verdicts = PhantomOracle().judge(*(list(texts) for texts in zip(*pairs, strict=True)))
    errors = [verdict.details["significant"] for verdict in verdicts]
    assert all(sum(one.values()) == one["c"] + one["d"] == 1 for one in errors)
    for right, wrong in pairs:
        changed = [a != b for a, b in zip(right.split(), wrong.split(), strict=True)]
        assert sum(changed) == 1
    assert falsified("The lungs are clear.", np.random.default_rng(0)) is None


@pytest.mark.parametrize("reference", [FINDING, "Normal.", "No edema. Normal. No effusion."])
def test_something_is_always_left(reference):
    assert all(edited(reference, other="", most=4))


def test_a_finding_of_another_report_is_false_unless_the_reference_speaks_of_it():
    other = "There is an effusion on the right."
    made = edited("The heart is enlarged.", other, most=0)
    assert {"effusion" in text for text in made} == {True, False}
    assert all(("effusion" in text) == ("a" in errors) for text, errors in made.items())
    assert not any("on the right" in text for text in edited("No effusion.", other, most=0))


def test_a_comparison_is_added_where_the_reference_has_none():
    assert "e" in edited("The heart is enlarged.", most=0).values()
    assert "e" not in edited("The heart is larger than in the prior study.", most=0).values()


def test_sentences_that_are_kept_are_matched():
    one = edit("Old rib fracture. No edema.", "", np.random.default_rng(7), most=0)
    assert count(one.points).details["matched"] == 2


def test_text_is_cut_into_sentences_with_something_in_them():
    assert sentences("A 2.5 cm mass.  Clear lungs!\n\n. 1. ") == ["A 2.5 cm mass.", "Clear lungs!"]
