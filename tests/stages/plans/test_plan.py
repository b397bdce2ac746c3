"""`plan`, with the compilers for machines that are not here (extra `aot`)."""

import importlib.util
import re

import pytest

from chexjax.__main__ import main
from chexjax.mesh import MeshConfig
from chexjax.perf.planning.aot import Compiled
from chexjax.perf.planning.collectives import Collective
from chexjax.perf.planning.step import PlannedStep, times, wire
from chexjax.perf.planning.topology import topology
from chexjax.perf.planning.traffic import Traffic
from tests.stages.conftest import CONFIG

SMALL = ["--prompt=20", "--response=20", "--config.align.batch_size=8"]


def plan(*more):
    return main(["plan", CONFIG, *SMALL, *more])


@pytest.fixture
def h100():
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        pytest.skip("jax_cuda12_plugin is not installed: CHEXJAX_EXTRAS=aot launch/local test")
    return lambda name, **axes: topology(name, MeshConfig(**axes))


def one(kind, *axes, moved, asynchronous=False):
    return Collective(kind=kind, axes=axes, size=2, asynchronous=asynchronous, times=1, moved=moved)


def step(executed, *found, matmuls=0.0, rest=0.0):
    nothing = dict(arguments=0, temporaries=0, outputs=0, peak=0, memory=1, seconds=0.0)
    moved = Traffic(matmuls=matmuls, rest=rest)
    compiled = Compiled(**nothing, collectives=list(found), traffic=moved, flops=None)
    return PlannedStep(compiled=compiled, executed=executed)


def test_times_by_hand(h100):
    """Two hosts of eight: 16 devices, 10 ms of compute each, 2 s of network, 4 ms of NVLink.

    Matmuls move 4 ms of bytes, which their compute hides, and the rest another 3 ms.
    """
    place = h100("h100:16", data=2, fsdp=8)
    moved = dict(matmuls=0.004 * 3352e9, rest=0.003 * 3352e9)
    gathered = one("all-gather", "fsdp", moved=0.001 * 450e9)
    hidden = one("all-gather", "fsdp", moved=0.003 * 450e9, asynchronous=True)
    summed = one("all-reduce", "data", moved=2 * 50e9)
    assert (wire(gathered, place)[0], wire(summed, place)[0]) == ("links", "network")
    found = times(step(0.010 * 989e12 * 16, gathered, hidden, summed, **moved), place)
    expected = {"compute": 0.010, "memory": 0.007, "links": 0.004, "network": 2.0}
    assert found.parts == pytest.approx(expected)
    assert (found.bound, found.limit) == (pytest.approx(2.0), "network")
    assert found.exposed == pytest.approx(0.010 + 0.003 + 0.001 + 2.0)


def test_cards_of_a_host_share_what_hosts_tell_each_other(h100):
    """All sixteen gather: eight ports of a host carry it together."""
    place = h100("h100:2x8", data=1, fsdp=16)
    assert wire(one("all-gather", "fsdp", moved=1.0), place) == ("network", 8 * 50e9)


def test_a_step_alone_is_bound_by_compute(h100):
    found = times(step(989e12), h100("h100:1", data=1))
    assert (found.bound, found.limit, found.exposed) == (1.0, "compute", 1.0)


def test_a_step_that_moves_more_than_it_computes_is_bound_by_memory(h100):
    found = times(step(989e12, matmuls=2 * 3352e9), h100("h100:1", data=1))
    assert (found.bound, found.limit, found.exposed) == (2.0, "memory", 2.0)


def test_a_step_is_planned_for_gpus(h100, capsys):
    assert plan("--topology=h100:4", "--config.mesh.data=2", "--config.mesh.fsdp=2") == 0
    said = capsys.readouterr().out
    assert re.search(r"data x fsdp x tensor\s*│ 2 x 2 x 1", said)
    assert re.search(r"fits\s*│ yes", said) and "all-gather" in said
    [ratio] = re.findall(r"executed / useful\s*│ ([\d.]+)", said)
    assert 0.95 < float(ratio) < 1.6  # padding apart, what is made again


def test_scoring_and_the_rows_that_fit_are_planned(h100, capsys):
    assert main(["plan", "reference", CONFIG, *SMALL, "--topology=h100:2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"bound by\s*│ (compute|memory)", said)
    [rows] = re.findall(r"rows over all devices: ([\d,]+)", said)
    assert int(rows.replace(",", "")) >= 2


def test_what_is_no_stage_is_said(capsys):
    assert main(["plan", "sampel", CONFIG, "--topology=h100:8"]) == 2
    assert "did you mean sample" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--topology=h10:8"], "did you mean h100"),
        ([], "--topology is missing"),
        (["--topology=h100:8", "--response=4000"], "positions"),
        (["--topology=h100:8", "--config.align.batch_size=12"], "no multiple of the 8 devices"),
        (["--topology=h100:8", "--config.mesh.tensor=3"], "topology h100:8"),
        (["--topology=h100:8", "--config.policy.attention=splash"], "does not run on gpu"),
    ],
)
def test_what_cannot_be_planned_is_said_before_anything_is_compiled(more, words, h100, capsys):
    assert plan(*more) == 2
    assert words in capsys.readouterr().err
