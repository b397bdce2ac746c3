"""Data sets on disk as CheXalign's code has them."""

import json

import pytest

from chexjax.data.arrow import Arrow, write_dataset
from chexjax.data.given import count_rows, digest
from chexjax.data.preferences import holds_single, read_preferences
from chexjax.data.reference_folders import (
    completions_row,
    gathered_row,
    kto_rows,
    pair_row,
    source_row,
    study_of,
)

pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")

STUDIES = {"s50414267": 4, "patient2/study1": 7, "CXR9": 1, "0": 2, "12": 3, "a/b/c": 5}
QUESTION = 'Given the indication: "Cough.", write a structured findings section for the CXR.'


def prompt(*paths):
    spans = (f"Picture {k}:<|img|>{path}<|/img|>\n" for k, path in enumerate(paths, 1))
    return "".join(spans) + QUESTION


@pytest.mark.parametrize(
    ("row", "study"),
    [
        ({"image_path": ["files/p10/p10000032/s50414267/a-b.jpg"]}, "s50414267"),
        ({"image_path": "x/y.jpg|train/patient2/study1/view1_frontal.jpg"}, "patient2/study1"),
        ({"image_path": ["a\\CXR9.png"]}, "CXR9"),
        ({"image_path": ["images/12/0.png"]}, "12"),
        ({"image_path": ["data/images/a/b/c/0.png"]}, "a/b/c"),
        ({"prompt": prompt("data/s50414267/a.jpg", "data/CXR9/b.jpg")}, "s50414267"),
        ({"prompt": prompt("data/s5/a.jpg")}, None),
        ({"image_path": []}, None),
        ({"image_path": [""]}, None),
        ({}, None),
    ],
)
def test_the_study_is_found_by_its_images(row, study):
    assert study_of(row, STUDIES) == study


def test_rows_have_the_columns_of_the_released_code():
    study = {"id": "s1", "indication": "Cough.", "findings": "Clear."}
    source = source_row(study, ["a.png", "b.png", "c.png"], "openi")
    assert source == {
        "study_id": "s1",
        "data_source": "openi",
        "image_path": ["a.png", "b.png", "c.png"],
        "text": "Cough.",
        "target_text": "Clear.",
    }
    completions = completions_row(source, ["One.", "Two."])
    assert completions == {
        "study_id": "s1",
        "data_source": "openi",
        "image_path": ["a.png", "b.png", "c.png"],
        "section_indication": "Cough.",
        "section_findings": "Clear.",
        "prompt": QUESTION,
        "candidate_findings_1": "One.",
        "candidate_findings_2": "Two.",
    }
    scored = gathered_row(completions, [0.5, 0.25], "green")
    assert scored == {**completions, "green_scores1": 0.5, "green_scores2": 0.25}
    pair = {"chosen": "One.", "rejected": "Two.", "rewards": [0.5, 0.25]}
    assert pair_row(source, pair) == {
        "study_id": "s1",
        "prompt": prompt("a.png", "b.png"),
        "chosen": "One.",
        "rejected": "Two.",
        "reference": "Clear.",
        "reward_chosen": 0.5,
        "reward_rejected": 0.25,
    }
    common = {"study_id": "s1", "prompt": prompt("a.png", "b.png")}
    assert list(kto_rows(source, pair)) == [
        {**common, "completion": "One.", "label": True},
        {**common, "completion": "Two.", "label": False},
    ]
    single = {"completion": "Two.", "desirable": [0.0]}
    assert list(kto_rows(source, single)) == [{**common, "completion": "Two.", "label": False}]


def test_pairs_of_the_released_code_are_read(tmp_path):
    """They have no id: the path in the prompt names the study."""
    row = {
        "prompt": prompt("files/p10/p10000032/s50414267/a.jpg"),
        "chosen": "Clear.",
        "rejected": "Opaque.",
        "reference": "Clear.",
        "reward_chosen": 0.75,
        "reward_rejected": 0.25,
    }
    other = {**row, "prompt": prompt("files/p10/p10000032/s7/a.jpg")}
    equal = {**row, "rejected": "Clear."}
    assert write_dataset(tmp_path / "final", "train", [row, other, equal]) == 3
    assert not holds_single(tmp_path / "final") and count_rows(tmp_path / "final") == 3
    found, rejects = read_preferences(tmp_path / "final", STUDIES)
    assert found == [
        {
            "id": "s50414267:1",
            "row": 4,
            "chosen": "Clear.",
            "rejected": "Opaque.",
            "rewards": [0.75, 0.25],
        }
    ]
    assert [(reject.id, reject.reason) for reject in rejects] == [
        ("final:2", "it has no id, and its images' paths name no study to train on"),
        ("s50414267:3", "chosen and rejected are the same text"),
    ]


def test_scored_candidates_of_the_released_code_are_read_as_best_against_worst(tmp_path):
    row = {
        "image_path": ["train/patient2/study1/view1_frontal.jpg"],
        **{f"candidate_findings_{k}": f"Report {k}." for k in range(1, 5)},
        **{f"green_scores{k}": score for k, score in enumerate((0.5, 0.0, 0.75, 0.75), 1)},
    }
    equal = {**row, **{f"green_scores{k}": 0.5 for k in range(1, 5)}}
    broken = {**row, "green_scores2": float("nan")}
    write_dataset(tmp_path / "gathered", "train", [row, equal, broken])
    found, rejects = read_preferences(tmp_path / "gathered", STUDIES)
    assert [(one["chosen"], one["rejected"], one["rewards"]) for one in found] == [
        ("Report 3.", "Report 2.", [0.75, 0.0])
    ]
    assert [reject.id for reject in rejects] == ["patient2/study1:2", "patient2/study1:3"]
    assert rejects[0].reason == "chosen and rejected are the same text"
    assert rejects[1].reason == "candidate 2 has no finite score: nan"


def test_scores_of_two_judges_are_not_mixed(tmp_path):
    row = {
        "image_path": ["a/CXR9.png"],
        **{f"candidate_findings_{k}": f"Report {k}." for k in (1, 2)},
        **{f"green_scores{k}": 0.5 * k for k in (1, 2)},
        **{f"lc_green_scores{k}": 1.0 / k for k in (1, 2)},
    }
    write_dataset(tmp_path / "gathered", "train", [row])
    found, [reject] = read_preferences(tmp_path / "gathered", STUDIES)
    assert (found, reject.reason) == ([], "several judges have scored it: green, lc_green")


def test_single_reports_of_the_released_code_are_read(tmp_path):
    row = {"prompt": prompt("a/CXR9.png"), "completion": "Clear.", "label": True}
    write_dataset(tmp_path / "kto", "train", [row, {**row, "label": False}])
    assert holds_single(tmp_path / "kto")
    found, rejects = read_preferences(tmp_path / "kto", STUDIES)
    assert [(one["id"], one["desirable"]) for one in found] == [
        ("CXR9:1", [1.0]),
        ("CXR9:2", [0.0]),
    ]
    assert rejects == []


def test_a_data_set_is_known_by_its_rows_not_by_its_place(tmp_path):
    row = {"prompt": prompt("a/CXR9.png"), "completion": "Clear.", "label": True}
    for name, rows in (("a", [row]), ("b", [row]), ("c", [{**row, "label": False}])):
        write_dataset(tmp_path / name, "train", rows)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_splits_are_written_one_after_the_other_and_nothing_of_an_empty_one(tmp_path):
    for split, texts in (("train", ["a"] * 1500), ("val", []), ("test", ["b"])):
        count = write_dataset(tmp_path, split, ({"text": text, "paths": ["x"]} for text in texts))
        assert count == len(texts)
    assert json.loads((tmp_path / "dataset_dict.json").read_text())["splits"] == ["train", "test"]
    table = Arrow(tmp_path, ())
    assert len(table.ids) == 1501
    assert table[1500] == {"text": "b", "paths": ["x"], "split": "test"}


def test_datasets_itself_reads_what_is_written(tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    row = {"text": "Größe 3 \u0153", "paths": ["a", "b"], "score": 0.5, "label": True}
    for split in ("train", "test"):
        write_dataset(tmp_path, split, [row, {**row, "paths": []}])
    found = datasets.load_from_disk(str(tmp_path))
    assert set(found) == {"train", "test"}
    assert list(found["test"]) == [row, {**row, "paths": []}]
