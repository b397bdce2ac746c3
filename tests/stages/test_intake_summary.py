"""`chexjax ingest` of a source alone: no config file, a folder of its own, a readable summary."""

import json
import shutil

import pytest

from chexjax import artefacts
from chexjax.__main__ import main

REPORT = """<eCitation><uId id="CXR{n}"/><Abstract>
<AbstractText Label="INDICATION">{indication}</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText></Abstract>
<MeSH><major>Cardiomegaly/mild</major></MeSH></eCitation>"""


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "ecgen-radiology"
    folder.mkdir(parents=True)
    for n in range(1, 31):
        findings = "" if n == 30 else "The heart is again large. Larger than on the prior film."
        text = REPORT.format(n=n, findings=findings, indication="Mr Smith coughs")
        (folder / f"{n}.xml").write_text(text)
    return tmp_path / "data"


def ingest(path, *more):
    return main(
        ["ingest", "--source=openi", f"--path={path}", "--config.source.views.most=0", *more]
    )


def test_a_source_is_ingested_by_its_name_and_path_alone(reports, capsys):
    assert ingest(reports) == 0
    shown = capsys.readouterr().out
    manifest = json.loads((reports.parent / "runs/openi/studies/manifest.json").read_text())
    assert (manifest["rows"], manifest["rejects"]) == (29, 1)
    assert manifest["statistics"]["edits"] == {
        "drop_again": {"studies": 29, "times": 29},
        "drop_prior": {"studies": 29, "times": 29},
    }
    for words in (
        "it has no findings",
        "sentences about an earlier examination dropped",
        "Cardiomegaly",
        "findings that stand word for word in train",
        "29 studies, 1 rejected",
    ):
        assert words in shown
    assert "Smith" not in shown
    card = (reports.parent / "runs/openi/studies/data_card.html").read_text("utf-8")
    assert "29 studies from the source openi" in card and "it has no findings" in card


def test_it_is_done_once_wherever_the_source_lies(reports, capsys):
    assert ingest(reports) == 0
    reports.rename(reports.parent / "moved")
    assert ingest(reports.parent / "moved") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_once_it_is_read_the_source_is_not_needed(reports, capsys):
    assert ingest(reports) == 0
    shutil.rmtree(reports)
    assert ingest(reports) == 0
    assert "nothing to do" in capsys.readouterr().out
    rows = artefacts.load("runs/openi/studies", "studies").rows()
    assert len(rows) == 29


def test_another_content_is_another_artefact(reports, capsys):
    assert ingest(reports, "--workdir=out") == 0
    assert ingest(reports, "--workdir=out", "--config.source.text.drop_again=False") == 2
    assert "source.text.drop_again: there True, asked False" in capsys.readouterr().err
    other = reports.parent / "other" / "ecgen-radiology"
    (reports / "ecgen-radiology").rename(reports / "x")
    other.parent.mkdir()
    (reports / "x").rename(other)
    (other / "30.xml").unlink()
    assert ingest(other, "--workdir=out") == 2
    assert "outside.files: there" in capsys.readouterr().err


def test_the_rows_are_those_of_the_source(reports):
    assert ingest(reports) == 0
    rows = artefacts.load("runs/openi/studies", "studies").rows()
    assert [row["id"] for row in rows[:2]] == ["CXR1", "CXR2"]
    assert {row["findings"] for row in rows} == {"The heart is large."}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "--source=opni", "--path=."], "no source 'opni'; did you mean 'openi'"),
        (["ingest", "--source=openi"], "source.path is empty"),
        (["ingest", "--source=openi", "--path=nowhere"], "nowhere: there is no such file"),
        (["ingest", "--pth=."], "unknown flag --pth; did you mean --path"),
        (["sft", "--source=openi"], "--config is missing"),
    ],
)
def test_a_mistake_is_named(reports, arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
