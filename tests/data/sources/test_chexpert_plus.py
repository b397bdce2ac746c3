"""CheXpert Plus in a generated tree of the official layout, with texts and pictures of our own."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from chexjax.data.intake import check, reader, repeats
from chexjax.data.sources.chexpert_plus import ChexpertPlusConfig
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.study import Rejected, patient_digest
from chexjax.data.views import ViewRules

TABLE = "df_chexpert_plus_240401.csv"
GOOD = {
    "frontal_lateral": "Frontal",
    "ap_pa": "PA",
    "report": "FINDINGS: Clear lungs.\nIMPRESSION: Normal.",
    "section_clinical_history": "",
    "section_history": "Cough.",
    "section_findings": "Clear lungs.",
    "section_impression": "Normal.",
    "age": "61.0",
    "sex": "Female",
    "race": "White, non-Hispanic",
    "ethnicity": "Unknown",
    "split": "train",
}


def picture(shade=0):
    buffer = io.BytesIO()
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32) // 5 + shade
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


class Tree:
    """A table and the images of the PNG release."""

    def __init__(self, root):
        self.root, self.rows = root, []

    def image(self, path, shade=0, **cells):
        """A row, and its picture unless `shade` is None."""
        self.rows.append({"path_to_image": path, **GOOD, **cells})
        if shade is not None:
            file = (self.root / "PNG" / path).with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(shade))

    def write(self, encoding="utf-8"):
        with open(self.root / TABLE, "w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)

    def config(self, plus=None, **more):
        return SourceConfig(
            name="chexpert_plus",
            path=str(self.root),
            chexpert_plus=plus or ChexpertPlusConfig(),
            **more,
        )

    def read(self, plus=None, **more):
        self.write()
        source = open_source(self.config(plus, **more))
        rules = more.get("views", ViewRules())
        found = check(source, range(len(source)), repeats(source), views=rules)
        return {study.id: study for study in found}


@pytest.fixture
def tree(tmp_path):
    """Two patients, three studies, five images; the first study's rows lie apart."""
    tree = Tree(tmp_path)
    lateral = {"frontal_lateral": "Lateral", "ap_pa": ""}
    tree.image("train/patient1/study1/view2_lateral.jpg", 1, **lateral)
    tree.image("train/patient1/study2/view1_frontal.jpg", 2, ap_pa="AP")
    tree.image("train/patient1/study1/view1_frontal.jpg", 3)
    tree.image("valid/patient2/study1/view1_frontal.jpg", 4, split="valid", sex="?", age="-5")
    tree.image("train/patient1/study1/view3_lateral.jpg", 5, **lateral)
    return tree


def reasons(found):
    return {one.id: one.reason for one in found.values() if isinstance(one, Rejected)}


def test_rows_of_images_become_studies(tree):
    found = tree.read()
    assert list(found) == ["patient1/study1", "patient1/study2", "patient2/study1"]
    assert [study.split for study in found.values()] == ["train", "train", "validate"]
    study = found["patient1/study1"]
    assert study.views == ("PA", "LATERAL") and study.images == (picture(3), picture(1))
    assert (study.findings, study.impression) == ("Clear lungs.", "Normal.")
    assert study.indication == "Cough." and study.labels == {}
    assert study.edits == {"images_left_out": 1}
    assert study.attributes == {
        "source": "chexpert_plus",
        "sex": "F",
        "age": 61.0,
        "race": "White, non-Hispanic",
    }
    odd = found["patient2/study1"]
    assert "sex" not in odd.attributes and odd.edits == {"demographics_unreadable": 2}
    assert (
        found["patient1/study2"].patient
        == study.patient
        == patient_digest("chexpert_plus", "patient1")
    )
    assert odd.patient != study.patient


def test_what_the_table_does_not_say_of_a_patient_is_in_the_demographics(tree):
    """CheXpert's own table has a row a patient; what CheXpert Plus says of a study goes before."""
    file = tree.root / "DEMO.csv"
    file.write_text(
        "PATIENT,GENDER,AGE_AT_CXR,PRIMARY_RACE,ETHNICITY\n"
        "patient1,Male,59,Other,Hispanic/Latino\n"
        "patient2,Male,38,Asian,Unknown\n"
        "patient3,Female\n"
    )
    tree.image("train/patient3/study1/view1_frontal.jpg", 6, race="")
    tree.image("train/patient4/study1/view1_frontal.jpg", 7, race="")
    found = tree.read(ChexpertPlusConfig(demographics=str(file)))
    one, _, two, three, four = (dict(study.attributes) for study in found.values())
    said = {"source": "chexpert_plus", "sex": "F", "age": 61.0}
    race = {"race": "White, non-Hispanic"}
    assert one == {**said, **race, "ethnicity": "Hispanic/Latino"}
    assert two == {"source": "chexpert_plus", "sex": "M", "age": 38.0, **race}
    assert three == four == said
    edits = [study.edits for study in found.values()]
    assert edits[3]["demographics_unreadable"] == edits[4]["demographics_missing"] == 1


def test_workers_read_the_same_studies(tree):
    expected = list(tree.read().values())
    with reader(tree.config()) as read_range:
        assert list(read_range(range(1, 3))) == expected[1:]


def test_of_different_reports_of_a_study_the_commonest_with_findings_counts(tree):
    first, _, second, _, third = tree.rows
    first["section_findings"] = second["section_findings"] = ""
    third["section_findings"] = " Edema. "
    study = tree.read()["patient1/study1"]
    assert study.findings == "Edema." and study.edits["report_variants"] == 1
    first["section_findings"] = second["section_findings"] = "Large heart."
    assert tree.read()["patient1/study1"].findings == "Large heart."
    first["section_findings"] = "large  heart"
    assert tree.read()["patient1/study1"].edits["report_variants"] == 2
    for row in (first, second):  # white space makes no variant
        row["section_findings"] = "Edema.\n"
    assert "report_variants" not in tree.read()["patient1/study1"].edits


def test_without_columns_of_sections_the_report_is_parsed(tree):
    for row in tree.rows:
        for name in [name for name in row if name.startswith("section_")]:
            del row[name]
    study = tree.read()["patient1/study1"]
    assert (study.findings, study.impression) == ("Clear lungs.", "Normal.")
    assert study.indication == "None" and study.edits["missing_indication"] == 1


def label_rows(tree, name, *rows):
    folder = tree.root / "chexbert_labels"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_labels_are_those_of_the_report_that_was_chosen(tree):
    tree.rows[0]["section_findings"] = ""
    label_rows(
        tree,
        "impression_fixed.json",
        {"path_to_image": tree.rows[0]["path_to_image"], "Edema": 1.0},
        {"path_to_image": tree.rows[2]["path_to_image"], "Edema": -1.0, "Fracture": None},
        {"path_to_image": tree.rows[1]["path_to_image"], "No Finding": 1, "Pneumonia": 0.0},
        {"path_to_image": tree.rows[3]["path_to_image"], "Edema": [4]},
        {"path_to_image": "train/patient9/study9/view1_frontal.jpg", "Edema": 4},
    )
    found = tree.read(ChexpertPlusConfig(labels="impression"))
    assert found["patient1/study1"].labels == {"Edema": -1}
    assert found["patient1/study2"].labels == {"No Finding": 1, "Pneumonia": 0}
    assert reasons(found) == {"patient2/study1": "a label is not 1, 0, -1 or empty: Edema = [4]"}


def test_bad_rows_are_named_and_the_others_go_on(tree):
    def path(name, view="view1_frontal.jpg"):
        return f"train/{name}/study1/{view}"

    tree.image(path("none"), section_findings=" ")
    tree.image(path("long"), section_findings="word " * 10_000)
    tree.image(path("gone"), None)
    tree.image(path("holdout"), split="holdout")
    tree.image(path("splits"))
    tree.image(path("splits", "view2_frontal.jpg"), split="valid")
    tree.image("view1_frontal.jpg", None)
    tree.image(path("half"))
    tree.image(path("half", "view2_frontal.jpg"))
    tree.image(path("half", "view2_frontal.jpg"))
    tree.image(path("html"))
    for name in ("half", "html"):
        (tree.root / "PNG" / path(name)).with_suffix(".png").write_bytes(b"<html>")
    found = tree.read()
    said = reasons(found)
    expected = {
        "none/study1": "it has no findings",
        "long/study1": "10,000 words",
        "gone/study1": "none of its images is there: 1 named",
        "holdout/study1": "its split is none of",
        "splits/study1": "its images are in several splits: train, valid",
        f"{TABLE}, row 12": "its path_to_image names no split, patient and study",
        "html/study1": "the image cannot be decoded",
    }
    assert set(said) == set(expected)
    for name, words in expected.items():
        assert words in said[name]
    assert found["half/study1"].edits == {"images_repeated": 1, "images_unusable": 1}


def test_a_broken_row_costs_a_study_that_has_no_other(tree):
    for row in tree.rows:
        row["report"] = "one line"
    tree.write()
    lines = (tree.root / TABLE).read_text().splitlines()
    lines[1] = lines[1].split(",")[0]
    lines += ["train/patient3/study1/view1_frontal.jpg,Frontal"]
    (tree.root / TABLE).write_bytes("\n".join(lines).encode() + b"\n")
    source = open_source(tree.config())
    found = {one.id: one for one in check(source, range(len(source)))}
    assert found["patient1/study1"].edits == {"rows_unreadable": 1}
    assert reasons(found) == {
        "patient3/study1": "its row has not as many fields as the table columns: 2 of 13"
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_the_table_is_read_in_the_usual_encodings(tree, encoding):
    tree.rows[1]["section_findings"] = "38\xb0, no \u0153dema."
    tree.write(encoding)
    assert open_source(tree.config())[1].findings == "38\xb0, no \u0153dema."


@pytest.mark.parametrize("tree_name", ["", "CheXpert-v1.0"])
def test_images_lie_in_any_of_the_releases_trees(tree, tree_name):
    before = tree.read()
    (tree.root / "PNG").rename(tree.root / "pictures")
    other = tree.root / "images" / tree_name
    other.parent.mkdir(exist_ok=True)
    (tree.root / "pictures").rename(other)
    assert tree.read(ChexpertPlusConfig(images=str(tree.root / "images"))) == before
    assert set(reasons(tree.read())) == set(before)
    assert tree.read(views=ViewRules(most=0))["patient1/study2"].images == ()


@pytest.mark.parametrize(
    ("data", "plus", "message"),
    [
        (None, {}, f"there is no {TABLE}; give its folder"),
        (b"path,report\n", {}, "it has no column path_to_image; there are path, report"),
        (b"path_to_image,split\n", {}, "it has no column report; there are"),
        (b"path_to_image,report\n", {"labels": "report"}, "there is no .*report_fixed.json"),
        (b"path_to_image,report\n", {"labels": "findings"}, "has labels of no path_to_image in"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(tree, data, plus, message):
    label_rows(tree, "findings_fixed.json", {"path_to_image": "a", "Edema": 1})
    if data is not None:
        (tree.root / TABLE).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        open_source(tree.config(ChexpertPlusConfig(**plus)))


def test_the_fingerprint_is_of_table_and_labels(tree):
    def fingerprint(**plus):
        tree.write()
        return open_source(tree.config(ChexpertPlusConfig(**plus))).fingerprint()

    label_rows(tree, "report_fixed.json", {"path_to_image": tree.rows[0]["path_to_image"]})
    before, labelled = fingerprint(), fingerprint(labels="report")
    (tree.root / "DEMO.csv").write_text("PATIENT,GENDER\n")
    known = fingerprint(demographics=str(tree.root / "DEMO.csv"))
    tree.rows[0]["age"] = "62"
    assert len({before, labelled, known, fingerprint()}) == 4
