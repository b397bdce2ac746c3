"""Alignment from preference data that was made elsewhere."""

import json
import shutil

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from tests.stages.conftest import CONFIG
from tests.stages.test_align import logged

KTO = CONFIG.replace(":small", ":small,loss=kto")


@pytest.fixture
def begun(finished, tmp_path):
    """A workdir with studies and policy, and a file with single reports about the former."""
    workdir = tmp_path / "run"
    for folder in ("studies", "sft"):
        shutil.copytree(finished / folder, workdir / folder)
    studies = load(finished / "studies", "studies").rows()
    rows = [
        {"id": study["id"], "completion": study["findings"], "label": bool(k % 2)}
        for k, study in enumerate(studies[:8])
    ]
    rows.append({**rows[0], "label": True})  # a study can have many
    rows.append({**rows[0], "id": studies[-1]["id"]})  # of the test split
    file = tmp_path / "given.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir, file


def run(stage, config, workdir, file):
    return main([stage, config, f"--config.pair.source={file}", f"--workdir={workdir}"])


def test_kto_learns_from_single_reports(begun, capsys):
    workdir, file = begun
    for stage in ("pair", "reference", "align"):
        assert run(stage, KTO, workdir, file) == 0, capsys.readouterr().err
    pairs = load(workdir / "pairs", "pairs")
    assert (pairs.manifest.rows, pairs.manifest.rejects) == (9, 1)
    assert set(pairs.manifest.inputs) == {"studies"}
    rows = list(pairs.rows())
    assert all(row["mismatched"] in {other["completion"] for other in rows} for row in rows)
    first = logged(workdir)[0]
    # A policy that is its reference: 1 - sigmoid(0), whatever the label.
    assert first["loss"] == pytest.approx(0.5, rel=1e-4)
    assert "rewards/desirable" in first and "rewards/margins" not in first

    moved = file.rename(file.with_name("moved.jsonl"))
    assert run("pair", KTO, workdir, moved) == 0
    moved.write_text(moved.read_text().replace("true", "false", 1))
    assert run("pair", KTO, workdir, moved) == 2
    assert "source" in capsys.readouterr().err


def test_what_does_not_fit_is_named_before_any_work(begun, tmp_path, capsys):
    _, file = begun
    assert run("run", CONFIG, tmp_path / "none", file) == 2
    assert "holds single reports, but dpo learns from pairs" in capsys.readouterr().err
    assert run("run", KTO, tmp_path / "none", tmp_path / "nothing") == 2
    assert "config.pair.source: there is no file" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
