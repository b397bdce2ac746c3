"""Candidates that were made elsewhere."""

import json

import pytest

from chexjax.data.arrow import write_dataset
from chexjax.data.candidates import count_candidates, read_candidates

STUDIES = {"s2": 4, "s1": 7, "s3": 9}
GOOD = {"id": "s1", "candidates": ["Clear.", "Opaque."]}


@pytest.fixture
def write(tmp_path):
    def written(*rows):
        file = tmp_path / "given.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return written


def test_candidates_stand_in_the_order_of_the_studies(write):
    file = write(GOOD, {"id": "s2", "candidates": ["A.", "B."]})
    assert count_candidates(file) == 2
    assert read_candidates(file, STUDIES, 2) == (
        [
            {"id": "s2", "row": 4, "candidates": [{"report": "A."}, {"report": "B."}]},
            {"id": "s1", "row": 7, "candidates": [{"report": "Clear."}, {"report": "Opaque."}]},
        ],
        [],
    )


@pytest.mark.parametrize(
    ("row", "name", "words"),
    [
        ({**GOOD, "id": "s9"}, "s9:2", "its id is of no study"),
        ({**GOOD, "candidates": ["A."]}, "s1:2", "candidates: 1, where 2 are wanted"),
        ({"id": "s1"}, "s1:2", "candidates: 0, where 2"),
        ({**GOOD, "candidates": ["A.", " "]}, "s1:2", "candidate 2 is no text"),
        ({**GOOD, "candidates": [None, "A."]}, "s1:2", "candidate 1 is no text"),
        (GOOD, "s1:2", "an earlier row has candidates of the same study"),
        ("text", "given.jsonl:2", "no JSON object"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_row(row, name, words, write):
    found, [reject] = read_candidates(write(GOOD, row), STUDIES, 2)
    assert [one["id"] for one in found] == ["s1"]
    assert reject.id == name and words in reject.reason


def test_candidates_of_the_released_code_are_read_by_their_numbers_whatever_their_scores(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")
    numbers = [10, *range(1, 10)]
    row = {
        "image_path": ["files/p10/p10000032/s2/a.jpg"],
        **{f"candidate_findings_{k}": f"Report {k}." for k in numbers},
        **{f"green_scores{k}": 0.5 for k in numbers},
    }
    write_dataset(tmp_path / "given", "train", [row])
    assert count_candidates(tmp_path / "given") == 10
    [found], rejects = read_candidates(tmp_path / "given", STUDIES, 10)
    assert (found["id"], rejects) == ("s2", [])
    assert [one["report"] for one in found["candidates"]] == [f"Report {k}." for k in range(1, 11)]


def test_a_file_without_candidates_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="has no row with candidates"):
        count_candidates(write({"id": "s1", "candidates": []}))
    with pytest.raises(ValueError, match="there is no file"):
        count_candidates(tmp_path / "none")
