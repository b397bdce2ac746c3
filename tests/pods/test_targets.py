"""What a step of the recipes needs of the machines that they are for, by plan.

Each table beside this file is what `chexjax plan --json` wrote; the command in it makes it again.
Two 512-pixel images, all parameters trained; 3,040 tokens of prompt and report for CheXagent-2,
1,024 for CheXagent. What crosses the network is then seen at toy size, too.
"""

import importlib.util
import json
from pathlib import Path

import pytest

from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig
from chexjax.perf.planning.step import StepShape, plan_step, wire
from chexjax.perf.planning.topology import topology
from chexjax.train import SFT, TrainConfig

HERE = Path(__file__).parent
TABLES = sorted(path.stem for path in HERE.glob("*.json"))


def plans(name):
    return json.loads((HERE / f"{name}.json").read_text())["plans"]


def one(name):
    [found] = plans(name)
    return found


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("v5e-16-3b", 1),
        ("v5e-256-3b", 1),
        ("v5e-256-3b-paper", 1),
        ("h100-8-3b", 4),
        ("v5e-64-8b", 1),
        ("v5p-8-8b", 1),
        ("h100-8-8b", 1),
    ],
)
def test_it_fits_with_so_many_pairs_on_each_device(name, rows):
    found = one(name)
    memory = found["memory_gib"]
    assert memory["peak"] < memory["memory"] and found["fits"]
    assert found["rows_per_device"] >= rows
    assert found["shape"]["images"] == 2 and "--config.align.freeze=()" in command(name)


def command(name):
    return json.loads((HERE / f"{name}.json").read_text())["command"]


@pytest.mark.parametrize("name", TABLES)
def test_little_is_computed_twice(name):
    assert 1.0 < one(name)["executed_per_useful"] <= 1.40


@pytest.mark.parametrize("name", ["v5e-256-3b", "h100-4x8-3b"])
def test_the_chips_are_used(name):
    """Even at quick effort, which hides no gathering on TPUs."""
    mfu = one(name)["mfu"]
    assert mfu["exposed"] >= 0.45 and mfu["bound"] >= 0.60


def test_growing_along_data_costs_a_device_nothing():
    few, many = one("v5e-16-3b"), one("v5e-256-3b")
    assert few["mesh"] == {"data": 1, "fsdp": 16, "tensor": 1}
    assert many["mesh"] == {"data": 16, "fsdp": 16, "tensor": 1}
    assert many["memory_gib"]["peak"] == pytest.approx(few["memory_gib"]["peak"], rel=0.03)
    assert many["executed"] / 256 == pytest.approx(few["executed"] / 16, rel=0.03)


@pytest.mark.parametrize("name", ["v5e-2x16-3b", "h100-8x8-3b"])
def test_gradients_alone_go_over_the_network(name):
    """At most twice the bytes of each device's gradients, as float32."""
    found, parameters = one(name), 3.2e9
    moved = sum(x["moved"] for x in found["collectives"] if x["wire"] == "network")
    within = sum(x["moved"] for x in found["collectives"] if x["wire"] == "links")
    assert 0 < moved <= 2 * 4 * parameters / found["mesh"]["fsdp"]
    assert moved < within / 4


def test_the_same_at_toy_size_on_two_hosts_of_four():
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        pytest.skip("jax_cuda12_plugin is not installed: CHEXJAX_EXTRAS=aot launch/local test")
    family = preset("chexagent2_nano", Family)
    place = topology("h100:2x4", MeshConfig(data=2, fsdp=4))
    prefix = family.visual_tokens(1) + 24
    shape = StepShape(rows=8, images=1, prefix=prefix, responses=1, response=40)
    config = TrainConfig(batch_size=8, total_steps=1, remat="block")
    found = plan_step(family, SFT(), config, shape, place).compiled
    between = [one for one in found.collectives if "data" in one.axes]
    assert {wire(one, place)[0] for one in between} == {"network"}
    gradients = found.arguments / 3  # beside them the two moments
    assert 0 < sum(one.moved for one in between) <= 2 * gradients
