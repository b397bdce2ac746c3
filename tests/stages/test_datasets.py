"""A run's artefacts as data sets of CheXalign's code, there and back."""

import json
import shutil
from pathlib import Path

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.data.arrow import Arrow, write_dataset
from tests.stages.conftest import CONFIG

pytest.importorskip("pyarrow", reason="pyarrow (extra arrow) is not installed")

NAME = "phantom-findings-generation-with-indication"
GATHERED = f"{NAME}-completions-rouge_l-gathered"


@pytest.fixture(scope="module")
def written(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets") / "data"
    assert main(["datasets", f"--run={finished}", f"--to={folder}"]) == 0
    return folder


def rows_of(folder):
    table = Arrow(folder, ())
    return [table[k] for k in range(len(table.ids))]


def test_every_artefact_is_a_data_set(finished, written):
    studies = load(finished / "studies", "studies").rows()
    rows = rows_of(written / NAME)
    assert len(rows) == len(studies)
    assert {row["split"] for row in rows} == {"train", "test"}
    by_id = {row["study_id"]: row for row in rows}
    for study in (studies[0], studies[-1]):
        row = by_id[study["id"]]
        assert (row["text"], row["target_text"]) == (study["indication"], study["findings"])
        assert [Path(path).read_bytes() for path in row["image_path"]] == study["images"]
    for name, folder in ((f"{NAME}-completions", "candidates"), (GATHERED, "scores")):
        count = json.loads((finished / folder / "manifest.json").read_text())["rows"]
        assert len(rows_of(written / name)) == count
    judged = load(finished / "scores", "scores").rows()[0]
    row = rows_of(written / GATHERED)[0]
    assert row["rouge_l_scores2"] == judged["judgements"][1]["score"]
    assert row["candidate_findings_2"] == judged["candidates"][1]["report"]


@pytest.mark.parametrize("keep_ids", [True, False])
def test_pairs_come_back_as_they_were(finished, written, tmp_path, keep_ids):
    """With our column of ids, and by the images' paths alone."""
    given = written / f"{GATHERED}-final"
    if not keep_ids:
        rows = [{k: v for k, v in row.items() if k != "study_id"} for row in rows_of(given)]
        given = tmp_path / "given"
        write_dataset(given, "train", ({**row, "split": "train"} for row in rows))
    for folder in ("studies", "sft"):
        shutil.copytree(finished / folder, tmp_path / "run" / folder)
    flags = [CONFIG, f"--config.pair.source={given}", f"--workdir={tmp_path / 'run'}"]
    assert main(["pair", *flags]) == 0
    ours, back = (load(run / "pairs", "pairs").rows() for run in (finished, tmp_path / "run"))
    names = ("row", "chosen", "rejected", "rewards")
    assert [[one[n] for n in names] for one in back] == [[one[n] for n in names] for one in ours]
    assert [row["id"].rpartition(":")[0] for row in back] == [row["id"] for row in ours]


def test_a_pair_makes_two_rows_for_kto(finished, written):
    pairs = load(finished / "pairs", "pairs").rows()
    rows = rows_of(written / f"{GATHERED}-final_kto")
    assert [row["label"] for row in rows] == [True, False] * len(pairs)
    assert [row["completion"] for row in rows[:2]] == [pairs[0]["chosen"], pairs[0]["rejected"]]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--run is missing"),
        (["--run=RUN"], "--to is missing"),
        (["--run=RUN", "--to=RUN"], "is not an empty folder"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_refused(finished, capsys, argv, message):
    assert main(["datasets", *(one.replace("RUN", str(finished)) for one in argv)]) == 2
    assert message in capsys.readouterr().err
