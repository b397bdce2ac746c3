"""Seven real studies with their pictures go the way of phantoms, from files to judged reports."""

import json

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.data.images import open_image
from chexjax.data.instruct.tasks import TASKS
from tests.stages.conftest import CONFIG

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def ingested(real_data, tmp_path_factory):
    """A workdir with the studies, and the flags that say where they came from."""
    workdir, tables = tmp_path_factory.mktemp("openi"), real_data / "openi-reports"
    views = [str(tables / f"nlmcxr_{name}.csv.gz") for name in ("dicom_metadata", "tsne_pa")]
    flags = [CONFIG, "--source=openi", f"--path={real_data / 'openi-sample'}"]
    flags += [f"--config.source.openi.view_tables={tuple(views)}", f"--workdir={workdir}"]
    flags += ["--config.source.image.size=256"]
    assert main(["ingest", *flags]) == 0
    return workdir, flags


def test_the_command_keeps_all_seven_and_says_what_they_are(ingested):
    workdir, _ = ingested
    studies = load(workdir / "studies", "studies")
    assert (studies.manifest.rows, studies.manifest.rejects) == (7, 0)
    found = studies.statistics
    assert found["images"] == {"1": 5, "2": 2} and found["edits"]["images_missing"]["times"] == 4
    assert sum(found["views"].values()) == 9 and found["views"]["LL"] == 1
    rows = {row["id"]: row for row in studies.rows()}
    assert set(rows) == {f"CXR{n}" for n in (2, 25, 54, 303, 861, 2577, 2882)}
    for row in rows.values():
        assert row["findings"] and bool(row["labels"]) == (row["truth"]["mesh"] != ["No Indexing"])
        assert all(min(open_image(image).size) == 256 for image in row["images"])
    assert rows["CXR2"]["labels"]["Cardiomegaly"] == -1  # borderline
    assert "7 studies from the source openi" in (workdir / "studies" / "data_card.html").read_text()


def test_a_policy_learns_from_them_and_its_candidates_are_judged(ingested, capsys):
    workdir, flags = ingested
    for stage in ("sft", "sample", "judge"):
        assert main([stage, *flags]) == 0, capsys.readouterr().err
    train = [row for row in load(workdir / "studies", "studies").rows() if row["split"] == "train"]
    judged = load(workdir / "scores", "scores")
    assert [row["id"] for row in judged.rows()] == [row["id"] for row in train]
    for row in judged.rows():
        assert len(row["candidates"]) == len(row["judgements"]) == 4
        assert all(0 <= one["score"] <= 1 for one in row["judgements"])
    losses = [json.loads(line)["loss"] for line in (workdir / "sft" / "metrics.jsonl").open()]
    assert losses[-1] < losses[0]


def test_a_mixture_asks_them_what_sections_views_labels_and_terms_say(ingested):
    workdir, flags = ingested
    tasks = dict.fromkeys(TASKS, 1.0)
    assert main(["mixture", *flags, f"--config.mixture.tasks={tasks}"]) == 0
    studies = {row["id"]: row for row in load(workdir / "studies", "studies").rows()}
    asked = {name: [] for name in TASKS}
    for row in load(workdir / "mixture", "mixture").rows():
        asked[row["task"]].append((studies[row["studies"][0]], row))
    assert {name for name, rows in asked.items() if not rows} == {
        "age_group",
        "anatomy_findings",
        "report_evaluation",
        "explanation",
    }
    for study, row in asked["summarisation"]:
        assert study["findings"] in row["instruction"] and row["answer"] == study["impression"]
    assert len(asked["summarisation"]) == 7
    [effusion] = [row["answer"] for study, row in asked["disease"] if study["id"] == "CXR25"]
    assert "Pleural Effusion" in effusion
    told = {study["id"]: row for study, row in asked["open_question"]}
    assert "cardiomegaly" in told["CXR2882"]["instruction"]  # Cardiomegaly/mild
    assert told["CXR2882"]["answer"] == "Mild."
