"""Reports of other systems: what a file of them may hold, and what is said where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from chexjax.evaluate.predictions import matched, read_predictions

GOOD = b'{"id": "a", "report": "The heart is large."}\n\n{"id": 7, "report": "", "model": "x"}\n'


def test_reports_by_study_whatever_else_stands_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_bytes(GOOD)
    assert read_predictions(file) == {"a": "The heart is large.", "7": ""}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"The heart is large.", "row 3: its line is no JSON object"),
        (b"[1, 2]", "row 3: its line is no JSON object"),
        (b'{"study": "b", "report": "x"}', 'row 3: its "id" is no study\'s name'),
        (b'{"id": " ", "report": "x"}', 'row 3: its "id" is no study'),
        (b'{"id": "b", "report": null}', 'row 3: its "report" is no text'),
        (b'{"id": "7", "report": "x"}', "row 3: a second report on the study of row 2"),
    ],
)
def test_a_bad_line_is_named_with_its_row_and_without_its_text(
    line: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "other.jsonl"
    file.write_bytes(GOOD + line)
    with pytest.raises(ValueError, match=said) as error:
        read_predictions(file)
    assert str(file) in str(error.value) and "heart" not in str(error.value)


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        read_predictions(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no report"):
        read_predictions(tmp_path / "empty.jsonl")


def test_reports_on_other_studies_are_told_apart() -> None:
    own, others = matched({"a": "x", "z": "y"}, ["a", "b"], Path("f.jsonl"))
    assert own == {"a": "x"} and others == ["z"]
    with pytest.raises(ValueError, match="none of its 1 ids is one of the 2 studies"):
        matched({"z": "y"}, ["a", "b"], Path("f.jsonl"))
