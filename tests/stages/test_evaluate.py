"""`evaluate`: policies beside files of reports, and files alone."""

import json
import re
import shutil

import pytest

from chexjax import artefacts
from chexjax.__main__ import main
from chexjax.judges.base import Judgement
from chexjax.stages.config import POLICIES
from tests.stages.conftest import CONFIG


def held_out(workdir):
    rows = artefacts.load(workdir / "studies", "studies").rows()
    return {row["id"]: row["findings"] for row in rows if row["split"] == "test"}


def write(file, reports):
    lines = (json.dumps({"id": study, "report": text}) for study, text in reports.items())
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run without its report."""
    copy = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(copy / "report")
    return copy


@pytest.fixture
def studies(finished, tmp_path):
    """A workdir with nothing but studies."""
    shutil.copytree(finished / "studies", tmp_path / "studies-only" / "studies")
    return tmp_path / "studies-only"


def test_published_reports_stand_between_sft_and_aligned(workdir, tmp_path, capsys):
    references = held_out(workdir)
    first, *rest = references
    published = {study: references[study] for study in rest} | {"elsewhere": "no effusion"}
    published[rest[0]] = ""
    file = write(tmp_path / "published.jsonl", published)
    given = [f"--workdir={workdir}", f"--config.evaluate.predictions.published={file}"]
    assert main(["evaluate", CONFIG, *given]) == 0, capsys.readouterr().err
    found = json.loads((workdir / "report" / "report.json").read_text())
    systems = {system["name"]: system for system in found["systems"]}
    assert list(systems) == ["SFT", "SFT continued", "published", "aligned"]
    assert found["studies"] == len(references) - 1  # all but the one that the file lacks
    assert systems["published"]["rouge_l"]["mean"] == pytest.approx(1 - 1 / len(rest))
    rejects = [json.loads(x) for x in (workdir / "report" / "rejects.jsonl").open()]
    assert {row["id"]: row["reason"] for row in rejects} == {
        "elsewhere": "not evaluated, reported on by published",
        first: "no report: published",
    }
    page = (workdir / "report" / "report.html").read_text()
    assert f"on {len(rest)} of {len(references)} studies, 1 of them empty" in page
    # The same text elsewhere is the same report; another text is another one.
    moved = file.rename(tmp_path / "moved.jsonl")
    given[1] = f"--config.evaluate.predictions.published={moved}"
    assert main(["evaluate", CONFIG, *given]) == 0
    write(moved, dict.fromkeys(rest, "no effusion"))
    assert main(["evaluate", CONFIG, *given]) == 2
    assert "predictions.published" in capsys.readouterr().err


def test_files_alone_need_studies_and_no_policy(studies, tmp_path, capsys):
    references = held_out(studies)
    given = [
        f"--workdir={studies}",
        "--config.evaluate.systems=('theirs','ours')",
        f"--config.evaluate.predictions.theirs={write(tmp_path / 'a.jsonl', references)}",
    ]
    theirs = dict.fromkeys(references, "no effusion")
    given.append(f"--config.evaluate.predictions.ours={write(tmp_path / 'b.jsonl', theirs)}")
    assert main(["evaluate", CONFIG, *given]) == 0, capsys.readouterr().err
    found = json.loads((studies / "report" / "report.json").read_text())
    assert [system["name"] for system in found["systems"]] == ["theirs", "ours"]
    assert "Ours scores lower than theirs" in found["verdict"][0]
    assert sorted(p.name for p in studies.iterdir() if p.is_dir()) == ["report", "studies"]


def test_a_study_that_gets_no_score_is_named(studies, tmp_path, monkeypatch):
    """As a judge that calls a model may give none; the others are evaluated."""

    class Fussy:
        name = "fussy"

        def judge(self, references, candidates):
            return [Judgement(float("nan" if text == "?" else 1)) for text in candidates]

    monkeypatch.setattr("chexjax.stages.evaluate.judge_of", lambda context, name: Fussy())
    references = held_out(studies)
    first, second, *rest = references
    theirs = dict.fromkeys(rest, "no effusion") | {first: "?"}
    given = [
        f"--workdir={studies}",
        "--config.evaluate.systems=('theirs',)",
        f"--config.evaluate.predictions.theirs={write(tmp_path / 'a.jsonl', theirs)}",
    ]
    assert main(["evaluate", CONFIG, *given]) == 0
    found = json.loads((studies / "report" / "report.json").read_text())
    assert found["unscored"] == [first] and found["studies"] == len(rest)
    rejects = [json.loads(x) for x in (studies / "report" / "rejects.jsonl").open()]
    assert [row["id"] for row in rejects] == [second, first]
    assert "gave some report on it no score" in rejects[1]["reason"]


def test_readers_compare_a_policy_with_a_file(workdir, tmp_path, capsys):
    file = write(tmp_path / "published.jsonl", held_out(workdir))
    given = [f"--workdir={workdir}", f"--config.evaluate.predictions.published={file}"]
    own = ["--config.reader.systems=('published','aligned')", "--config.reader.cases=3"]
    assert main(["reader", CONFIG, *given, *own]) == 0, capsys.readouterr().err
    key = json.loads((workdir / "reader" / "key.json").read_text())
    assert key["systems"] == ["published", "aligned"]
    # A report that is written later names the page; it stands beside the folder of the report.
    assert main(["evaluate", CONFIG, *given]) == 0
    report = workdir / "report" / "report.html"
    [link] = re.findall(r'<a href="([^"#]*)">reader study</a>', report.read_text())
    assert (report.parent / link).samefile(workdir / "reader" / "send" / "reader_study.html")
    assert "drafting study" not in report.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ["--config.evaluate.predictions.x={bad}"],
            "predictions.x: {bad}, row 1: its line is no JSON",
        ),
        (["--config.evaluate.predictions.x=none.jsonl"], "there is no file none.jsonl"),
        (["--config.evaluate.predictions.SFT={bad}"], "predictions.SFT: a system has this name"),
        (["--config.evaluate.elsewhere=nowhere"], "elsewhere=nowhere holds no studies"),
        (["--config.evaluate.systems=('SFT','alined')"], "did you mean aligned?"),
        (["--config.evaluate.systems=('SFT','SFT')"], "one stands there twice"),
        (
            ["--config.evaluate.systems=('SFT',)", "--config.evaluate.predictions.x={bad}"],
            "predictions.x is not in systems",
        ),
        (["--config.evaluate.predictions.x={other}"], "none of its 1 ids is one of the 16 studies"),
    ],
)
def test_what_cannot_be_evaluated_is_said(change, said, workdir, tmp_path, capsys):
    places = {"bad": tmp_path / "bad.jsonl", "other": tmp_path / "other.jsonl"}
    places["bad"].write_text("no report")
    write(places["other"], {"elsewhere": "clear lungs"})
    given = [one.format(**places) for one in change]
    assert main(["evaluate", CONFIG, f"--workdir={workdir}", *given]) == 2
    assert said.format(**places) in capsys.readouterr().err


def test_policies_are_tried_on_another_source_and_everything_is_analysed(
    finished, workdir, tmp_path, capsys
):
    other = ["--config.source.phantom.seed=7", "--config.source.phantom.train=0"]
    assert main(["ingest", CONFIG, f"--workdir={tmp_path / 'b'}", *other]) == 0
    given = [f"--workdir={workdir}", "--config.evaluate.analysis.slices.smallest=2"]
    given.append(f"--config.evaluate.elsewhere={tmp_path / 'b' / 'studies'}")
    assert main(["evaluate", CONFIG, *given]) == 0, capsys.readouterr().err
    found = json.loads((workdir / "report" / "analyses.json").read_text())
    assert found["elsewhere"]["sources"] == ["phantom", "phantom"]
    assert found["elsewhere"]["studies"] == [16, 16]
    told = [(one["measure"], one["system"]) for one in found["elsewhere"]["transfers"]]
    assert told == [
        (measure, system)
        for measure in ("score", "rouge_l", "bleu", "f1_mean_of_four")
        for system in POLICIES
    ]
    rows = artefacts.load(workdir / "predictions" / "sft_elsewhere", "predictions").rows()
    assert all(row["id"].startswith("phantom-7-") for row in rows)
    assert [one["attribute"] for one in found["slices"]] == ["exposure"]
    assert sum(one["studies"] for one in found["slices"][0]["slices"]) <= 16
    assert found["errors"] is None  # ROUGE-L counts none
    page = (workdir / "report" / "report.html").read_text()
    for title in ("Significance", "Average gain", "Length exploitation", "Slices"):
        assert f"<h2>{title}</h2>" in page
    for title in ("Divergence", "Generalisation"):
        assert f"<h2>{title}</h2>" in page
    assert "<h2>Errors</h2>" not in page
    # With other runs it stands in one table; one that was nowhere else has no place in it.
    table = ["generalisation", f"--to={tmp_path / 'table'}"]
    assert main([*table, f"--runs={workdir}"]) == 0
    told = json.loads((tmp_path / "table" / "generalisation.json").read_text())
    assert told["sources"] == ["phantom of run", "phantom beside run"]
    assert main([*table, f"--runs={workdir},{finished}"]) == 2
    assert "has not been evaluated on another source" in capsys.readouterr().err
    # An attribute that no study has is said; the predictions stand, whatever is analysed of them.
    wrong = [*given, "--config.evaluate.analysis.slices.by=('sex',)"]
    shutil.rmtree(workdir / "report")
    assert main(["evaluate", CONFIG, *wrong]) == 2
    assert "config.evaluate.analysis: " in (said := capsys.readouterr().err) and "'sex'" in said


@pytest.mark.parametrize(
    ("gain", "labeler", "said"),
    [
        ("('score','rogue_l')", "grammar", "gain: 'rogue_l' is not measured; did you mean rouge_l"),
        ("('macro_f1',)", "none", "gain: 'macro_f1' is not measured; choose from score, lc_score"),
    ],
)
def test_a_measure_that_nobody_makes_is_found_before_any_work(
    gain, labeler, said, tmp_path, capsys
):
    given = [f"--config.evaluate.analysis.gain={gain}", f"--config.evaluate.labeler={labeler}"]
    assert main(["run", CONFIG, f"--workdir={tmp_path / 'run'}", *given]) == 2
    assert f"config.evaluate.analysis.{said}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
