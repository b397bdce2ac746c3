"""`reader` and `readings`: from a run's reports to a page, from readers' answers to results."""

import csv
import json
import shutil

import pytest

from chexjax.__main__ import main
from chexjax.evaluate.readers.key import KEY
from chexjax.evaluate.readers.study import PAGE
from tests.stages.conftest import CONFIG

FIELDS = "page,reader,case,preference,errors_A,errors_B,comment,seconds,edits,answered"


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def test_a_run_s_reports_become_a_page_and_its_answers_become_results(workdir, tmp_path, capsys):
    own = ["--config.reader.cases=5", "--config.reader.side=64"]
    assert main(["reader", CONFIG, f"--workdir={workdir}", *own]) == 0, capsys.readouterr().err
    page, key = workdir / "reader" / PAGE, json.loads((workdir / "reader" / KEY).read_text())
    assert page.is_file() and len(key["cases"]) == 5 and key["systems"] == ["SFT", "aligned"]
    (tmp_path / "answers").mkdir()
    with (tmp_path / "answers" / "r.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(FIELDS.split(","))
        for case, shown in key["cases"].items():
            side = "A" if shown["a"] == "aligned" else "B"
            table.writerow([key["page"], "R", case, side, "", "", "", 12.5, 0, "2026-01-01"])
    flags = [f"--study={workdir / 'reader'}", f"--answers={tmp_path / 'answers'}"]
    assert main(["readings", *flags, f"--to={tmp_path / 'out'}"]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["overall"]["wins"] == 5 and found["overall"]["rate"]["mean"] == 1.0
    assert found["overall"]["p"] == pytest.approx(2 / 32)
    assert (tmp_path / "out" / "results.html").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("--config.reader.systems=('SFT','alined')", "did you mean aligned?"),
        ("--config.reader.cases=500", "config.reader: cases=500"),
    ],
)
def test_what_a_run_cannot_show_is_said(change, said, workdir, capsys):
    assert main(["reader", CONFIG, f"--workdir={workdir}", change]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_study_is_said(workdir, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("")
    where = [f"--answers={tmp_path}", f"--to={tmp_path / 'out'}"]
    assert main(["readings", f"--study={workdir}", *where]) == 2
    assert "give the folder that `chexjax reader` or `chexjax drafting`" in capsys.readouterr().err
    assert main(["readings", *where]) == 2
    assert "--study is missing" in capsys.readouterr().err


def test_a_damaged_key_is_said(tmp_path, capsys):
    (tmp_path / KEY).write_text(json.dumps({"kind": "reader study", "page": "p", "seed": "one"}))
    (tmp_path / "a.csv").write_text("")
    where = [f"--study={tmp_path}", f"--answers={tmp_path}", f"--to={tmp_path / 'out'}"]
    assert main(["readings", *where]) == 2
    assert "key.json.seed = 'one' is not int" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_drafts_of_a_run_become_a_page_and_times_become_results(workdir, tmp_path, capsys):
    own = ["--config.drafting.cases=4", "--config.drafting.system=SFT"]
    assert main(["drafting", CONFIG, f"--workdir={workdir}", *own]) == 0, capsys.readouterr().err
    key = json.loads((workdir / "drafting" / KEY).read_text())
    (tmp_path / "answers").mkdir()
    with (tmp_path / "answers" / "r.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["page", "reader", "case", "report", "finished"] + FIELDS.split(",")[-3:])
        for case, shown in key["cases"].items():
            for reader in key["readers"]:
                seconds = 30 if reader in shown["readers"] else 50
                answer = [shown["draft"], "yes", seconds, 0, "2026-01-01"]
                table.writerow([key["page"], reader, case, *answer])
    flags = [f"--study={workdir / 'drafting'}", f"--answers={tmp_path / 'answers'}"]
    assert main(["readings", *flags, f"--to={tmp_path / 'out'}"]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "results.json").read_text())["groups"]["All"]
    assert found["saved"]["mean"] == 20 and found["kept"]["mean"] == 1.0
