"""Stages on many devices agree with one, from the same input artefacts.

`tests/test_mesh.py` holds the same of a training step and of the engine that judges write with.

Run as a program, `test_meshes.py WORKDIR FOLDER`, this file runs stages of a finished run again, on
meshes of eight virtual devices, and keeps what came out.
"""

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from chexjax.artefacts import load
from chexjax.config import freeze
from chexjax.config.command import parse
from chexjax.mesh import AXES, make_mesh
from chexjax.rows import decode, encode
from chexjax.stages.chain import COMMANDS
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.reference import REFERENCE
from chexjax.stages.sample import SAMPLE
from chexjax.trackers import StageClock
from tests.stages.conftest import CONFIG

pytestmark = pytest.mark.timeout(1200)  # one process compiles every stage, behind a shrunken run

FSDP, TENSOR, ALL = (1, 2, 1), (1, 1, 2), (2, 2, 2)
RUNS = {
    REFERENCE: [FSDP, TENSOR, ALL],
    SAMPLE: [FSDP, ALL],
}
"""What is compared with the finished run, which had one device."""

NUMBERS = 1e-5
"""What log-probabilities of one pass differ by, relative to 1 or more."""

TIES = 0.02
"""The share of texts that may differ, where two tokens are nearly as likely."""


@pytest.fixture(scope="module")
def found(finished, tmp_path_factory):
    """What each stage wrote on each mesh."""
    folder = tmp_path_factory.mktemp("meshes")
    optimized = "--xla_backend_optimization_level=0"  # these programs run once
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": f"{flags} {optimized}", "JAX_PLATFORMS": "cpu"}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, str(finished), str(folder)]
    subprocess.run(command, check=True, env=environment)
    return decode((folder / "results").read_bytes())


def name(stage, sizes):
    return f"{stage.name} on {' x '.join(map(str, sizes))}"


def stored(workdir, stage):
    return list(load(workdir / stage.folder, stage.kind).rows())


def differing(some, others):
    """How many texts differ; all of them have one place in both."""
    assert len(some) == len(others) > 0
    return sum(one != other for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("sizes", RUNS[REFERENCE])
def test_reference_log_probs_are_those_of_one_device(finished, found, sizes):
    one, many = stored(finished, REFERENCE), found[name(REFERENCE, sizes)]
    assert [row["id"] for row in many] == [row["id"] for row in one]
    for row, other in zip(one, many, strict=True):
        for logps, given in zip(row["ref_logps"], other["ref_logps"], strict=True):
            np.testing.assert_allclose(given, logps, rtol=NUMBERS, atol=NUMBERS)


@pytest.mark.parametrize("sizes", RUNS[SAMPLE])
def test_the_same_candidates_are_drawn(finished, found, sizes):
    """At temperature 1, so the random bits are the same ones too."""
    one, many = stored(finished, SAMPLE), found[name(SAMPLE, sizes)]
    for field in ("id", "row", "reference"):
        assert [row[field] for row in many] == [row[field] for row in one]
    texts, others = ([x for row in rows for x in row["candidates"]] for rows in (one, many))
    said = [[(x["report"], x["tokens"], x["finish"]) for x in side] for side in (texts, others)]
    assert differing(*said) <= TIES * len(texts)
    for text, other in zip(texts, others, strict=True):
        if text["report"] == other["report"]:
            assert other["logp"] == pytest.approx(text["logp"], rel=NUMBERS, abs=NUMBERS)


@dataclasses.dataclass(frozen=True)
class Some(Context):
    """A run on the first of the devices that there are."""

    devices: int = 1

    @functools.cached_property
    def mesh(self):
        return make_mesh(self.config.mesh, devices=jax.devices()[: self.devices])


def run(stage, sizes, workdir):
    """The rows that a stage makes on a mesh."""
    mesh = [f"--config.mesh.{axis}={size}" for axis, size in zip(AXES, sizes, strict=True)]
    command = parse(
        [stage.name, CONFIG, f"--workdir={workdir}", *mesh], sorted(COMMANDS), RunConfig
    )
    config = freeze(RunConfig, command.config)
    clock = StageClock(workdir, keep=False)
    context = Some(config, workdir, clock, devices=int(np.prod(sizes)))
    return list(context.run(stage).rows())


def program(finished, folder):
    results = {}
    for stage, meshes in RUNS.items():
        for sizes in meshes:
            workdir = folder / "run"
            shutil.copytree(finished, workdir)
            shutil.rmtree(workdir / stage.folder)
            results[name(stage, sizes)] = run(stage, sizes, workdir)
            shutil.rmtree(workdir)
    (folder / "results").write_bytes(encode(results))


if __name__ == "__main__":
    program(Path(sys.argv[1]), Path(sys.argv[2]))
