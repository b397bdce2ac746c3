"""Open-I in its official layout: drawn pictures and our own texts, then the collection itself."""

import gzip
import io
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from chexjax.data.intake import check
from chexjax.data.sources.openi import OpenIConfig
from chexjax.data.sources.openi_labels import labels
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.splits import split_by_hash
from chexjax.data.study import Rejected
from chexjax.data.text import TextRules
from chexjax.data.views import ViewRules

TEXT_ALONE = ViewRules(most=0)
AS_WRITTEN = TextRules(drop_prior=False, drop_again=False, drop_new=False, drop_lone_stops=False)


def picture(kind="png"):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(buffer, kind)
    return buffer.getvalue()


def report(number, findings="The lungs are clear.", *, images=(), mesh=("normal",), **sections):
    texts = {"findings": findings, "impression": "Normal chest.", "indication": "Cough."}
    named = "".join(
        f'<AbstractText Label="{name.upper()}">{text}</AbstractText>'
        for name, text in (texts | sections).items()
    )
    terms = "".join(f"<major>{term}</major>" for term in mesh)
    shown = "".join(
        f'<parentImage id="{name}"><figureId>F1</figureId></parentImage>' for name in images
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{number}"/><MedlineCitation>'
        f"<Article><Abstract>{named}</Abstract></Article></MedlineCitation>"
        f"<MeSH>{terms}<automatic>clear lung</automatic></MeSH>{shown}</eCitation>"
    ).encode()


@pytest.fixture
def collection(tmp_path):
    """Five studies: two views, one image missing, all missing, none named, a broken file."""
    reports, pngs = tmp_path / "ecgen-radiology", tmp_path / "NLMCXR_png"
    reports.mkdir()
    pngs.mkdir()
    files = {
        "2": report(2, images=["CXR2_IM-1-2001", "CXR2_IM-1-1001"], mesh=["Cardiomegaly/mild"]),
        "10": report(10, images=["CXR10_IM-2-1001", "CXR10_IM-2-2001"], indication=""),
        "11": report(11, images=["CXR11_IM-3-1001"]),
        "12": report(12),
        "100": report(100)[:-9],
    }
    for name, data in files.items():
        (reports / f"{name}.xml").write_bytes(data)
    for name in ("CXR2_IM-1-1001", "CXR2_IM-1-2001", "CXR10_IM-2-1001"):
        (pngs / f"{name}.png").write_bytes(picture())
    return tmp_path


def read(path, **config):
    source = open_source(SourceConfig(name="openi", path=str(path), **config))
    return {study.id: study for study in check(source, range(len(source)))}


def test_studies_are_read_and_what_cannot_be_used_is_named(collection):
    found = read(collection)
    assert list(found) == ["CXR2", "CXR10", "CXR11", "CXR12", "CXR100"]
    first, second = found["CXR2"], found["CXR10"]
    assert first.images == (picture(), picture()) and first.views == ("UNKNOWN", "UNKNOWN")
    assert (first.findings, first.impression) == ("The lungs are clear.", "Normal chest.")
    assert first.labels["Cardiomegaly"] == 1 and first.edits == {}
    assert first.truth["mesh"] == ["Cardiomegaly/mild"]
    assert first.truth["automatic"] == ["clear lung"]
    assert second.indication == "None"
    assert second.edits == {"missing_indication": 1, "images_missing": 1}
    reasons = {name: one.reason for name, one in found.items() if isinstance(one, Rejected)}
    assert reasons.pop("CXR100").startswith("its XML is broken: ")
    assert reasons == {
        "CXR11": "none of its images is there: 1 named",
        "CXR12": "it names no image",
    }


def test_text_alone_needs_no_images(collection):
    found = read(collection, views=TEXT_ALONE)
    assert [name for name, study in found.items() if not isinstance(study, Rejected)] == [
        "CXR2",
        "CXR10",
        "CXR11",
        "CXR12",
    ]
    assert found["CXR2"].images == found["CXR2"].views == ()


def test_studies_for_the_impression_have_both_sections(collection):
    (collection / "ecgen-radiology" / "12.xml").write_bytes(report(12, impression=" "))
    both = OpenIConfig(need="findings_and_impression")
    assert read(collection, openi=both, views=TEXT_ALONE)["CXR12"].reason == "it has no impression"


def test_the_archive_holds_the_same_studies_as_the_folder(collection, tmp_path_factory):
    other = tmp_path_factory.mktemp("archive")
    with tarfile.open(other / "NLMCXR_reports.tgz", "w:gz") as archive:
        archive.add(collection / "ecgen-radiology", "ecgen-radiology")
    pictures = OpenIConfig(image_folder=str(collection))
    for path in (other, other / "NLMCXR_reports.tgz"):
        assert read(path, openi=pictures) == read(collection)


def dicom():
    """A digital X-ray of 32 x 32 pixels."""
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom: CHEXJAX_EXTRAS=dicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.Modality, file.PhotometricInterpretation = "DX", "MONOCHROME2"
    file.Rows = file.Columns = 32
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = np.arange(1024, dtype=np.uint16).tobytes()
    file["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_dicom_files_are_found_by_the_reports_ids_and_become_pictures(collection):
    """The archive of DICOM files has a folder a study, and names without the study's."""
    data = dicom()
    (collection / "NLMCXR_png").rename(collection.parent / "pngs")
    for number, image in ((1, "CXR1_1_IM-0001-4001"), (2, "CXR2_IM-1-1001")):
        (collection / "ecgen-radiology" / f"{number}.xml").write_bytes(
            report(number, images=[image])
        )
    for name in ("1/1_IM-0001-4001.dcm", "2/2_IM-1-1001.dcm"):
        file = collection / "NLMCXR_dcm" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
    found = read(collection)
    for name in ("CXR1", "CXR2"):
        [image] = found[name].images
        assert np.asarray(Image.open(io.BytesIO(image))).shape == (32, 32)


def test_views_come_from_tables_and_decide_the_order(collection):
    headers = "imageid,Other,View Position\nCXR2_IM-1-2001,x,LL\nCXR2_IM-1-1001,y,AP\nCXR9_1,z,\n"
    with gzip.open(collection / "nlmcxr_dicom_metadata.csv.gz", "wt") as file:
        file.write(headers)
    assert read(collection)["CXR2"].views == ("AP", "LL")
    cleaned = "imageid,tsne-view\nCXR2_IM-1-1001,L\nCXR2_IM-1-2001,PA\n"
    (collection / "nlmcxr_tsne_pa.csv").write_text(cleaned)
    assert read(collection)["CXR2"].views == ("PA", "LATERAL")
    given = collection / "mine.csv"
    given.write_text("filename,projection\n2_IM-1-2001.dcm.png,Frontal\n")
    config = OpenIConfig(view_tables=(str(given),))
    assert read(collection, openi=config)["CXR2"].views == ("FRONTAL", "UNKNOWN")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_reports_in_other_encodings_than_they_say_are_read(collection, encoding):
    text = report(2, "Temperature 38°, no œdema.").decode()
    (collection / "ecgen-radiology" / "2.xml").write_bytes(text.encode(encoding))
    assert read(collection, views=TEXT_ALONE)["CXR2"].findings == "Temperature 38°, no œdema."


def test_an_image_that_is_none_costs_a_study_that_has_no_other(collection):
    (collection / "NLMCXR_png" / "CXR10_IM-2-1001.png").write_bytes(b"<html>")
    (collection / "NLMCXR_png" / "CXR2_IM-1-1001.png").write_bytes(b"<html>")
    found = read(collection)
    assert "cannot be decoded" in found["CXR10"].reason
    assert len(found["CXR2"].images) == 1 and found["CXR2"].edits == {"images_unusable": 1}


def test_the_fingerprint_is_of_what_is_read_not_of_where(collection, tmp_path_factory):
    def fingerprint(path, **config):
        return open_source(SourceConfig(name="openi", path=str(path), **config)).fingerprint()

    moved = tmp_path_factory.mktemp("moved") / "openi"
    before = fingerprint(collection)
    collection.rename(moved)
    assert fingerprint(moved) == before
    (moved / "NLMCXR_png" / "CXR11_IM-3-1001.png").write_bytes(picture())
    with_picture = fingerprint(moved)
    assert with_picture != before
    (moved / "ecgen-radiology" / "12.xml").write_bytes(report(12, "The lungs are blear."))
    assert fingerprint(moved) != with_picture


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": ""}, "source.path is empty"),
        ({"path": "nowhere"}, "source.path=nowhere: there is no such file"),
        ({"path": "."}, "no reports of Open-I; give the folder that has ecgen-radiology"),
        ({"openi": OpenIConfig(image_folder="nowhere")}, "image_folder=nowhere: there is no such"),
        ({"openi": OpenIConfig(view_tables=("no.csv",))}, "no.csv cannot be read"),
        ({"openi": OpenIConfig(view_tables=("bad.csv",))}, "says no views: it needs the columns"),
    ],
)
def test_a_source_that_cannot_be_opened_says_what_to_give(
    collection, tmp_path_factory, monkeypatch, config, message
):
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with open("bad.csv", "w") as file:
        file.write("image,view\na,PA\n")
    with pytest.raises(ValueError, match=message):
        open_source(SourceConfig(**{"name": "openi", "path": str(collection)} | config))


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "NLMCXR_reports.tgz").write_bytes(gzip.compress(b"no tar") * 3)
    with pytest.raises(ValueError, match=r"NLMCXR_reports.tgz is no whole tar archive"):
        open_source(SourceConfig(name="openi", path=str(tmp_path)))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (["normal"], {"No Finding": 1, "Cardiomegaly": 0, "Support Devices": 0}),
        (["Cardiomegaly/mild"], {"Cardiomegaly": 1, "No Finding": 0, "Edema": 0}),
        (["Cardiomegaly/borderline"], {"Cardiomegaly": -1, "No Finding": 0}),
        (["Cardiac Shadow/enlarged/borderline"], {"Cardiomegaly": -1}),
        (["Cardiac Shadow/enlarged/mild"], {"Cardiomegaly": 1}),
        (["Costophrenic Angle/right/blunted"], {"Pleural Effusion": -1}),
        (["Costophrenic Angle/blunted", "Pleural Effusion/left"], {"Pleural Effusion": 1}),
        (["Opacity/lung/base/left"], {"Lung Opacity": 1, "No Finding": 0}),
        (["Thickening/pleura/apex/bilateral"], {"Pleural Other": 1}),
        (["Thickening/bronchi"], {"Pleural Other": 0}),
        (["Hydropneumothorax/right"], {"Pneumothorax": 1, "Pleural Effusion": 1}),
        (["Tube, Inserted/trachea"], {"Support Devices": 1}),
        (["Fractures, Bone/ribs/left/healed"], {"Fracture": 1}),
    ],
)
def test_terms_become_labels(terms, expected):
    found = labels(terms)
    assert {name: found[name] for name in expected} == expected


def test_what_terms_do_not_say_is_left_out():
    assert labels([]) == labels(["No Indexing"]) == {}
    assert labels(["Technical Quality of Image Unsatisfactory "]) == {}
    assert "No Finding" not in labels(["Scoliosis/mild"])
    assert "Lung Opacity" not in labels(["Pulmonary Atelectasis/base"])
    assert "Enlarged Cardiomediastinum" not in labels(["Cardiomegaly"])


def test_the_whole_collection_of_reports_has_its_known_numbers(real_data):
    path = str(real_data / "openi-reports")
    config = SourceConfig(name="openi", path=path, views=TEXT_ALONE, text=AS_WRITTEN)
    source = open_source(config)
    done = list(check(source, range(len(source))))
    studies = [study for study in done if not isinstance(study, Rejected)]
    assert len(source) == 3955 and len(studies) == 3425
    assert sum(bool(study.truth["images"]) for study in studies) == 3337
    assert sum(bool(study.impression) for study in studies) == 3419
    assert len({study.findings for study in studies}) == 2633
    assert Counter(one.reason for one in done if isinstance(one, Rejected)) == {
        "it has no findings": 530
    }
    splits = Counter(split_by_hash(source.id(k)) for k in range(len(source)))
    assert splits == {"train": 3138, "validate": 384, "test": 433}
    with_image = Counter(study.split for study in studies if study.truth["images"])
    assert with_image == {"train": 2616, "validate": 338, "test": 383}
    assert sum(study.labels.get("No Finding") == 1 for study in studies) == 1206


def test_the_real_sample_with_its_real_views(real_data):
    tables = real_data / "openi-reports"
    config = OpenIConfig(
        view_tables=tuple(
            str(tables / f"nlmcxr_{name}.csv.gz") for name in ("dicom_metadata", "tsne_pa")
        )
    )
    found = read(real_data / "openi-sample", openi=config)
    assert len(found) == 7 and not any(isinstance(study, Rejected) for study in found.values())
    assert [found[name].views for name in ("CXR2", "CXR54")] == [("PA", "UNKNOWN"), ("PA", "LL")]
    assert all(study.views[0] in ("PA", "AP") for study in found.values())
    assert sum(study.edits.get("images_missing", 0) for study in found.values()) == 4
