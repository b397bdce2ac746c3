"""Every config is built and walked through its shapes, without memory for it or work done."""

from pathlib import Path

import pytest

from chexjax.__main__ import main

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_config_can_be_run_dry(file, tmp_path, capsys):
    command = ["run", f"--config={file}", f"--workdir={tmp_path / 'none'}", "--dry_run"]
    assert main(command) == 0, capsys.readouterr().err
    assert "parameters" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
