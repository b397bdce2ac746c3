"""What a user relies on of a run: it finishes, repeats, resumes, and refuses what does not fit."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from chexjax import artefacts
from chexjax.__main__ import main
from chexjax.artefacts import manifest as manifests
from chexjax.checkpoint import load_params
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh, path_name, replicated
from chexjax.models import VLM
from tests.judges.encoders import word_encoder
from tests.stages.conftest import CONFIG

pytestmark = pytest.mark.timeout(1200)  # the first test waits for a whole shrunken run

FOLDERS = ("studies", "sft", "candidates", "scores", "pairs", "reference", "aligned", "control")


def manifest(workdir, folder):
    return json.loads((workdir / folder / "manifest.json").read_text())


def contents(folder):
    """Bytes of every record shard below a folder."""
    files = sorted(folder.rglob("*.arrayrecord"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def losses(workdir, folder):
    lines = (workdir / folder / "metrics.jsonl").read_text().splitlines()
    return [(row["step"], row["loss"], row["grad_norm"]) for row in map(json.loads, lines)]


def test_no_row_is_lost_between_stages(finished):
    rows = {folder: manifest(finished, folder)["rows"] for folder in FOLDERS}
    assert rows["studies"] + manifest(finished, "studies")["rejects"] == 80
    assert rows["candidates"] == rows["scores"] == 24
    pairs = manifest(finished, "pairs")
    assert rows["pairs"] + pairs["statistics"]["ties"] == 24
    assert rows["reference"] + manifest(finished, "reference")["rejects"] == rows["pairs"]


def test_the_control_gets_at_least_the_compute_of_alignment(finished):
    spent = sum(
        manifest(finished, folder)["statistics"]["flops"]
        for folder in ("candidates", "reference", "aligned")
    )
    given = manifest(finished, "control")["statistics"]["flops"]
    per_step = given / manifest(finished, "control")["statistics"]["steps"]
    assert spent <= given < spent + per_step * 1.001


def test_the_report_is_one_file_that_needs_no_network(finished):
    page = (finished / "report" / "report.html").read_text()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")
    numbers = json.loads((finished / "report" / "report.json").read_text())
    assert {system["name"] for system in numbers["systems"]} == {
        "SFT",
        "SFT continued",
        "aligned",
    }


def test_reports_are_evaluated_again_with_another_labeler(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "report")
    rules = "--config.evaluate.labeler=rule_labels"
    assert main(["evaluate", CONFIG, f"--workdir={workdir}", rules]) == 0
    usual, other = (
        json.loads((run / "report" / "report.json").read_text())["systems"][0]
        for run in (finished, workdir)
    )
    assert usual["labeler"].startswith("the phantoms' grammar")
    assert other["labeler"] == "rules, uncertain present"
    # What the phantoms' radiologist writes of an effusion, both can read.
    effusion = [one["labels"]["Pleural Effusion"]["support"] for one in (usual, other)]
    assert effusion[0] == effusion[1] > 0


def test_a_finished_run_is_a_no_op(finished, capsys):
    def times():
        return {f: f.stat().st_mtime_ns for f in finished.rglob("*") if f.is_file()}

    before = times()
    assert main(["run", CONFIG, f"--workdir={finished}"]) == 0
    after = times()
    after.pop(finished / "timings.json"), before.pop(finished / "timings.json")
    assert before == after
    assert "nothing to do" in capsys.readouterr().out


def test_a_run_hashes_each_artefact_once_however_many_stages_read_it(finished, monkeypatch):
    checked = []
    check = manifests.Manifest.check

    def counted(self, folder):
        checked.append(folder)
        check(self, folder)

    monkeypatch.setattr(manifests.Manifest, "check", counted)
    assert main(["run", CONFIG, f"--workdir={finished}"]) == 0
    assert finished / "studies" in checked
    assert len(checked) == len(set(checked))


def test_an_artefact_of_another_config_is_refused_by_field(finished, capsys):
    other = ["--config.sft.optimizer.learning_rate=0.5", f"--workdir={finished}"]
    assert main(["sft", CONFIG, *other]) == 2
    message = capsys.readouterr().err
    assert "sft.optimizer.learning_rate" in message and "0.5" in message


def test_an_upstream_change_is_refused_downstream(finished, capsys):
    assert main(["pair", CONFIG, "--config.judge.name=oracle", f"--workdir={finished}"]) == 2
    assert "judge.name" in capsys.readouterr().err


def test_a_truncated_shard_is_refused_by_name(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shard = workdir / "studies" / "rows-00001.arrayrecord"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert main(["sft", CONFIG, f"--workdir={workdir}"]) == 2
    assert "rows-00001.arrayrecord" in capsys.readouterr().err


def test_a_missing_input_says_which_stage_makes_it(tmp_path, capsys):
    assert main(["sample", CONFIG, f"--workdir={tmp_path}"]) == 2
    assert "studies" in capsys.readouterr().err


def test_all_ties_are_an_error_with_a_remedy(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "pairs")
    assert main(["pair", CONFIG, "--config.pair.tie=2.0", f"--workdir={workdir}"]) == 2
    message = capsys.readouterr().err
    assert "no usable pair" in message and "temperature" in message
    assert not (workdir / "pairs" / "manifest.json").exists()


def test_a_dry_run_does_no_work(tmp_path, capsys):
    assert main(["run", CONFIG, f"--workdir={tmp_path / 'none'}", "--dry_run"]) == 0
    assert not (tmp_path / "none").exists()
    out = capsys.readouterr().out
    assert "parameters" in out and "decoder/head/kernel" in out and "steps" in out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("--config.sft.optimizer.learning_rat=1", "learning_rate"),
        ("--config.sft.batch_size=many", "batch_size"),
        ("--config.sft.total_steps=3", "total_epochs"),
        ("--config.loss.name=dpoo", "dpo"),
        ("--config.judge.name=orakel", "oracle"),
        ("--config.evaluate.labeler=chexpert", "chexbert"),
        ("--config.evaluate.labeler=chexbert", "judge.chexbert.weights"),
        ("--config.policy.preset=chexagent2_tini", "chexagent2_tiny"),
        ("--config.policy.attention=splash", "does not run on cpu; set it to 'auto' or 'xla'"),
        ("--config.align.freeze=('visoin/',)", "visoin/"),
        ("--config.mesh.data=3", "mesh"),
        ("--config.align.lora=rank", "config.align.lora"),
        ("--config.template=reference_compatible", "config.template"),
    ],
)
def test_a_wrong_config_is_named_before_any_work(change, named, tmp_path, capsys):
    assert main(["run", CONFIG, change, f"--workdir={tmp_path / 'run'}"]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_adapters_that_fit_nowhere_are_named_before_any_work(tmp_path, capsys):
    lora = ["--config.sft.lora.rank=2", "--config.sft.lora.targets=('decodr/',)"]
    assert main(["run", CONFIG, *lora, f"--workdir={tmp_path / 'run'}"]) == 2
    assert "config.sft.lora.targets: 'decodr/' matches no linear" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_alignment_by_adapters_changes_their_layers_alone(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "aligned")
    lora = ["--config.align.lora.rank=2", "--config.align.lora.targets=('/(query|fc2)@1:',)"]
    assert main(["align", CONFIG, *lora, f"--workdir={workdir}"]) == 0
    before, after = (params(workdir / folder) for folder in ("sft", "aligned"))
    assert before.keys() == after.keys()
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {f"decoder/last/{x}/kernel" for x in ("attention/query", "mlp/fc2")}
    stored = load_file(workdir / "aligned" / "adapter" / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.1"
    a, b = (stored[f"{prefix}.mlp.fc2.lora_{x}.weight"] for x in "AB")
    kernel = "decoder/last/mlp/fc2/kernel"
    np.testing.assert_allclose(after[kernel] - before[kernel], 8 * (b @ a).T, atol=1e-6)
    assert (
        manifest(workdir, "aligned")["statistics"]["flops"]
        < (manifest(finished, "aligned")["statistics"]["flops"])
    )


def params(folder):
    _, shapes = VLM.abstract(preset("chexagent2_nano", Family))
    place = replicated(make_mesh(MeshConfig()))
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes
    )
    loaded = load_params(folder / "params", nnx.to_pure_dict(like))
    flat = jax.tree_util.tree_leaves_with_path(loaded)
    return {path_name(path): np.asarray(leaf) for path, leaf in flat}


def test_a_workdir_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["ingest", CONFIG, f"--workdir={tmp_path / 'file'}"]) == 2
    assert "file" in capsys.readouterr().err


KILLED_IN = ("studies", "sft", "candidates", "reference", "aligned", "control", "predictions")


def names(workdir):
    """Of all files below a folder."""
    start = len(str(workdir))
    return {f"{top[start:]}/{file}" for top, _, files in os.walk(workdir) for file in files}


def half_written(files):
    return {name for name in files if "tmp" in name}


def killed(workdir, folders, seconds):
    """Whether a run, killed `seconds` after it had begun a file in the folders, had not yet ended.

    With 0 seconds it is killed while one of the files is half written.
    """
    command = [sys.executable, "-m", "chexjax", "run", CONFIG, f"--workdir={workdir}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        before = begun = names(workdir)
        while process.poll() is None and not begun - before:
            time.sleep(0.02)
            found = {name for name in names(workdir) if name.split("/")[1] in folders}
            begun = found if seconds else half_written(found)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_a_run_killed_in_stage_after_stage_ends_with_the_same_bytes(finished, tmp_path):
    """By what it has done and not by the clock: each attempt gets somewhere, on any machine."""
    workdir = tmp_path / "killed"
    rng = random.Random(0)
    left = []
    for place, folder in enumerate(KILLED_IN):
        trained = folder in ("sft", "aligned", "control")  # checkpoints take a while to write
        if killed(workdir, KILLED_IN[place:], 0 if trained else rng.uniform(0.1, 1)):
            left.append(half_written(names(workdir)))
    assert len(left) >= 5 and sum(map(bool, left)) >= 2
    assert main(["run", CONFIG, f"--workdir={workdir}"]) == 0
    for folder in ("studies", "candidates", "scores", "pairs", "reference", "predictions"):
        assert contents(workdir / folder) == contents(finished / folder), folder
    for folder in ("sft", "aligned", "control"):
        assert losses(workdir, folder) == losses(finished, folder), folder
        assert artefacts.load(workdir / folder, "policy").identity == (
            artefacts.load(finished / folder, "policy").identity
        )


def test_metrics_of_the_report_are_a_list_of_judges_and_leave_the_predictions(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "report")
    encoder = word_encoder(tmp_path / "encoder", positions=64)
    metrics = "('rouge_2', 'bleu_coco', 'lc_bertscore')"
    flags = [f"--config.judge.bertscore.encoder={encoder}", "--config.judge.bertscore.layer=1"]
    arguments = ["evaluate", CONFIG, f"--workdir={tmp_path / 'run'}", *flags]
    assert main([*arguments, f"--config.evaluate.metrics={metrics}"]) == 0
    found = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert list(found["metrics"]) == ["rouge_2", "bleu_coco", "corpus_bleu_coco", "lc_bertscore"]
    for system in found["systems"]:
        assert all(0 <= system[name]["mean"] <= 1 for name in found["metrics"])
        assert "rouge_l" not in system
    assert "length-controlled" in (tmp_path / "run" / "report" / "report.html").read_text()
    assert main([*arguments, "--config.evaluate.metrics=('rogue_l',)"]) != 0
