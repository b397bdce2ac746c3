"""The engine's programs for machines that are not here (extra `aot`), counted by hand."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from chexjax.config import ConfigError
from chexjax.engine import EngineConfig
from chexjax.engine.programs import make_room, room_shapes
from chexjax.families import Family, llama, preset
from chexjax.mesh import MeshConfig, make_mesh, parameter_shardings, path_name
from chexjax.perf import inventory
from chexjax.perf.chips import CHIPS
from chexjax.perf.planning.planner import Asked, served
from chexjax.perf.planning.scoring import plan_scoring
from chexjax.perf.planning.serving import plan_serving
from chexjax.perf.planning.step import StepShape
from chexjax.perf.planning.topology import Topology, topology
from chexjax.testing import random_model

COMPILERS = {"v5e": "libtpu", "h100": "jax_cuda12_plugin"}
JUDGE = llama.llama(
    "x", layers=2, width=32, heads=4, kv_heads=4, mlp=64, vocabulary=128, context=256
)
NANO = preset("chexagent2_nano", Family)
ASKED = Asked(preamble=10, shared=20, own=8, rows=4, limit=16, written=12)
CONFIG = EngineConfig(lanes=2, slots=16, steps=4, chunk=32)


@pytest.fixture(autouse=True)
def quickly():
    """Half the compile time, for programs that nobody runs."""
    jax.config.update("jax_exec_time_optimization_effort", -1.0)
    yield
    jax.config.update("jax_exec_time_optimization_effort", 0.0)


def placed(where, **axes):
    if importlib.util.find_spec(COMPILERS[where.partition(":")[0]]) is None:
        pytest.skip(f"no compiler for {where}: CHEXJAX_EXTRAS=aot launch/local test")
    return topology(where, MeshConfig(**axes))


def here():
    """One device, whose arrays have the names of axes all the same."""
    mesh = make_mesh(MeshConfig(), devices=jax.devices()[:1])
    return Topology(name="here", mesh=mesh, memory=1, chip=CHIPS["h100"])


MATRICES, NORMS = 4 * 32 * 32 + 3 * 32 * 64, 2 * 32  # numbers of a layer of JUDGE
HEAD = 32 * 128
TOKEN = 2 * 2 * 32 * 2 // 2
"""Bytes of a token's bfloat16 keys and values in two layers, on one of two devices of `tensor`."""


def test_a_judge_moves_and_executes_what_its_shapes_say():
    """Two lanes of two groups of four rows; each way has a lane, halves of matrices and heads."""
    found = plan_serving(JUDGE, ASKED, placed("v5e:2x2", data=2, tensor=2), CONFIG)
    write, prefix, rows = found.programs
    assert [one.name for one in found.programs] == ["write", "read_prefix", "read_rows"]
    assert found.fits and found.slots == 16

    read = (2 * MATRICES + HEAD) // 2 * 2 + (2 * NORMS + 32) * 4
    stored = 10 + 2 * (20 + 4 * (7 + 6.5))  # in the middle of 12 tokens; the new one is written
    assert write.moved == 4 * (read + stored * TOKEN)
    last = 2 * 32 * 32 // 2 * 2 + 32 * 4  # keys and values are all that memory needs of it
    reading = MATRICES // 2 * 2 + NORMS * 4 + last
    assert prefix.moved == reading + 10 * TOKEN / 2 + 20 * TOKEN  # nor does it look back
    assert rows.moved == reading + (10 + 20) * TOKEN / 2 + 4 * 7 * TOKEN
    assert (write.runs, prefix.runs, rows.runs) == (12 / (4 * 4), 1 / 2, 1 / 2)

    seen = 10 + 32 + 32  # rooms, which are masked and not skipped
    each = 2 * (2 * MATRICES + HEAD) + 2 * 4 * 32 * seen
    assert write.step.executed == 4 * 16 * each


def test_what_lies_on_a_device_is_counted_when_others_run():
    """The embedding is the head's size; prefixes and rows have room for 32 tokens each."""
    found = plan_serving(JUDGE, ASKED, placed("v5e:2x2", data=2, tensor=2), CONFIG)
    parameters = (2 * MATRICES + 2 * HEAD) // 2 * 2 + (2 * NORMS + 32) * 4
    own, where = 2 * 4 * 32 * TOKEN, 2 * 4  # two numbers say where the preamble stands
    assert found.resident == parameters + (10 + 2 * 32) * TOKEN + own + where
    write, prefix, _ = found.programs
    assert write.beside == 0
    assert write.step.compiled.arguments >= found.resident
    unread = (MATRICES - 2 * 32 * 32 + HEAD) // 2 * 2 + 2 * 32 * 4
    assert prefix.beside == own + unread + 10 * TOKEN // 2


def test_gpus_tell_each_other_no_logits():
    """Rows over two GPUs: only what was drawn goes around, a token and its log-probability."""
    asked = Asked(shared=20, rows=4, images=1, limit=16, written=12)
    found = plan_serving(NANO, asked, placed("h100:2", data=2), CONFIG)
    write, prefix = found.programs
    assert found.fits and write.step.executed > 0
    assert sum(one.moved for one in write.step.compiled.collectives) < 4 * 16 * 64
    assert sum(one.moved for one in prefix.step.compiled.collectives) == 0


def test_memory_is_split_by_lanes_and_heads():
    place = placed("v5e:2x2", data=2, tensor=2)
    spec = JUDGE.decoder
    found = room_shapes(spec.block, spec.layers, (2, 3, 4), 64, jnp.bfloat16, place.mesh)
    k, v = found.k[0], found.v[0]
    assert k.sharding.spec == PartitionSpec(("data", "fsdp"), None, None, "tensor")
    assert k.sharding.shard_shape(k.shape) == (1, 3, 4, 2, 8, 64)
    assert v.sharding.shard_shape(v.shape) == (1, 3, 4, 2, 64, 8)


def test_lanes_that_ways_do_not_divide_are_an_error():
    place = placed("h100:2", data=2)
    with pytest.raises(ConfigError, match="lanes=3 is no multiple of the 2 devices"):
        plan_serving(JUDGE, ASKED, place, EngineConfig(lanes=3))


@pytest.mark.parametrize("family", [NANO, preset("green_pico", llama.TextFamily)])
def test_shapes_have_the_places_and_dtypes_that_serving_gives_parameters(family):
    place = here()
    graph, params = nnx.split(random_model(family, dtype=jnp.bfloat16))
    params = jax.device_put(params, parameter_shardings(params, family.sharding, place.mesh))
    real = nnx.split(nnx.merge(graph, params).unrolled())[1]
    shapes = nnx.split(served(family, place, dtype=jnp.bfloat16))[1]
    assert described(shapes) == described(real)


def test_memory_of_shapes_is_the_memory_that_an_engine_makes():
    place, spec = here(), JUDGE.decoder
    size = (spec.block, spec.layers, (2, 3), 16, jnp.int8)
    with jax.set_mesh(place.mesh):
        real = make_room(*size)
    assert described(room_shapes(*size, place.mesh)) == described(real)


def described(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): (x.shape, x.dtype, split(x)) for path, x in leaves}


def split(x):
    """Axes of each dimension, those behind the last that is split left out."""
    axes = list(x.sharding.spec)
    while axes and axes[-1] is None:
        axes.pop()
    return axes


def test_a_scoring_pass_reads_all_parameters_once():
    """In float32, as a policy is loaded; of the embedding a few rows are looked up."""
    place = placed("v5e:2x2", data=4)
    shape = StepShape(rows=8, images=1, prefix=32, responses=2, response=16)
    found = plan_scoring(NANO, shape, place)
    all_of_it = inventory.take(NANO, MeshConfig(data=4), np.float32).per_device
    decoder = NANO.decoder
    embedding, given = decoder.vocabulary * decoder.block.width * 4, 2 * 2 * 16 * 4
    assert found.moved == all_of_it - embedding + given
    assert found.runs == 1 / 8 and found.fits
