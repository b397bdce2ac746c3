"""The paragraph in which a small judge thinks, against sentences written by hand."""

from chexjax.judges.explanation import explain
from chexjax.judges.oracle import compare, count

REFERENCE = (
    "Compared with the prior study, the effusion is worse. The lungs are clear. "
    "Small left pleural effusion. There is a right pneumothorax. Severe cardiomegaly."
)


def test_every_point_is_told_with_what_it_counts_as():
    candidate = "Moderate left effusion. Clear lungs. Left pneumothorax. Fractured left ribs."
    assert explain(compare(REFERENCE, candidate)) == (
        "reference, candidate: "
        "cardiomegaly severe, none: missing 1; "
        "effusion mild left, moderate left: matched 1, regraded 1; "
        "pneumothorax right, left: misplaced 1; "
        "fracture none, left: false 1; "
        "no lung finding: matched 2; "
        "change worse, none: omitted 1."
    )


def test_the_last_number_of_a_kind_is_its_count():
    points = compare(REFERENCE, "Mild cardiomegaly. No change since the prior study.")
    told = explain(points)
    assert count(points).details["significant"] == {"a": 0, "b": 2, "c": 0, "d": 1, "e": 1, "f": 0}
    assert "missing 2" in told and "missing 3" not in told
    assert "misgraded 1" in told and "added 1" in told


def test_what_counts_as_nothing_is_passed():
    told = explain(compare("The lungs are clear.", "Two views."))
    assert told == "reference, candidate: no lung finding: passed."
    assert explain(compare("Two views.", "")) == "reference, candidate: nothing."


def test_a_contradiction_is_false_beside_the_statement_that_it_contradicts():
    told = explain(compare("Small left effusion.", "No effusion. Small left effusion."))
    assert told == (
        "reference, candidate: effusion mild left, none: missing 1; "
        "also mild left effusion: false 1."
    )
