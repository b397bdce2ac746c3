"""The paragraph in which a small judge thinks, against sentences written by hand."""

from chexjax.judges.explanation import explain
from chexjax.judges.oracle import compare, count

REFERENCE = (
    "Compared with the prior study, the effusion is worse. The lungs are clear. "
    "Small left pleural effusion. There is a right pneumothorax. Severe cardiomegaly."
)


def test_every_statement_is_told_in_its_order_with_what_it_counts_as():
    candidate = "Moderate left effusion. Clear lungs. Left pneumothorax. Fractured left ribs."
    assert explain(compare(REFERENCE, candidate)) == (
        "candidate: moderate left effusion; no lung finding; left pneumothorax; left fracture. "
        "reference: worse: omitted 1; no lung finding: matched 1; "
        "mild left effusion: matched 2, regraded 1; right pneumothorax: misplaced 1; "
        "severe cardiomegaly: missing 1. "
        "beyond: left fracture: false 1."
    )


def test_the_last_number_of_a_kind_is_its_count():
    points = compare(REFERENCE, "Mild cardiomegaly. No change since the prior study.")
    details = count(points).details
    told = explain(points)
    assert details["significant"] == {"a": 0, "b": 2, "c": 0, "d": 1, "e": 1, "f": 0}
    assert "missing 2" in told and "missing 3" not in told
    assert "misgraded 1" in told and "added 1" in told


def test_what_counts_as_nothing_is_passed():
    assert explain(compare("The lungs are clear.", "Two views.")) == (
        "candidate: nothing. reference: no lung finding: passed. beyond: nothing."
    )


def test_a_contradiction_is_false_beside_the_statement_that_it_contradicts():
    told = explain(compare("Small left effusion.", "No effusion. Small left effusion."))
    assert told == (
        "candidate: no effusion; also mild left effusion. "
        "reference: mild left effusion: missing 1. "
        "beyond: mild left effusion: false 1."
    )
