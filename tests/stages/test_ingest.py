"""Ingest keeps what can be used and names what cannot, row by row."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from chexjax.__main__ import main
from chexjax.data.intake import check, repeats
from chexjax.data.study import Study, UnusableStudy, patient_digest
from chexjax.stages.ingest import sort_out


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


GOOD = png(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))


class Listed:
    """A source that holds what it is given, an error where one is to be raised."""

    def __init__(self, *studies):
        self.studies = studies

    def __len__(self):
        return len(self.studies)

    def id(self, index):
        return getattr(self.studies[index], "id", f"row {index}")

    def __getitem__(self, index):
        if isinstance(self.studies[index], Exception):
            raise self.studies[index]
        return self.studies[index]

    def fingerprint(self):
        return ""


def ingested(*studies):
    source = Listed(*studies)
    return sort_out(check(source, range(len(source)), repeats(source)))


def study(name, image=GOOD, findings="The lungs are clear.", **more):
    return Study(
        id=name,
        split="train",
        images=(image,),
        views=("frontal",),
        indication="Cough.",
        findings=findings,
        **more,
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (study("x", image=png(np.zeros((64, 64), np.uint8))), "every pixel of the image"),
        (
            study("x", image=png(np.full((1, 1), 7, np.uint8))),
            "the image is under 16 pixels: 1 x 1",
        ),
        (study("x", image=GOOD[: len(GOOD) // 2]), "cannot be decoded"),
        (study("x", image=b"not an image"), "cannot be decoded"),
        (study("x", findings="  \n"), "reference report is empty"),
        (study("x", labels={"Edema": 2}), "not 1, 0 or -1: Edema = 2"),
    ],
)
def test_an_unusable_study_is_named_and_the_others_go_on(bad, reason):
    done = ingested(study("before"), bad, study("after"))
    assert [row["id"] for row in done.rows] == ["before", "after"]
    [reject] = done.rejects
    assert reject.id == "x"
    assert reason in reject.reason


def test_a_study_comes_back_from_its_row_unchanged():
    before = study(
        "a",
        impression="Normal chest.",
        patient=patient_digest("here", "7"),
        attributes={"sex": "F", "age": 61.0},
        labels={"Edema": -1},
        edits={"again": 2},
        truth={"mesh": ["normal"]},
    )
    assert Study.from_row(ingested(before).rows[0]) == before


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnusableStudy("it has no findings"), "it has no findings"),
        (FileNotFoundError(2, "No such file or directory", "p10/p10000032/s1.txt"), "No such file"),
        (UnicodeDecodeError("utf-8", b"Mr Smith", 0, 1, "bad"), "UnicodeDecodeError"),
    ],
)
def test_an_error_of_one_study_is_its_own_and_its_text_stays_out(error, reason):
    done = ingested(study("before"), error, study("after"))
    assert [row["id"] for row in done.rows] == ["before", "after"]
    [reject] = done.rejects
    assert reject.id == "row 1" and reason in reject.reason
    assert "p10" not in reject.reason and "Smith" not in reject.reason


def test_of_studies_with_the_same_id_the_first_is_kept():
    done = ingested(study("a"), study("b"), study("a", findings="Large effusion."))
    assert [row["findings"] for row in done.rows] == ["The lungs are clear."] * 2
    assert [(reject.id, reject.reason) for reject in done.rejects] == [
        ("a", "an earlier study has the same id")
    ]


def test_studies_know_nothing_of_the_fields_of_other_sources(tmp_path, capsys):
    """So that what was read alone serves any config that reads the same source."""
    (tmp_path / "a.jsonl").write_text(
        '{"id": "a", "findings": "Clear.", "impression": "Normal."}\n'
    )
    given = ["--source=table", f"--path={tmp_path / 'a.jsonl'}", f"--workdir={tmp_path / 'run'}"]
    command = ["ingest", *given, "--config.source.views.most=0"]
    assert main(command) == 0
    assert main([*command, "--config.source.phantom.size=64"]) == 0
    assert "is finished, nothing to do" in capsys.readouterr().out
    assert main([*command, "--config.source.table.findings=impression"]) == 2
    assert "source.table.findings: there , asked impression" in capsys.readouterr().err


def test_a_study_of_no_known_split_is_refused():
    with pytest.raises(UnusableStudy, match="none of train, validate, test: 'dev'"):
        dataclasses.replace(study("a"), split="dev")


def test_patients_are_told_apart_without_their_ids():
    digests = {patient_digest(source, name) for source in "ab" for name in ("10000032", "2")}
    assert len(digests) == 4 and not any("10000032" in digest for digest in digests)
    assert patient_digest("a", "") == ""
