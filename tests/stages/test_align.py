import json
import shutil

from chexjax.__main__ import main
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


def test_chexjax_s_own_losses_have_no_text_in_the_manifest(finished):
    assert "own_loss" not in aligned(finished)["content"]


def test_a_number_out_of_range_is_named_before_any_work(tmp_path, capsys):
    command = ["run", CONFIG, "--config.loss.options.beta=0.0", f"--workdir={tmp_path / 'run'}"]
    assert main(command) == 2
    assert "config.loss: DPO.beta=0.0 must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
