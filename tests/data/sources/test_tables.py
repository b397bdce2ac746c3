"""Studies from tables: the same whatever these are written in, and clear words for errors."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image

from chexjax.data.arrow import Arrow
from chexjax.data.intake import check, repeats
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.sources.table_labels import read_labels
from chexjax.data.sources.tabular import TableConfig
from chexjax.data.splits import split_by_hash
from chexjax.data.study import Rejected, patient_digest
from chexjax.data.text import TextRules
from chexjax.data.views import ViewRules

TEXT_ALONE = ViewRules(most=0)


def picture(value=0):
    buffer = io.BytesIO()
    pixels = (np.arange(1024).reshape(32, 32) + value).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


ROWS = [
    {
        "study_id": "s1",
        "patient_id": "10000032",
        "split": "train",
        "image": "files/1.png;files/2.png",
        "view": "Lateral;PA",
        "indication": "Cough,\nfever.",
        "findings": 'The "heart" is large.',
        "impression": "Cardiomegaly.",
        "sex": "F",
        "age": "61",
        "Cardiomegaly": "1.0",
        "Pleural Effusion": "-1",
        "Edema": "0",
        "Fracture": "",
    },
    {
        "study_id": "s2",
        "patient_id": "10000033",
        "split": "validate",
        "image": "files/2.png",
        "view": "AP",
        "indication": "",
        "findings": "Température 38°.",
        "impression": "",
        "sex": "M",
        "age": "",
        "Cardiomegaly": "",
        "Pleural Effusion": "",
        "Edema": "",
        "Fracture": "1",
    },
]


def write_jsonl(path, rows, encoding="utf-8"):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


def write_csv(path, rows, encoding="utf-8", delimiter=","):
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    data = text.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_arrow(path, rows):
    """As `datasets.save_to_disk` lays it out, a file for the first row and one for the rest."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")
    path.mkdir(parents=True)
    files = []
    for number, part in enumerate(filter(None, (rows[:1], rows[1:]))):
        name = f"data-{number:05d}-of-00002.arrow"
        table = pyarrow.Table.from_pylist(part)
        with pyarrow.ipc.new_stream(str(path / name), table.schema) as stream:
            stream.write_table(table)
        files.append({"filename": name})
    (path / "state.json").write_text(json.dumps({"_data_files": files, "_split": None}))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    for number in (1, 2):
        (tmp_path / "files" / f"{number}.png").write_bytes(picture(number))
    return tmp_path


def read(path, table=TableConfig(), **config):  # noqa: B008 - frozen
    source = open_source(SourceConfig(name="table", path=str(path), table=table, **config))
    return list(check(source, range(len(source)), repeats(source)))


def reasons(found):
    return {one.id: one.reason for one in found if isinstance(one, Rejected)}


def test_a_row_becomes_a_study(folder):
    write_jsonl(folder / "studies.jsonl", ROWS)
    first, second = read(folder / "studies.jsonl")
    assert (first.id, first.split, second.split) == ("s1", "train", "validate")
    assert first.images == (picture(2), picture(1)) and first.views == ("PA", "LATERAL")
    assert first.findings == 'The "heart" is large.' and first.impression == "Cardiomegaly."
    assert (first.indication, second.indication) == ("Cough, fever.", "None")
    assert first.attributes == {"sex": "F", "age": 61.0} and second.attributes == {"sex": "M"}
    assert first.labels == {"Cardiomegaly": 1, "Pleural Effusion": -1, "Edema": 0}
    assert second.labels == {"Fracture": 1}
    assert first.patient == patient_digest("table", "10000032") != second.patient


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl.gz", write_jsonl),
        ("a.ndjson", lambda path, rows: write_jsonl(path, rows, "cp1252")),
        ("a.csv", write_csv),
        ("a.csv.gz", write_csv),
        ("a.tsv", lambda path, rows: write_csv(path, rows, delimiter="\t")),
        ("a.csv", lambda path, rows: write_csv(path, rows, "utf-8-sig")),
        ("a.csv", lambda path, rows: write_csv(path, rows, "cp1252")),
        ("dataset", write_arrow),
    ],
)
def test_every_kind_of_table_holds_the_same_studies(folder, name, write):
    write_jsonl(folder / "studies.jsonl", ROWS)
    write(folder / name, ROWS)
    table = TableConfig(image_folder=str(folder))
    for order in (1, -1):
        source = open_source(SourceConfig(name="table", path=str(folder / name), table=table))
        indices = range(len(source))[::order]
        assert list(check(source, indices)) == read(folder / "studies.jsonl")[::order]


def test_splits_and_pictures_of_a_data_set_on_disk(tmp_path):
    """Splits are folders, pictures are bytes in the table, several or one."""
    image = {"bytes": picture(), "path": None}
    for split, content in (("train", image), ("valid", [image, image]), ("test", None)):
        row = {"id": f"in {split}", "image": content, "findings": "Clear.", "labels": ["Edema"]}
        write_arrow(tmp_path / split, [row])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "valid", "test"]}')
    first, second, third = read(tmp_path)
    assert (first.split, len(first.images)) == ("train", 1)
    assert (second.split, len(second.images)) == ("validate", 2)
    assert second.images[1] == picture() and second.labels == {"Edema": 1, "No Finding": 0}
    assert third == Rejected("in test", "it names no image")


def snapshot(folder, content):
    """As hubs have data sets: Parquet files whose names say the split, of a row group each row."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    (folder / "data").mkdir(parents=True)
    for split, rows in content.items():
        table = pyarrow.Table.from_pylist(rows)
        file = folder / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(table, file, row_group_size=1)
    (folder / "README.md").write_text("A data set.")
    return folder


def test_a_snapshot_of_a_hub_is_read_with_its_splits(tmp_path):
    def row(name):
        image = {"bytes": picture(len(name)), "path": f"{name}.png"}
        return {"id": name, "image": image, "findings": f"{name} is clear."}

    content = {"train": [row("a"), row("bb")], "validation": [row("ccc")], "test": [row("dddd")]}
    found = read(snapshot(tmp_path / "x", content))
    assert {study.id: study.split for study in found} == {
        "a": "train",
        "bb": "train",
        "ccc": "validate",
        "dddd": "test",
    }
    for study in found:
        assert study.findings == f"{study.id} is clear."
        assert study.images == (picture(len(study.id)),)
    alone = read(tmp_path / "x" / "data" / "test-00000-of-00001.parquet")
    assert [(study.id, study.split) for study in alone] == [("dddd", "test")]


def test_a_damaged_parquet_file_and_one_of_other_columns_are_named(tmp_path):
    rows = [{"id": "a", "findings": "Clear."}]
    folder = snapshot(tmp_path, {"train": rows, "test": [{**rows[0], "more": 1}]})
    with pytest.raises(ValueError, match="its files differ in their columns"):
        read(folder)
    file = folder / "data" / "test-00000-of-00001.parquet"
    file.write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=f"{file.name} is no Parquet file"):
        read(folder)


@pytest.mark.parametrize(
    ("images", "within"),
    [
        ([{"bytes": picture(), "path": None}, None], True),
        ([[{"bytes": picture(), "path": "a.png"}], []], True),
        ([picture(), None], True),
        ([None, None], True),
        ([{"bytes": None, "path": "files/1.png"}, {"bytes": picture(), "path": "b.png"}], False),
        (["files/1.png", None], False),
    ],
)
@pytest.mark.parametrize("kind", [write_arrow, lambda p, rows: snapshot(p, {"train": rows})])
def test_pictures_within_a_table_are_not_read_for_its_fingerprint(
    tmp_path, monkeypatch, kind, images, within
):
    rows = [{"id": str(k), "image": one, "findings": "Clear."} for k, one in enumerate(images)]
    kind(tmp_path / "x", rows)
    source = open_source(SourceConfig(name="table", path=str(tmp_path / "x")))
    read_rows = []
    monkeypatch.setattr(Arrow, "__getitem__", lambda self, index: read_rows.append(index) or {})
    assert len(source.fingerprint()) == 64
    assert bool(read_rows) != within


def test_a_folder_of_pictures_and_texts(tmp_path):
    report = "INDICATION: Cough.\nFINDINGS: Clear lungs.\nIMPRESSION: Normal."
    texts = {"a/1": report, "a/2": "Large heart.", "b": "IMPRESSION: Normal.", "c": None}
    (tmp_path / "a").mkdir()
    for name, text in texts.items():
        (tmp_path / f"{name}.png").write_bytes(picture())
        if text:
            (tmp_path / f"{name}.txt").write_text(text)
    found = read(tmp_path)
    assert [study.id for study in found] == ["a/1", "a/2", "b", "c"]
    assert (found[0].findings, found[0].indication) == ("Clear lungs.", "Cough.")
    assert (found[0].impression, found[1].findings) == ("Normal.", "Large heart.")
    assert reasons(found) == {"b": "it has no findings", "c": "it has no findings"}


DEMOGRAPHICS = [
    {"PATIENT": "10000032", "GENDER": "Male", "AGE_AT_CXR": "40", "PRIMARY_RACE": "Asian"},
    {"PATIENT": "10000033", "GENDER": "Male", "AGE_AT_CXR": "52", "PRIMARY_RACE": "Unknown"},
]


@pytest.mark.parametrize(
    ("cells", "expected", "unreadable"),
    [
        ({"sex": "female ", "age": "061Y"}, {"sex": "F", "age": 61.0}, 0),
        ({"age": "1-5 years"}, {"age": 3.0}, 0),
        ({"age": "5-"}, {}, 1),
        ({"gender": "M", "age": 45}, {"sex": "M", "age": 45.0}, 0),
        ({"gender": "Male", "sex": "", "race": "Unknown"}, {"sex": "M"}, 0),
        ({"gender": "M", "sex": "F"}, {"sex": "F"}, 0),
        ({"sex": "x", "age": "300", "race": "WHITE"}, {"race": "WHITE"}, 2),
        ({"age": float("nan"), "insurance": "2", "sex": "declined"}, {"insurance": 2.0}, 0),
    ],
)
def test_attributes_are_said_as_in_other_sources(folder, cells, expected, unreadable):
    write_jsonl(folder / "a.jsonl", [{"id": "a", "findings": "Clear.", **cells}])
    [study] = read(folder / "a.jsonl", views=TEXT_ALONE)
    assert study.attributes == expected
    assert study.edits.get("demographics_unreadable", 0) == unreadable


@pytest.mark.parametrize(("name", "write"), [("DEMO.csv", write_csv), ("a.jsonl", write_jsonl)])
def test_a_table_of_patients_says_what_the_studies_do_not(folder, name, write):
    rows = [*ROWS, {**ROWS[1], "study_id": "s3", "patient_id": "", "sex": ""}]
    write_jsonl(folder / "studies.jsonl", rows)
    # What stands twice counts once, and what has no patient is nobody's.
    repeated = {**DEMOGRAPHICS[0], "PRIMARY_RACE": "Other"}
    write(folder / name, [*DEMOGRAPHICS, repeated, {"PATIENT": "", "GENDER": "Female"}])
    table = TableConfig(demographics=str(folder / name))
    found = read(folder / "studies.jsonl", table)
    assert [one.attributes for one in found] == [
        {"sex": "F", "age": 61.0, "race": "Asian"},
        {"sex": "M", "age": 52.0},
        {},
    ]
    assert [one.edits.get("demographics_missing") for one in found] == [None, None, 1]


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("none.csv", None, r"source.table.demographics=.*none.csv: there is no such file"),
        ("DEMO.xlsx", DEMOGRAPHICS, "DEMO.xlsx: no table; .*save the workbook's sheet as CSV"),
        ("DEMO.csv", [{"GENDER": "F"}], "needs a column PATIENT and one of GENDER, .* are GENDER"),
        ("DEMO.csv", [{"PATIENT": "1"}], "needs a column PATIENT and one of GENDER, .* are PATIEN"),
    ],
)
def test_a_table_of_patients_that_cannot_be_used_says_why(folder, name, rows, message):
    write_jsonl(folder / "studies.jsonl", ROWS)
    if rows:
        write_csv(folder / name, rows)
    with pytest.raises(ValueError, match=message):
        read(folder / "studies.jsonl", TableConfig(demographics=str(folder / name)))


def test_a_table_of_patients_needs_patients_to_find_in_it(folder):
    rows = [{k: v for k, v in row.items() if k != "patient_id"} for row in ROWS]
    write_jsonl(folder / "studies.jsonl", rows)
    write_csv(folder / "DEMO.csv", DEMOGRAPHICS)
    with pytest.raises(
        ValueError, match="no patients to find .* name the column as source.table.p"
    ):
        read(folder / "studies.jsonl", TableConfig(demographics=str(folder / "DEMO.csv")))


def test_without_a_split_patients_are_kept_together(folder):
    rows = [
        {"id": f"{p}-{k}", "patient": f"p{p}", "report": f"Study {k}."}
        for p in range(40)
        for k in range(3)
    ]
    write_csv(folder / "a.csv", rows)
    found = read(folder / "a.csv", views=TEXT_ALONE)
    assert {study.id: study.split for study in found} == {
        row["id"]: split_by_hash(row["patient"]) for row in rows
    }
    assert len({study.split for study in found}) == 3


def test_columns_go_by_the_names_of_the_config(folder):
    write_csv(folder / "a.csv", [{"nr": "7", "Befund": "Clear.", "findings": "no", "Ward": "ICU"}])
    table = TableConfig(id="nr", findings="Befund", attributes=("Ward",))
    [study] = read(folder / "a.csv", table, views=TEXT_ALONE)
    assert (study.id, study.findings, study.attributes) == ("7", "Clear.", {"Ward": "ICU"})


def test_the_text_of_a_data_set_of_chexaligns_is_the_indication(folder):
    row = {"study_id": "s1", "text": "Cough.", "target_text": "Clear.", "image_path": "files/1.png"}
    write_jsonl(folder / "a.jsonl", [row, {**row, "study_id": "s2", "target_text": ""}])
    first, second = read(folder / "a.jsonl")
    assert (first.indication, first.findings) == ("Cough.", "Clear.")
    assert isinstance(second, Rejected)  # its indication is no report


def test_a_list_of_findings_becomes_sentences(folder):
    rows = [{"findings": ["Edema", "No fracture."]}, {"findings": []}]
    write_jsonl(folder / "a.jsonl", rows)
    found = read(folder / "a.jsonl", views=TEXT_ALONE)
    assert (found[0].id, found[0].findings) == ("row-000000", "Edema. No fracture.")
    assert reasons(found) == {"row-000001": "it has no findings"}


REPORT = "The heart is enlarged in his case."


def test_bad_rows_are_named_and_the_others_go_on(folder):
    (folder / "text.png").write_bytes(b"<html>no picture</html>")
    good = {"id": "good", "split": "test", "image": "files/1.png", "findings": "Clear."}
    bad = {
        "split": {"split": "holdout"},
        "label": {"labels": {"Edema": 2}},
        "word": {"labels": {"Edema": "yes"}},
        "class": {"labels": 3},
        "text": {"labels": {"Edema": REPORT}},
        "column": {"split": REPORT},
        "truth": {"labels": True},
        "missing": {"image": "files/9.png"},
        "none": {"image": ""},
        "html": {"image": "text.png"},
        "empty": {"findings": " "},
        "long": {"findings": "word " * 10_000},
        "views": {"view": ["PA", "LATERAL"]},
        "good": {"findings": "A second one of the name."},
    }
    rows = [good, *({**good, "id": name, **change} for name, change in bad.items())]
    write_jsonl(folder / "a.jsonl", rows)
    with (folder / "a.jsonl").open("a") as file:
        file.write('{"id": "cut", "findings": \n[1, 2]\n\n' + "[" * 100_000 + "\n")
        file.write(json.dumps({**good, "id": "last"}) + "\n")
    found = read(folder / "a.jsonl")
    assert [s.id for s in found if not isinstance(s, Rejected)] == ["good", "last"]
    said = reasons(found)
    expected = {
        "split": "its split is none of",
        "label": "a label is not 1, 0, -1 or empty: Edema = 2",
        "word": "a label is not 1, 0, -1 or empty: Edema = 'yes'",
        "class": "its labels are no names: 3",
        "text": "a label is not 1, 0, -1 or empty: Edema = 'The heart is enlarg...",
        "column": "'The heart is enlarg...",
        "truth": "its labels are no names: True",
        "missing": "none of its images is there: 1 named",
        "none": "it names no image",
        "html": "cannot be decoded",
        "empty": "it has no findings",
        "long": "10,000 words",
        "views": "images and views differ in number: 1 and 2",
        "good": "an earlier study has the same id",
        **{f"row-{n:06d}": "its line is no JSON object" for n in (15, 16, 17)},
    }
    assert set(said) == set(expected)
    for name, words in expected.items():
        assert words in said[name]
    assert not any("in his" in reason for reason in said.values())


def test_a_study_in_two_splits_is_rejected_with_both(folder):
    splits = {"a": ["val", "train", "validate"], "b": ["test", "Test"], "c": ["train", "none"]}
    rows = [
        {"id": name, "findings": "Clear.", "split": split}
        for name, named in splits.items()
        for split in named
    ]
    write_jsonl(folder / "a.jsonl", rows)
    found = [one for one in read(folder / "a.jsonl", views=TEXT_ALONE) if isinstance(one, Rejected)]
    twice, same = "with the same id is in another split", "an earlier study has the same id"
    assert [(one.id, one.reason) for one in found] == [
        ("a", f"an earlier study {twice}: train, validate"),
        *[(name, same) for name in "abc"],
    ]


def test_a_name_that_is_too_long_for_a_file_is_one_that_is_not_there(folder):
    write_jsonl(folder / "studies.jsonl", [ROWS[0], {**ROWS[1], "image": "x" * 5000}])
    found = read(folder / "studies.jsonl")
    assert reasons(found) == {"s2": "none of its images is there: 1 named"}
    source = open_source(SourceConfig(name="table", path=str(folder / "studies.jsonl")))
    assert source.fingerprint()


def test_a_row_with_too_few_or_too_many_fields_is_named(folder):
    text = "id,findings,split\na,Clear.,test\nb,Clear.\nc,Clear, and dry.,test\nd,Dry.,test\n"
    (folder / "a.csv").write_text(text)
    found = read(folder / "a.csv", views=TEXT_ALONE)
    assert [s.id for s in found if not isinstance(s, Rejected)] == ["a", "d"]
    number = "its row has not as many fields as the table columns"
    assert reasons(found) == {"b": f"{number}: 2 of 3", "c": f"{number}: 4 of 3"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"findings": "findngs"}, "source.table.findings=findngs: no such column .* mean findings"),
        ({"labels": "x"}, "source.table.labels=x: no such column"),
        ({"attributes": ("sexx",)}, "source.table.attributes: no column sexx .* mean sex"),
    ],
)
def test_a_column_that_is_not_there_is_named(folder, table, message):
    write_csv(folder / "a.csv", ROWS)
    with pytest.raises(ValueError, match=message):
        read(folder / "a.csv", TableConfig(**table))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"id,image\n1,x.png\n", "no reference reports; name the column as"),
        ("a.csv", b"id,findings\n1,x\n", "no images .*source.views.most=0"),
        ("a.csv", b"", "no reference reports"),
        ("a.csv", b"id,findings,id\n1,x,2\n", "two columns are called 'id'"),
        ("a.csv", "id,findings\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz cannot be read"),
        (
            "a.xlsx",
            b"PK",
            "no table; its name must end in .jsonl.*; save the workbook's sheet as CSV",
        ),
    ],
)
def test_a_table_that_cannot_be_used_says_why(folder, name, data, message):
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read(folder / name)


def test_a_folder_without_one_table_says_what_to_give(folder):
    with pytest.raises(ValueError, match="no table in it, and no picture with a .txt"):
        read(folder)
    for name in ("one.csv", "two.csv"):
        write_csv(folder / name, ROWS)
    with pytest.raises(ValueError, match=r"several tables \(one.csv, two.csv\)"):
        read(folder)
    write_jsonl(folder / "manifest.jsonl", ROWS)
    assert len(read(folder)) == 2


def test_a_damaged_data_set_on_disk_is_named(tmp_path):
    write_arrow(tmp_path / "a", ROWS)
    (tmp_path / "a" / "data-00001-of-00002.arrow").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="data-00001-of-00002.arrow is no Arrow file"):
        read(tmp_path / "a")
    (tmp_path / "a" / "state.json").write_text("{}")
    with pytest.raises(ValueError, match="state.json does not say '_data_files'"):
        read(tmp_path / "a")
    (tmp_path / "a" / "state.json").write_text('{"_indices_files": [{"filename": "i.arrow"}]}')
    with pytest.raises(ValueError, match="call flatten_indices"):
        read(tmp_path / "a")


def test_the_fingerprint_changes_with_the_table_and_with_its_images(folder):
    def fingerprint():
        return open_source(SourceConfig(name="table", path=str(folder))).fingerprint()

    write_csv(folder / "studies.csv", ROWS)
    before = fingerprint()
    (folder / "files" / "unrelated.png").write_bytes(picture())
    assert fingerprint() == before
    (folder / "files" / "2.png").write_bytes(picture() + b" ")
    with_image = fingerprint()
    write_csv(folder / "studies.csv", [ROWS[0], {**ROWS[1], "findings": "Température 39°."}])
    assert len({before, with_image, fingerprint()}) == 3


@pytest.mark.parametrize(
    ("cells", "column", "labels", "others"),
    [
        ({"x": ["Edema", "edema "]}, "x", {"Edema": 1, "No Finding": 0}, []),
        ({"x": "Effusion|Hernia"}, "x", {"Pleural Effusion": 1, "No Finding": 0}, ["Hernia"]),
        ({"x": "No Finding"}, "x", {"No Finding": 1}, []),
        ({"x": ["Support_Devices"]}, "x", {"Support Devices": 1}, []),
        ({"x": None}, "x", {}, []),
        ({"x": float("nan")}, "x", {}, []),
        ({"x": ["Edema", None]}, "x", {"Edema": 1, "No Finding": 0}, []),
        ({"x": {"Mass": 0, "Nodule": -1, "Edema": None}}, "x", {"Lung Lesion": -1}, []),
        ({"Nodule": "1", "Mass": "0", "age": "61"}, "", {"Lung Lesion": 1}, []),
        ({"Edema": float("nan"), "Fracture": -1.0}, "", {"Fracture": -1}, []),
    ],
)
def test_labels_of_every_notation(cells, column, labels, others):
    assert read_labels(cells, column) == (labels, others)


AS_WRITTEN = TextRules(drop_prior=False, drop_again=False, drop_new=False, drop_lone_stops=False)


def test_the_real_images_are_read_by_their_manifests(real_data):
    found = read(real_data / "cxr-real", TableConfig(labels="findings"))
    assert len(found) == 300 and not reasons(found)
    assert {view for study in found for view in study.views} == {"PA", "AP"}
    pneumonia = [study for study in found if study.labels.get("Pneumonia") == 1]
    assert len(pneumonia) >= 112 and all(study.attributes for study in found)
    notes = read(real_data / "cxr-notes-nc", TableConfig(findings="note"), text=AS_WRITTEN)
    assert len(notes) == 63 and not reasons(notes)
    of_patient = {}
    for study in [*found, *notes]:
        assert of_patient.setdefault(study.patient, study.split) == study.split
