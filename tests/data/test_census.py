"""The statistics of studies, counted by hand on a handful."""

import json

import pytest

from chexjax.data.census import census, percentile, reason_kind
from chexjax.data.study import Study


def row(name, split, findings="Clear lungs.", **more):
    return Study(
        **{"id": name, "split": split, "images": (b"1",), "views": ("PA",), "indication": ""}
        | {"findings": findings}
        | more
    ).to_row()


ROWS = [
    row("a", "train", patient="p", labels={"Edema": 1}, attributes={"sex": "F", "age": 61.0}),
    row("b", "train", "Edema.", images=(b"1", b"2"), views=("AP", "LATERAL"), edits={"again": 3}),
    row("c", "validate", patient="p", labels={"Edema": -1}, edits={"again": 1, "views": 1}),
    row("d", "test", images=(), views=(), labels={"Edema": 0, "Fracture": 1}, patient="q"),
    row("e", "test", "One two three four.", attributes={"sex": "F"}, patient="q"),
]


def test_everything_is_counted():
    found = census(ROWS, ["it has no findings", "too long: 3 words", "too long: 12,000 words"])
    assert found["studies"] == {"train": 2, "validate": 1, "test": 2}
    assert found["mean_words"] == {"train": 1.5, "validate": 2.0, "test": 3.0}
    assert found["words"]["test"] == {"2": 1, "4": 1}
    assert found["patients"] == {"train": 1, "validate": 1, "test": 1}
    assert found["images"] == {"1": 3, "2": 1, "0": 1}
    assert found["views"] == {"PA": 3, "AP": 1, "LATERAL": 1}
    assert found["labels"] == {
        "Edema": {"present": 1, "absent": 1, "uncertain": 1},
        "Fracture": {"present": 1, "absent": 0, "uncertain": 0},
    }
    assert found["attributes"] == {"sex": {"F": 2}, "age": {"61.0": 1}}
    assert found["edits"] == {
        "again": {"studies": 2, "times": 4},
        "views": {"studies": 1, "times": 1},
    }
    assert found["rejects"] == {"it has no findings": 1, "too long": 2}
    assert json.loads(json.dumps(found)) == found


def test_what_one_split_gives_away_of_another_is_counted():
    twice = "an earlier study with the same id is in another split: train, test"
    counted = census(ROWS, [twice, twice, "an earlier study has the same id"])
    assert counted["rejects"][twice.partition(":")[0]] == 2
    found = counted["leakage"]
    assert found["studies"] == {"train, validate": 0, "train, test": 2, "validate, test": 0}
    assert found["patients"] == {"train, validate": 1, "train, test": 0, "validate, test": 0}
    assert found["findings"] == {"train, validate": 1, "train, test": 1, "validate, test": 1}


def test_an_attribute_of_too_many_values_makes_no_slices():
    rows = [row(str(k), "train", attributes={"note": str(k), "sex": "M"}) for k in range(40)]
    assert set(census(rows)["attributes"]) == {"sex"}


def test_no_studies_have_statistics_too():
    assert census([], ["broken"])["rejects"] == {"broken": 1}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("the image is 1 x 12 pixels, under 16", "the image is N x N pixels, under N"),
        ("the image cannot be decoded (broken at 0x7)", "the image cannot be decoded"),
        ("its XML is broken: line 3", "its XML is broken"),
    ],
)
def test_reasons_that_differ_in_numbers_are_one(reason, kind):
    assert reason_kind(reason) == kind


def test_percentiles_of_a_histogram_by_number_not_by_letter():
    histogram = {"10": 5, "100": 1, "9": 4}
    assert [percentile(histogram, share) for share in (0.1, 0.4, 0.5, 0.9, 1.0)] == [
        9,
        9,
        10,
        10,
        100,
    ]
