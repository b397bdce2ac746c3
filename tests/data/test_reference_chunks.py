"""Scores in chunks, a data set for each candidate and some rows."""

import pytest

from chexjax.data.arrow import write_dataset
from chexjax.data.given import count_rows, digest
from chexjax.data.preferences import holds_single, read_preferences

pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")

STUDIES = {"CXR0": 0, "CXR1": 1, "CXR2": 2}
SCORES = ((0.25, 0.5), (0.75, 0.0), (1.0, 0.5))


def row(study, candidate, **changes):
    return {
        "image_path": [f"images/CXR{study}.png"],
        "candidate_findings_1": f"First of {study}.",
        "candidate_findings_2": f"Second of {study}.",
        f"green_scores{candidate}": SCORES[study][candidate - 1],
        **changes,
    }


def write(folder, candidate, first, rows, base="x-completions-green"):
    name = f"{base}-{candidate}-chunk_{first}_{first + 2}"
    write_dataset(folder / name, "train", rows)


def test_candidates_get_their_scores_from_chunks_cut_at_other_rows(tmp_path):
    write(tmp_path, 1, 0, [row(0, 1), row(1, 1)])
    write(tmp_path, 1, 2, [row(2, 1)])
    write(tmp_path, 2, 0, [row(0, 2)])
    write(tmp_path, 2, 1, [row(1, 2), row(2, 2)])
    assert count_rows(tmp_path) == 3 and not holds_single(tmp_path)
    found, rejects = read_preferences(tmp_path, STUDIES)
    assert not rejects
    assert [(one["row"], one["chosen"], one["rewards"]) for one in found] == [
        (0, "Second of 0.", [0.5, 0.25]),
        (1, "First of 1.", [0.75, 0.0]),
        (2, "First of 2.", [1.0, 0.5]),
    ]


def test_what_chunks_lack_or_say_differently_is_named(tmp_path):
    write(tmp_path, 1, 0, [row(0, 1), row(1, 1)])
    write(tmp_path, 1, 4, [row(2, 1)])
    write(tmp_path, 2, 0, [row(0, 2, candidate_findings_1="Another."), row(1, 2), row(2, 2)])
    found, rejects = read_preferences(tmp_path, STUDIES)
    assert [one["id"] for one in found] == ["CXR1:2"]
    named = tmp_path.name
    assert [(one.id, one.reason) for one in rejects] == [
        (f"{named}:1", "its chunks differ in a column: candidate_findings_1"),
        ("CXR2:3", "candidate 1 has no finite score: None"),
        (f"{named}:4", "it is in no chunk"),
        ("CXR2:5", "candidate 2 has no finite score: None"),
    ]


def test_chunks_are_known_by_their_rows_not_by_their_place(tmp_path):
    for folder, study in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / folder, 1, 0, [row(study, 1)])
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_chunks_of_two_data_sets_are_not_mixed(tmp_path):
    write(tmp_path, 1, 0, [row(0, 1)])
    write(tmp_path, 1, 0, [row(0, 1)], base="y-completions-green")
    with pytest.raises(ValueError, match="chunks of x-completions-green, y-completions-green; giv"):
        holds_single(tmp_path)
