import json

import pytest

from chexjax.data.preferences import holds_single, read_preferences

STUDIES = {"a": 3, "b": 0}
GOOD = {"id": "a", "chosen": "Clear.", "rejected": "Opaque."}


@pytest.fixture
def write(tmp_path):
    def written(*rows):
        file = tmp_path / "given.jsonl"
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        file.write_text("\n".join(lines) + "\n")
        return file

    return written


def test_pairs_get_the_row_of_their_study_and_a_name_of_their_own(write):
    scored = {**GOOD, "id": "b", "rewards": [0.5, -1]}
    assert read_preferences(write(GOOD, scored, GOOD), STUDIES) == (
        [
            {**GOOD, "id": "a:1", "row": 3, "rewards": [1.0, 0.0]},
            {**GOOD, "id": "b:2", "row": 0, "rewards": [0.5, -1.0]},
            {**GOOD, "id": "a:3", "row": 3, "rewards": [1.0, 0.0]},
        ],
        [],
    )


def test_single_reports_are_desirable_or_not(write):
    rows = [{"id": "b", "completion": text, "label": text == "Good."} for text in ("Good.", "Bad.")]
    file = write(*rows)
    assert holds_single(file) and not holds_single(write(GOOD))
    found, rejects = read_preferences(write(*rows), STUDIES)
    assert (
        [row["desirable"] for row in found] == [row["rewards"] for row in found] == [[1.0], [0.0]]
    )
    assert [row["completion"] for row in found] == ["Good.", "Bad."]
    assert not rejects


@pytest.mark.parametrize(
    ("row", "name", "words"),
    [
        ("{broken", "given.jsonl:2", "no JSON object"),
        ("[1]", "given.jsonl:2", "no JSON object"),
        ({**GOOD, "id": "c"}, "c:2", "its id is of no study"),
        ({**GOOD, "id": ["a"]}, "['a']:2", "of no study"),
        ({**GOOD, "rejected": " "}, "a:2", "rejected is no text"),
        ({**GOOD, "rejected": "Clear."}, "a:2", "the same text"),
        ({**GOOD, "rewards": [1.0]}, "a:2", "two finite"),
        ({**GOOD, "rewards": [1.0, float("nan")]}, "a:2", "two finite"),
        ({**GOOD, "rewards": [0.1, 0.2]}, "a:2", "chosen report first"),
        ({"id": "a", "completion": "x", "label": True}, "a:2", "chosen is no text"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line(row, name, words, write):
    found, [reject] = read_preferences(write(GOOD, row), STUDIES)
    assert [pair["id"] for pair in found] == ["a:1"]
    assert reject.id == name and words in reject.reason


def test_a_label_is_true_or_false(write):
    good = {"id": "a", "completion": "x", "label": False}
    _, [reject] = read_preferences(write(good, {**good, "label": 1}), STUDIES)
    assert "label 1 is neither" in reject.reason


def test_a_file_that_holds_neither_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="has no row with 'chosen' and 'rejected', or 'compl"):
        read_preferences(write({"prompt": "x"}), STUDIES)
    with pytest.raises(ValueError, match="there is no file"):
        read_preferences(tmp_path / "none", STUDIES)
