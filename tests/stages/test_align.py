import json
import shutil

import pytest

from chexjax.__main__ import main
from chexjax.losses import LOSSES
from tests.stages.conftest import CONFIG, ROOT

OWN = ROOT / "configs" / "own_loss.py"


def aligned(workdir):
    return json.loads((workdir / "aligned" / "manifest.json").read_text())


def test_a_loss_in_a_config_file_is_known_by_its_text(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "aligned")
    config = shutil.copytree(OWN.parent, tmp_path / "configs") / OWN.name
    command = ["align", f"--config={config}:small", f"--workdir={workdir}"]
    assert main(command) == 0
    assert "gamma * margin(responses.rewards)" in aligned(workdir)["content"]["own_loss"]
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out

    config.write_text(config.read_text().replace("- self.gamma", "- 2 * self.gamma"))
    assert main(command) == 2
    assert "own_loss" in capsys.readouterr().err


@pytest.fixture
def unaligned(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "aligned")
    return workdir


def logged(workdir):
    lines = (workdir / "aligned" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_kto_reads_its_mismatched_reports_from_the_same_cache(unaligned):
    assert (
        main(["align", CONFIG.replace(":small", ":small,loss=kto"), f"--workdir={unaligned}"]) == 0
    )
    rows = logged(unaligned)
    assert all(row["kto/reference_point"] >= 0 for row in rows)
    # A policy that is its reference: 1 - sigmoid(0) for either response.
    assert rows[0]["loss"] == pytest.approx(0.5, rel=1e-4)
    assert rows[0]["loss"] != rows[-1]["loss"]


def test_a_loss_without_reference_needs_no_reference_stage(unaligned):
    shutil.rmtree(unaligned / "reference")
    command = ["align", CONFIG.replace(":small", ":small,loss=orpo"), f"--workdir={unaligned}"]
    assert main(command) == 0
    assert "reference" not in aligned(unaligned)["inputs"]
    assert main([*command[:1], CONFIG, *command[2:]]) == 2


def test_every_loss_whose_needs_are_met_is_logged_and_the_others_are_named(unaligned, capsys):
    mixed = [
        "--config.loss.options.dpo=1.0",
        "--config.loss.options.dpo__beta=0.3",
        "--config.loss.options.nll=0.2",
        "--config.loss.log_all_losses",
    ]
    config = CONFIG.replace(":small", ":small,loss=mixture")
    assert main(["align", config, *mixed, f"--workdir={unaligned}"]) == 0
    out = capsys.readouterr().out
    assert "leaves out kto: it needs mismatched" in out
    row = logged(unaligned)[0]
    beside = {name.split("/")[1] for name in row if name.startswith("beside/")}
    assert beside == LOSSES.keys() - {"kto", "mixture"}
    # A policy that is its reference.
    assert row["beside/ipo/loss"] == pytest.approx(25.0, rel=1e-3)
    assert row["loss"] == pytest.approx(row["loss/dpo"] + 0.2 * row["loss/nll"], rel=1e-5)


def test_chexjax_s_own_losses_have_no_text_in_the_manifest(finished):
    assert "own_loss" not in aligned(finished)["content"]


def test_a_number_out_of_range_is_named_before_any_work(tmp_path, capsys):
    command = ["run", CONFIG, "--config.loss.options.beta=0.0", f"--workdir={tmp_path / 'run'}"]
    assert main(command) == 2
    assert "config.loss: DPO.beta=0.0 must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
