import gzip
import json

import pytest

from chexjax.data.instruct.exclusion import excluded_ids, plain_id


def test_of_a_list_every_id_is_excluded(tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text("s50000001\n\nphantom-0-000003\n")
    assert excluded_ids([str(file)]) == {"50000001", "phantom-0-000003"}


def test_of_a_table_with_splits_the_training_studies_stay(tmp_path):
    file = tmp_path / "split.csv"
    file.write_text("dicom_id,study_id,split\na,50000001,train\nb,50000002,validate\nc,0042,test\n")
    assert excluded_ids([str(file)]) == {"50000002", "0042"}


def test_of_lines_with_splits_the_training_studies_stay(tmp_path):
    file = tmp_path / "split.jsonl.gz"
    rows = [("50000001", "train"), ("50000002", "validate"), ("0042", "test")]
    lines = (json.dumps({"study_id": name, "split": split}) + "\n\n" for name, split in rows)
    file.write_bytes(gzip.compress("".join(lines).encode()))
    assert excluded_ids([str(file)]) == {"50000002", "0042"}


def test_files_add_up(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert excluded_ids([str(tmp_path / name) for name in "ab"]) == {"a", "b"}
    assert excluded_ids([]) == frozenset()


@pytest.mark.parametrize(("name", "plain"), [("s50414267", "50414267"), ("s1", "s1"), (" a ", "a")])
def test_a_study_of_mimic_cxr_is_known_by_both_of_its_names(name, plain):
    assert plain_id(name) == plain


def test_a_table_in_the_wrong_columns_does_not_tell_its_reports(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("study_id,split\n1,The heart is enlarged in his case.\n")
    with pytest.raises(ValueError, match=r"'The heart is enlarg\.\.\.$"):
        excluded_ids([str(file)])
    file.write_text("1,The heart is enlarged in his case.\n2,Clear.\n")
    with pytest.raises(ValueError, match=r"'The heart is enlarg\.\.\.$"):
        excluded_ids([str(file)])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.txt", None, "no such file"),
        ("ids.txt", "\n", "names no study"),
        ("ids.csv", "name,split\na,test\n", "no column of ids"),
        ("ids.csv", "study_id,split\na,train\n", "names no study"),
        ("ids.csv", "study_id,split\na,tset\n", "no split that is known"),
        ("ids.csv", "study_id,split\na\n", "has not as many fields as the table columns: 1 of 2"),
        ("ids.jsonl", '{"study_id": "a", "split": "test"}\n{\n', "its line is no JSON object"),
        ("ids.jsonl", '{"study_id": "a", "split": "test"}\n{}\n', "no split that is known"),
    ],
)
def test_a_file_that_excludes_nothing_is_an_error_that_names_it(tmp_path, name, content, message):
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=f"mixture.exclude=.*{name}: .*{message}"):
        excluded_ids([str(file)])
