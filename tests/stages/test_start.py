"""A policy can start from a checkpoint: its content is then that of the files, not their place."""

import json
import shutil

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from tests.stages.conftest import CONFIG
from tests.stages.test_run import contents, params

IMPORTED = ["--config.sft.total_epochs=None", "--config.sft.total_steps=0"]


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The supervised policy of the shrunken run as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("checkpoint") / "policy"
    policy = finished / "sft"
    assert main(["export", f"--policy={policy}", f"--to={folder}", "--dtype=float32"]) == 0
    return folder


@pytest.fixture(scope="module")
def started(finished, exported, tmp_path_factory):
    """A workdir whose policy is the exported one, with the same studies."""
    workdir = tmp_path_factory.mktemp("started")
    shutil.copytree(finished / "studies", workdir / "studies")
    assert main(["sft", *command(exported, workdir)]) == 0
    return workdir


def command(checkpoint, workdir):
    return [CONFIG, f"--config.policy.checkpoint={checkpoint}", *IMPORTED, f"--workdir={workdir}"]


def test_an_exported_policy_comes_back_bit_for_bit(finished, started):
    before, after = (params(workdir / "sft") for workdir in (finished, started))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    manifest = json.loads((started / "sft" / "manifest.json").read_text())
    assert manifest["statistics"]["steps"] == 0
    assert manifest["statistics"]["parameters"] == sum(array.size for array in before.values())


def test_it_writes_the_same_candidates(finished, exported, started):
    assert main(["sample", *command(exported, started)]) == 0
    assert contents(started / "candidates") == contents(finished / "candidates")


def test_the_files_decide_and_not_their_place(exported, started, tmp_path, capsys):
    moved = shutil.copytree(exported, tmp_path / "moved")
    assert main(["sft", *command(moved, started)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    with open(moved / "model.safetensors", "r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(0.5).tobytes())
    assert main(["sft", *command(moved, started)]) == 2
    assert "start.checkpoint" in capsys.readouterr().err


def test_without_a_checkpoint_the_identity_knows_of_none(finished):
    assert "start" not in load(finished / "sft", "policy").manifest.content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "config.policy.checkpoint: nowhere does not exist"),
        (["--config.policy.preset=chexagent_nano"], "contradicts the preset chexagent_nano"),
        (["--config.policy.preset=chexagent2_tiny"], "contradicts the preset chexagent2_tiny"),
        (["--config.policy.tokenizer=nowhere"], "config.policy.tokenizer: nowhere has no"),
    ],
)
def test_what_cannot_be_started_from_is_named_before_any_work(
    change, words, exported, tmp_path, capsys
):
    checkpoint = exported if change else "nowhere"
    assert main(["run", *command(checkpoint, tmp_path / "run"), *change]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_without_its_tensors_or_tokens_is_named(exported, tmp_path, capsys):
    folder = shutil.copytree(exported, tmp_path / "policy")
    for file in folder.glob("tokenizer*.json"):
        file.write_text(file.read_text().replace("<|imgpad|>", "<|other|>"))
    assert main(["run", *command(folder, tmp_path / "run")]) == 2
    assert "no token <|imgpad|>" in capsys.readouterr().err
    (folder / "model.safetensors").unlink()
    assert main(["run", *command(folder, tmp_path / "run")]) == 2
    assert "neither model.safetensors" in capsys.readouterr().err


def test_random_parameters_that_nothing_trains_are_not_aligned(tmp_path, capsys):
    assert main(["run", CONFIG, *IMPORTED, f"--workdir={tmp_path / 'run'}"]) == 2
    assert "config.policy.checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
