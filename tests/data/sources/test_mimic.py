"""MIMIC-CXR in a generated tree of the official layout, with texts and pictures of our own."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image

from chexjax.data.intake import check, reader, repeats
from chexjax.data.sources.mimic import MimicConfig
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.study import Rejected, patient_digest
from chexjax.data.views import ViewRules

TEXT_ALONE = ViewRules(most=0)
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // eval for infection

 COMPARISON:  ___

 FINDINGS:

 The heart is enlarged.  Compared to prior, no
 pneumothorax.  Small new effusion.

 IMPRESSION:

 Cardiomegaly.
"""
LABELS = ("Atelectasis", "Cardiomegaly", "Edema", "No Finding", "Pneumonia")


def picture(shade=0, form="jpeg"):
    buffer = io.BytesIO()
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32) // 5 + shade
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def table(file, rows):
    """Rows (dicts) as CSV, compressed as the official tables are."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    data = buffer.getvalue().encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


class Tree:
    """The collection: three patients, four studies, seven images."""

    def __init__(self, root):
        self.root = root
        self.split, self.metadata, self.labels = [], [], []
        self.study(10000032, 50414267, "train", ["LATERAL", "PA", "AP"], Cardiomegaly="1.0")
        self.study(10000032, 50000001, "train", ["AP"], Edema="-1.0", Pneumonia="0.0")
        self.study(10000764, 57375967, "validate", ["PA", ""])
        self.study(19999733, 57132437, "test", ["AP"], **{"No Finding": "1.0"})
        self.write()

    def study(self, subject, study, split, views, report=REPORT, **labels):
        ids = {"subject_id": subject, "study_id": study}
        folder = self.folder(subject, study)
        folder.mkdir(parents=True, exist_ok=True)
        for number, view in enumerate(views):
            name = f"{study:08x}-{number}"
            (folder / f"{name}.jpg").write_bytes(picture(number))
            self.split.append({"dicom_id": name, **ids, "split": split})
            self.metadata.append(
                {"dicom_id": name, **ids, "ViewPosition": view, "StudyDate": "21800506"}
            )
        self.labels.append(ids | {name: labels.get(name, "") for name in LABELS})
        folder.with_suffix(".txt").write_text(report)

    def folder(self, subject, study):
        return self.root / "files" / f"p{subject // 10**6}" / f"p{subject}" / f"s{study}"

    def write(self):
        for name in ("split", "metadata"):
            table(self.root / f"mimic-cxr-2.0.0-{name}.csv.gz", getattr(self, name))
        table(self.root / "mimic-cxr-2.0.0-chexpert.csv.gz", self.labels)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def config(tree, mimic=None, **more):
    return SourceConfig(
        name="mimic_cxr", path=str(tree.root), mimic_cxr=mimic or MimicConfig(), **more
    )


def read(tree, mimic=None, **more):
    source = open_source(config(tree, mimic, **more))
    found = check(source, range(len(source)), repeats(source), views=more.get("views", ViewRules()))
    return {study.id: study for study in found}


def reasons(found):
    return {one.id: one.reason for one in found.values() if isinstance(one, Rejected)}


def test_studies_have_their_official_split_views_labels_and_sections(tree):
    found = read(tree)
    assert list(found) == ["s50000001", "s50414267", "s57132437", "s57375967"]
    assert [s.split for s in found.values()] == ["train", "train", "test", "validate"]
    study = found["s50414267"]
    assert study.views == ("PA", "AP") and study.images == (picture(1), picture(2))
    assert study.indication == "___F with cough // eval for infection"
    assert study.findings == "The heart is enlarged. Small effusion."
    assert study.impression == "Cardiomegaly."
    assert study.labels == {"Cardiomegaly": 1}
    assert study.edits == {"drop_prior": 1, "drop_new": 1, "images_left_out": 1}
    assert study.attributes == {"source": "mimic_cxr"}
    assert found["s50000001"].labels == {"Edema": -1, "Pneumonia": 0}
    assert found["s57375967"].views == ("PA", "UNKNOWN") and found["s57375967"].labels == {}
    patients = [study.patient for study in found.values()]
    assert patients[0] == patients[1] == patient_digest("mimic_cxr", "10000032")
    assert len(set(patients)) == 3


def test_workers_read_the_same_studies(tree):
    with reader(config(tree)) as read_range:
        assert list(read_range(range(1, 4))) == list(read(tree).values())[1:]


def test_no_file_of_a_study_is_opened_before_it_is_asked_for(tree, monkeypatch):
    source = open_source(config(tree))
    for study in (50414267, 50000001):
        for file in tree.folder(10000032, study).glob("*.jpg"):
            file.unlink()
        tree.folder(10000032, study).with_suffix(".txt").unlink()
    assert len(source) == 4 and source.fingerprint()
    assert source[2].id == "s57132437"


def test_demographics_come_from_the_tables_of_mimic_iv(tree):
    table(
        tree.root / "patients.csv.gz",
        [
            {"subject_id": 10000032, "gender": "F", "anchor_age": 52, "anchor_year": 2175},
            {"subject_id": 10000764, "gender": "?", "anchor_age": 300, "anchor_year": ""},
            {"subject_id": 1, "gender": "M", "anchor_age": 20, "anchor_year": 2150},
        ],
    )
    races = ["WHITE - RUSSIAN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "ASIAN", "WHITE"]
    rows = [{"subject_id": 10000032, "hadm_id": k, "race": race} for k, race in enumerate(races)]
    table(tree.root / "elsewhere.csv", [*rows, {**rows[1], "subject_id": 19999733}])
    found = read(tree, MimicConfig(admissions=str(tree.root / "elsewhere.csv")))
    # Made in 2180, five years after she was 52.
    assert found["s50414267"].attributes == {
        "source": "mimic_cxr",
        "sex": "F",
        "age": 57.0,
        "race": "WHITE",
    }
    odd = found["s57375967"]
    assert odd.attributes == {"source": "mimic_cxr"} and odd.edits["demographics_unreadable"] == 2
    assert found["s57132437"].attributes == {"source": "mimic_cxr"}


def test_the_table_of_sections_decides_what_it_has_columns_for(tree):
    row = {"study": "s50414267", "impression": "", "findings": "From the\ntable.", "comparison": ""}
    last = {**row, "study": "s57132437", "findings": "", "last_paragraph": "All is well."}
    twice = {**row, "study": "s57375967"}
    table(
        tree.root / "mimic_cxr_sectioned.csv",
        [{"last_paragraph": "", **one} for one in (row, last, twice, twice)],
    )
    found = read(tree)
    study = found["s50414267"]
    assert (study.findings, study.impression) == ("From the table.", "")
    assert study.indication == "___F with cough // eval for infection"  # it has no such column
    assert found["s50000001"].impression == "Cardiomegaly."  # it has no such row
    assert reasons(found) == {
        "s57132437": "it has no findings",
        "s57375967": "the table of sections has two rows of it",
    }
    found = read(tree, MimicConfig(last_paragraph=True))
    assert found["s57132437"].findings == "All is well."
    assert found["s57132437"].edits["last_paragraph"] == 1
    assert "last_paragraph" not in found["s50414267"].edits


def test_structured_findings_replace_the_report_s(tree):
    said = {
        "findings": {"s50414267": "[Cardiac: Size] Enlarged.", "s50000001": 7},
        "impression": {"s50414267": "Large heart."},
    }
    (tree.root / "mimic_cxr_struct.json").write_text(json.dumps(said))
    found = read(tree)
    study = found["s50414267"]
    assert (study.findings, study.impression) == ("[Cardiac: Size] Enlarged.", "Large heart.")
    assert study.indication == "___F with cough // eval for infection"
    lacking = "it has no structured findings"
    assert reasons(found) == {
        "s50000001": "its structured findings are no text",
        "s57132437": lacking,
        "s57375967": lacking,
    }


def test_a_report_without_headings_can_give_its_last_paragraph(tree):
    file = tree.folder(19999733, 57132437).with_suffix(".txt")
    file.write_bytes(
        b" FINAL REPORT\r\n CHEST\r\n\r\n Seen on ___.\r\n\r\n The lungs\r\n are clear."
    )
    assert reasons(read(tree)) == {"s57132437": "it has no findings"}
    study = read(tree, MimicConfig(last_paragraph=True))["s57132437"]
    assert study.findings == "The lungs are clear." and study.edits["last_paragraph"] == 1


def test_bad_studies_are_named_and_the_others_go_on(tree):
    kinds = [
        "none",
        "label",
        "long",
        "gone",
        "html",
        "half",
        "unread",
        "patients",
        "splits",
        "holdout",
        "latin",
        "twice",
    ]
    numbers = {name: 60000000 + k for k, name in enumerate(kinds)}
    reports = {
        "none": "FINDINGS:\n\nIMPRESSION: Normal.",
        "long": "FINDINGS: " + "word " * 10_000,
    }
    for name, study in numbers.items():
        views = ["PA", "AP", "LATERAL"] if name == "half" else ["PA"]
        split = name if name == "holdout" else "train"
        labels = {"Edema": "3.0"} if name == "label" else {}
        tree.study(12000000, study, split, views, reports.get(name, REPORT), **labels)
        folder = tree.folder(12000000, study)
        if name in ("html", "half"):
            (folder / f"{study:08x}-0.jpg").write_bytes(b"<html>")
        if name == "gone":
            (folder / f"{study:08x}-0.jpg").unlink()
        if name == "unread":
            folder.with_suffix(".txt").unlink()
        if name == "latin":
            folder.with_suffix(".txt").write_bytes(
                "FINDINGS: 38\xb0, no \x9cdema.".encode("latin1")
            )
    tree.split += [
        {**tree.split[-1], "dicom_id": "a", "study_id": numbers["patients"], "subject_id": 1},
        {**tree.split[-1], "dicom_id": "b", "study_id": numbers["splits"], "split": "test"},
        tree.split[-1],
        {**tree.split[-1], "dicom_id": "c", "study_id": "s6"},
    ]
    tree.write()
    found = read(tree)
    names = {f"s{study}": name for name, study in numbers.items()}
    said = {names.get(one, one): reason for one, reason in reasons(found).items()}
    expected = {
        "none": "it has no findings",
        "label": "a label is not 1, 0, -1 or empty: Edema = '3.0'",
        "long": "more words than source.text.max_words: 10,000 words",
        "gone": "none of its images is there: 1 named",
        "html": "the image cannot be decoded",
        "unread": "its report is not there",
        "patients": "its images are of several patients",
        "splits": "its images are in several splits: train, test",
        "holdout": "its split is none of",
        "mimic-cxr-2.0.0-split.csv.gz:26": "its row names no image, study and patient",
    }
    assert set(said) == set(expected)
    for name, words in expected.items():
        assert words in said[name]
    half = found[f"s{numbers['half']}"]
    assert half.views == ("AP", "LATERAL") and half.edits["images_unusable"] == 1
    assert found[f"s{numbers['latin']}"].findings == "38\xb0, no \u0153dema."
    assert found[f"s{numbers['twice']}"].edits["images_repeated"] == 1
    assert not any("12000000" in reason for reason in said.values())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("split", "there is no mimic-cxr-2.0.0-split.csv.gz; it comes with MIMIC-CXR-JPG"),
        ("metadata", "there is no mimic-cxr-2.0.0-metadata.csv.gz"),
        ("chexpert", "there is no mimic-cxr-2.0.0-chexpert.csv.gz"),
    ],
)
def test_a_missing_table_is_named(tree, broken, message):
    (tree.root / f"mimic-cxr-2.0.0-{broken}.csv.gz").unlink()
    with pytest.raises(ValueError, match=message):
        read(tree)


def test_tables_that_are_not_needed_may_be_missing(tree):
    for name in ("metadata", "chexpert"):
        (tree.root / f"mimic-cxr-2.0.0-{name}.csv.gz").unlink()
    found = read(tree, MimicConfig(labels="none"), views=ViewRules(rank=False))
    assert found["s50414267"].views == ("UNKNOWN", "UNKNOWN")
    assert found["s50414267"].images == (picture(0), picture(1))
    assert len(read(tree, MimicConfig(labels="none"), views=TEXT_ALONE)["s57132437"].images) == 0


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("mimic-cxr-2.0.0-split.csv", b"dicom_id,study_id\n", "it has no column subject_id; there"),
        ("mimic-cxr-2.0.0-split.csv", "a,b".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("mimic-cxr-2.0.0-split.csv.gz", b"no gzip", "split.csv.gz cannot be read"),
        ("mimic_cxr_sectioned.csv", b"study,text\n", "it has no column findings; there are study"),
        ("mimic_cxr_sectioned.csv.gz", gzip.compress(b"study,findings\n", mtime=0), "unpack it"),
        ("mimic_cxr_struct.json", b"[1]", "it has no object 'findings'"),
        ("mimic_cxr_struct.json", b"{", "mimic_cxr_struct.json cannot be read"),
        ("patients.csv", b"subject_id,sex\n", "patients.csv: it has no column gender"),
        ("admissions.csv", b"subject_id\n", "admissions.csv: it has no column race"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tree, name, data, message):
    for file in tree.root.glob(f"{name.split('.csv')[0]}*"):
        file.unlink()
    (tree.root / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read(tree)


def test_a_file_of_the_config_that_is_not_there_is_named(tree):
    with pytest.raises(ValueError, match=r"source.mimic_cxr.patients=no.csv: there is no such"):
        read(tree, MimicConfig(patients="no.csv"))


def test_the_fingerprint_is_of_the_tables(tree):
    def fingerprint():
        return open_source(config(tree)).fingerprint()

    before = fingerprint()
    tree.labels[0]["Edema"] = "1.0"
    tree.write()
    with_label = fingerprint()
    table(tree.root / "mimic_cxr_sectioned.csv", [{"study": "s1", "findings": "Clear."}])
    assert len({before, with_label, fingerprint()}) == 3
