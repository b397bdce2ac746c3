"""`ingest` of the large collections, from the command line to the rejects."""

import json

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from tests.data.sources import test_chexpert_plus, test_mimic


@pytest.fixture(params=["mimic_cxr", "chexpert_plus"])
def collection(request, tmp_path):
    """Name, folder, and ids of three studies, the last of which has no findings."""
    root = tmp_path / "source"
    root.mkdir()
    if request.param == "mimic_cxr":
        tree = test_mimic.Tree(root)
        tree.folder(19999733, 57132437).with_suffix(".txt").write_text("IMPRESSION: Normal.")
        return request.param, root, ["s50000001", "s50414267", "s57375967", "s57132437"]
    tree = test_chexpert_plus.Tree(root)
    for number, findings in enumerate(("Clear.", "Edema.", "")):
        path = f"train/patient{number}/study1/view1_frontal.jpg"
        tree.image(path, number, section_findings=findings)
    tree.write()
    return request.param, root, [f"patient{number}/study1" for number in range(3)]


def test_studies_and_rejects_of_a_collection(collection, tmp_path, capfd):
    name, root, ids = collection
    argv = ["ingest", f"--source={name}", f"--path={root}", f"--workdir={tmp_path / 'run'}"]
    assert main(argv) == 0
    studies = load(tmp_path / "run" / "studies", "studies")
    assert sorted(row["id"] for row in studies.rows()) == sorted(ids[:-1])
    assert studies.statistics["rejects"] == {"it has no findings": 1}
    [line] = (studies.path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line) == {"id": ids[-1], "reason": "it has no findings"}
    assert main(argv) == 0
    said = capfd.readouterr().out
    assert "is finished, nothing to do" in said and "10000032" not in said
