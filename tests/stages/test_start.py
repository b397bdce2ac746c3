"""A policy can start from a checkpoint: its content is then that of the files, not their place."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.checkpoint import Checkpoints
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh, path_name
from chexjax.preemption import Preempted
from chexjax.trackers import JsonlTracker
from chexjax.weights import load_model
from tests.stages.conftest import CONFIG
from tests.stages.test_run import contents, params

FAMILY = preset("chexagent2_nano", Family)
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


class Stopped(Exception):
    """Raised where training would begin, with the parameters that it would begin from."""


def first_parameters(monkeypatch, argv):
    """What a stage would train from if it had no checkpoint of its own."""

    def stop(model, *_, **__):
        raise Stopped(nnx.to_pure_dict(nnx.state(model)))

    with monkeypatch.context() as patch, pytest.raises(Stopped) as found:
        patch.setattr("chexjax.stages.fitting.train", stop)
        main(argv)
    return flat(found.value.args[0])


def flat(tree):
    return {path_name(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(tree)}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


KEEP = [
    "--config.align.checkpoint_every=1",
    "--config.align.keep_every=3",
    "--config.align.keep_best=rewards/margins",
]


@pytest.fixture(scope="module")
def gone_on(finished, tmp_path_factory):
    """A run whose alignment was stopped behind its first step, and what each attempt restored."""
    workdir = shutil.copytree(finished, tmp_path_factory.mktemp("gone_on") / "run")
    shutil.rmtree(workdir / "aligned")
    save, restore, restored = Checkpoints.save, Checkpoints.restore, []

    def last(self, *args, **options):
        save(self, *args, **options)
        raise Preempted("stopped behind the first checkpoint")

    def noted(self, like):
        restored.append(restore(self, like))
        return restored[-1]

    command = ["align", CONFIG, *KEEP, f"--workdir={workdir}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "restore", noted)
        with patch.context() as stopping:
            stopping.setattr(Checkpoints, "save", last)
            assert main(command) == 75
        assert main(command) == 0
    return workdir, restored


def test_starting_points_are_taken_in_the_order_that_they_are_stated_in(
    finished, exported, tmp_path, monkeypatch
):
    """The last three of the list in `stages/start.py`; the tests below have the first two."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    named = [CONFIG, f"--config.policy.checkpoint={exported}", f"--workdir={workdir}"]
    plain = [CONFIG, f"--workdir={workdir}"]
    supervised = params(finished / "sft")

    shutil.rmtree(workdir / "sft")
    fresh = first_parameters(monkeypatch, ["sft", *plain])
    assert fresh.keys() == supervised.keys() and not same(fresh, supervised)
    shutil.rmtree(workdir / "sft")
    assert same(first_parameters(monkeypatch, ["sft", *named]), supervised)

    shutil.rmtree(workdir / "sft")
    shutil.copytree(finished / "sft", workdir / "sft")
    shutil.rmtree(workdir / "aligned")
    assert same(first_parameters(monkeypatch, ["align", *plain]), supervised)


def test_a_checkpoint_of_the_stage_itself_comes_before_all_that_is_named(gone_on, finished):
    workdir, restored = gone_on
    assert [found and found[1]["step"] for found in restored] == [None, 1]
    assert same(params(workdir / "aligned"), params(finished / "aligned"))


def test_what_is_finished_comes_first(gone_on, capsys):
    workdir, restored = gone_on
    assert main(["align", CONFIG, *KEEP, f"--workdir={workdir}"]) == 0
    assert "nothing to do" in capsys.readouterr().out and len(restored) == 2


def test_a_step_that_is_kept_is_a_checkpoint_like_any_other(gone_on, finished, tmp_path):
    """The last step's is the policy itself, and keeping it changes nothing of that."""
    made = load(gone_on[0] / "aligned", "policy")
    assert made.identity == load(finished / "aligned", "policy").identity
    kept = made.statistics["kept"]
    rows = JsonlTracker.read(gone_on[0] / "aligned" / "metrics.jsonl")
    best = str(max(rows, key=lambda row: row["rewards/margins"])["step"])
    assert made.statistics["steps"] == 3 and kept.keys() == {best, "3"}
    assert kept["3"][0] == "every" and kept[best][-1] == "best"
    folders, mesh = gone_on[0] / "aligned" / "kept", make_mesh(MeshConfig())
    last = nnx.state(load_model(folders / "3", FAMILY, mesh=mesh))
    assert same(flat(last), params(finished / "aligned"))
    check = [CONFIG, f"--config.policy.checkpoint={folders / '3'}", "--dry_run"]
    assert main(["run", *check, f"--workdir={tmp_path / 'other'}"]) == 0


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
