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


@pytest.fixture
def begun(finished, tmp_path):
    """A workdir with the studies and the policy of the run, and nothing that followed."""
    for folder in ("studies", "sft"):
        shutil.copytree(finished / folder, tmp_path / "run" / folder)
    return tmp_path / "run"


@pytest.mark.parametrize("keep_ids", [True, False])
def test_pairs_come_back_as_they_were(finished, written, begun, tmp_path, keep_ids):
    """With our column of ids, and by the images' paths alone."""
    given = written / f"{GATHERED}-final"
    if not keep_ids:
        rows = [{k: v for k, v in row.items() if k != "study_id"} for row in rows_of(given)]
        given = tmp_path / "given"
        write_dataset(given, "train", ({**row, "split": "train"} for row in rows))
    assert main(["pair", CONFIG, f"--config.pair.source={given}", f"--workdir={begun}"]) == 0
    assert_pairs_of(finished, begun)


def assert_pairs_of(finished, run):
    ours, back = (load(workdir / "pairs", "pairs").rows() for workdir in (finished, run))
    names = ("row", "chosen", "rejected", "rewards")
    assert [[one[n] for n in names] for one in back] == [[one[n] for n in names] for one in ours]
    assert [row["id"].rpartition(":")[0] for row in back] == [row["id"] for row in ours]


def test_chunks_of_scores_are_read_before_they_are_gathered(finished, written, begun, tmp_path):
    rows, size = rows_of(written / GATHERED), 10
    chunks = tmp_path / "chunks"
    for candidate in (1, 2, 3, 4):
        others = {f"rouge_l_scores{k}" for k in (1, 2, 3, 4) if k != candidate}
        for first in range(0, len(rows), size):
            name = f"{NAME}-completions-rouge_l-{candidate}-chunk_{first}_{first + size}"
            part = rows[first : first + size]
            kept = ({k: v for k, v in row.items() if k not in others} for row in part)
            write_dataset(chunks / name, "train", kept)
    assert main(["pair", CONFIG, f"--config.pair.source={chunks}", f"--workdir={begun}"]) == 0
    scored = load(begun / "pairs", "pairs")
    ties = load(finished / "pairs", "pairs").statistics["ties"]
    assert (scored.manifest.rejects, len(rows)) == (ties, 24)
    assert_pairs_of(finished, begun)


def test_candidates_of_another_run_are_judged_as_if_they_were_our_own(
    finished, written, begun, tmp_path, capsys
):
    given = shutil.copytree(written / f"{NAME}-completions", tmp_path / "given")
    flags = [CONFIG, f"--config.sample.source={given}", f"--workdir={begun}"]
    for stage in ("sample", "judge", "pair"):
        assert main([stage, *flags]) == 0, capsys.readouterr().err
    sampled = load(begun / "candidates", "candidates")
    assert set(sampled.manifest.inputs) == {"studies"} and sampled.statistics["missing"] == 0
    for folder in ("scores", "pairs"):
        ours, back = (load(workdir / folder, folder).rows() for workdir in (finished, begun))
        if folder == "scores":
            names = ("id", "row", "reference", "judgements")
            ours, back = ([[row[n] for n in names] for row in rows] for rows in (ours, back))
        assert list(back) == list(ours)

    moved = [CONFIG, f"--config.sample.source={given.rename(tmp_path / 'moved')}"]
    assert main(["sample", *moved, f"--workdir={begun}"]) == 0
    write_dataset(tmp_path / "moved", "val", rows_of(tmp_path / "moved")[:1])
    assert main(["sample", *moved, f"--workdir={begun}"]) == 2
    assert "source" in capsys.readouterr().err


def test_candidates_that_do_not_fit_are_refused_before_any_work(written, tmp_path, capsys):
    completions, final = written / f"{NAME}-completions", written / f"{GATHERED}-final"
    for flags, message in (
        ([f"--config.sample.source={final}"], "has no row with candidates"),
        ([f"--config.sample.source={tmp_path / 'none'}"], "there is no file"),
        (
            [f"--config.sample.source={completions}", "--config.sample.candidates=3"],
            "has 4 a study; set it to 4",
        ),
        (
            [f"--config.sample.source={completions}", f"--config.pair.source={final}"],
            "leave one of them out",
        ),
        ([f"--config.pair.source={completions}"], "belong into config.sample.source"),
    ):
        assert main(["run", CONFIG, *flags, f"--workdir={tmp_path / 'run'}"]) == 2
        assert message in capsys.readouterr().err


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
