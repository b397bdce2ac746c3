"""Two processes on one workdir make what one makes, each its share."""

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.trackers import JsonlTracker
from tests.stages.conftest import CONFIG
from tests.stages.test_run import contents, losses, params

pytestmark = pytest.mark.timeout(1200)  # the first test may wait for a whole shrunken run

SHARED = ("studies", "candidates", "scores", "reference", "predictions/aligned")


def start(workdir, index):
    share = [f"--config.share.index={index}", "--config.share.of=2"]
    return subprocess.Popen(
        [sys.executable, "-m", "chexjax", "run", CONFIG, f"--workdir={workdir}", *share],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ended(processes):
    """What each has said, in the end."""
    try:
        return [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()


def manifests(workdir):
    """All of them, but for the config, which says which process wrote it."""
    found = {file: json.loads(file.read_text()) for file in workdir.rglob("manifest.json")}
    return {
        str(file.relative_to(workdir)): {k: v for k, v in said.items() if k != "config"}
        for file, said in found.items()
    }


def test_two_processes_write_the_rows_of_one(finished, tmp_path):
    """The stages that are shared, and `pair`, which the second process waits for."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    for folder in (*SHARED, "pairs"):
        shutil.rmtree(workdir / folder)
    timings = (workdir / "timings.json").read_text()
    processes = [start(workdir, index) for index in range(2)]
    said = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    for folder in (*SHARED, "pairs"):
        assert contents(workdir / folder) == contents(finished / folder), folder
    assert manifests(workdir) == manifests(finished)
    assert (workdir / "timings.json").read_text() != timings
    for stage, units in [("ingest", 3), ("sample", 3), ("judge", 3), ("write aligned", 2)]:
        for index, (_, progress) in enumerate(said):
            own = len(range(index, units, 2))
            assert f"{stage}  {own}/{own} units" in progress, (index, stage)
    assert "pair" not in said[1][1]


def job(workdir, stage):
    """What each of two processes has said, which were one job."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "chexjax", stage, CONFIG, f"--workdir={workdir}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **said, "JAX_PROCESS_ID": str(index)},
        )
        for index in range(2)
    ]
    found = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], found
    return found


def test_a_job_of_two_processes_trains_together_and_shares_the_rest(finished, tmp_path):
    """What is missing is sampled by each process alone, and trained by both on one mesh.

    A second job trains the same policy, to the last bit.
    """
    workdir = shutil.copytree(finished, tmp_path / "run")
    for folder in ("candidates", "aligned"):
        shutil.rmtree(workdir / folder)
    said = job(workdir, "run")
    assert contents(workdir / "candidates") == contents(finished / "candidates")
    assert ["sample  2/2 units" in said[0][1], "sample  1/1 units" in said[1][1]] == [True, True]
    ours, alone = (
        JsonlTracker.read(one / "aligned" / "metrics.jsonl") for one in (workdir, finished)
    )
    for name in ("loss", "grad_norm", "rewards/margins"):
        found = [row[name] for row in ours]
        assert found == pytest.approx([row[name] for row in alone], rel=1e-3, abs=1e-5), name
    assert not (workdir / "aligned" / "draft").exists()
    assert "align " in said[0][1] and "align " not in said[1][1]  # one of them says how far it is

    again = shutil.copytree(workdir, tmp_path / "again")
    shutil.rmtree(again / "aligned")
    job(again, "align")
    assert losses(again, "aligned") == losses(workdir, "aligned")
    before, after = params(workdir / "aligned"), params(again / "aligned")
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (["--config.share.index=1"], "config.share: index=1 of=1: index must be from 0 to of - 1"),
        (["--config.share.of=0"], "config.share: index=0 of=0"),
        (["--config.share.of=two"], "config.share.of"),
        (
            ["--config.share.of=2", '--config.sweep.axes.beta=("a: loss.options.beta=0.1",)'],
            "config.sweep: its runs are compared in one process",
        ),
    ],
)
def test_a_share_that_cannot_be_is_named_before_any_work(share, words, tmp_path, capsys):
    assert main(["run", CONFIG, *share, f"--workdir={tmp_path / 'run'}"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
