"""Placement on a mesh, and that a mesh changes nothing but where things lie.

Run as a program, `test_mesh.py FOLDER`, this file trains on four virtual devices and keeps what
came out.
"""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from chexjax.checkpoint import load_params, save_params
from chexjax.engine import Engine, EngineConfig, Images, Request, Sampler
from chexjax.engine.programs import Programs, Rows, make_room
from chexjax.engine.sampling import Draws
from chexjax.families import Family, preset
from chexjax.families.llama import llama
from chexjax.losses import DPO
from chexjax.mesh import (
    AXES,
    MeshConfig,
    check_batch,
    make_mesh,
    parameter_shardings,
    path_name,
    place_batch,
    undivided,
)
from chexjax.ops import attention
from chexjax.ops.attention import Segment, attend
from chexjax.perf.planning.collectives import KINDS
from chexjax.rows import decode, encode
from chexjax.testing import assert_close, random_batch, random_model, random_policy
from chexjax.train import OptimizerConfig, Preference
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, make_step, split_params, state_shardings

pytestmark = pytest.mark.timeout(900)  # one process compiles every program for four meshes

FAMILY = preset("chexagent2_nano", Family)
MESHES = {"data": (4, 1, 1), "fsdp": (1, 4, 1), "data_tensor": (2, 1, 2), "fsdp_tensor": (1, 2, 2)}


# Rules of placement, without devices.


def specs(shapes, table, **axes):
    mesh = AbstractMesh(tuple(axes.get(axis, 1) for axis in AXES), AXES)
    leaves = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    return {name: s.spec for name, s in parameter_shardings(leaves, table, mesh).items()}


def test_the_first_matching_rule_counts_and_axes_are_counted_from_the_end():
    table = [("query/kernel", ("fsdp", "tensor")), ("kernel", ("tensor", None)), ("bias", ())]
    shapes = {"query/kernel": (6, 8, 4), "out/kernel": (8, 4), "query/bias": (6, 4)}
    assert specs(shapes, table, fsdp=2, tensor=2) == {
        "query/kernel": PartitionSpec(None, "fsdp", "tensor"),
        "out/kernel": PartitionSpec("tensor", None),
        "query/bias": PartitionSpec(None, None),
    }


def test_a_dimension_that_an_axis_does_not_divide_stays_whole():
    assert specs({"kernel": (6, 8)}, [("kernel", ("fsdp", "tensor"))], fsdp=4, tensor=4) == {
        "kernel": PartitionSpec(None, "tensor")
    }


def test_what_could_not_be_divided_is_named():
    mesh, table = AbstractMesh((1, 8, 4), AXES), [("kernel", ("fsdp", "tensor")), ("", ())]
    shapes = {"patch/kernel": (588, 32), "body/kernel": (3, 12, 6), "out/kernel": (8, 4), "x": (7,)}
    leaves = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    assert undivided(leaves, table, mesh) == {
        "patch/kernel": "588 over fsdp=8",
        "body/kernel": "12 over fsdp=8, 6 over tensor=4",
    }


def test_a_parameter_without_a_rule_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="no sharding rule matches parameter head/adapter"):
        specs({"head/adapter": (4, 4)}, [("kernel", ())])


def test_axes_must_make_the_devices_there_are():
    assert make_mesh(MeshConfig()).shape == {"data": jax.device_count(), "fsdp": 1, "tensor": 1}
    with pytest.raises(ValueError, match="config.mesh: data=64 x fsdp=1 x tensor=1 does not make"):
        make_mesh(MeshConfig(data=64))
    with pytest.raises(ValueError, match="fsdp=64"):
        make_mesh(MeshConfig(fsdp=64))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"fsdp": 0}, "fsdp=0 must be 1 or more"),
        ({"tensor": -2}, "tensor=-2 must be"),
        ({"fsdp": -1}, "only one axis can be -1"),
    ],
)
def test_axes_that_make_no_sense_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        MeshConfig(**sizes)


def test_a_batch_that_devices_cannot_share_is_an_error_that_names_the_field():
    mesh = AbstractMesh((2, 2, 3), AXES)
    check_batch(8, mesh, "batch_size")
    with pytest.raises(ValueError, match="batch_size=6 is no multiple of the 4 devices .* to 8"):
        check_batch(6, mesh, "batch_size")


# Four virtual devices, in a process of their own.


def test_decoding_moves_activations_and_never_what_is_stored(results):
    found = results["writing"]
    assert found["moved"]  # of heads that are split over `tensor`
    assert max(found["moved"]) < found["keys"] / 16


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mesh")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, __file__, str(folder)], check=True, env=environment)
    return decode((folder / "results").read_bytes())


@pytest.mark.parametrize("name", MESHES)
def test_a_training_step_is_the_same_on_every_mesh(results, name):
    one, many = results["one"], results[name]
    assert_close(many["metrics"], one["metrics"], rtol=1e-5)
    assert_close(many["gradient"], one["gradient"], rtol=1e-4)


@pytest.mark.parametrize("name", MESHES)
def test_steps_share_one_program(results, name):
    assert results[name]["programs"] == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one", (1, 1)),
        ("data", (1, 1)),
        ("fsdp", (4, 1)),
        ("data_tensor", (1, 2)),
        ("fsdp_tensor", (2, 2)),
    ],
)
def test_parameters_and_moments_are_cut_as_the_table_says(results, name, expected):
    block = FAMILY.decoder.block
    rows, columns = expected
    for tree in ("parameters", "moments"):
        shards = results[name][tree]
        assert shards["decoder/last/attention/query/kernel"] == [
            block.width // rows,
            block.width // columns,
        ]
        assert shards["decoder/last/mlp/fc2/kernel"] == [block.mlp // columns, block.width // rows]
        assert shards["decoder/last/norm1/scale"] == [block.width]


def test_the_same_reports_are_sampled_on_every_mesh(results):
    np.testing.assert_array_equal(results["data_tensor"]["tokens"], results["one"]["tokens"])


def test_a_kernel_runs_on_each_devices_own_studies_and_heads(results):
    assert_close(results["splash"], results["xla"], rtol=1e-4)


def test_parameters_saved_on_one_mesh_are_read_onto_another(results):
    assert results["moved"]


def step_on(mesh):
    """One step of alignment, and some reports sampled."""
    batch = random_batch(FAMILY, images=(0, 1, 2, 1))
    jax.set_mesh(mesh)
    graph, trainable, frozen = split_params(random_policy(FAMILY), ("vision/",))
    optimizer = make_optimizer(OptimizerConfig(clip=1e9))
    first = functools.partial(init_state, optimizer=optimizer)
    places = state_shardings(jax.eval_shape(first, trainable, frozen), FAMILY.sharding, mesh)
    state = jax.jit(first, out_shardings=places)(trainable, frozen)
    step = make_step(graph, Preference(DPO()), optimizer, accumulate=1, places=places)
    for _ in range(2):  # the state of one step is one for the same program again
        state, metrics = step(state, place_batch(batch, mesh), np.float32(0.0))
    moments = optax.tree_utils.tree_get(state.optimizer, "mu")
    return state, {
        "metrics": jax.device_get(metrics),
        # Adam's first moment after two steps with the same gradient g: 0.9 * 0.1 g + 0.1 g.
        "gradient": jax.tree.map(lambda x: np.asarray(x) / 0.19, nnx.to_pure_dict(moments)),
        "programs": step._cache_size(),
        "parameters": shard_shapes(state.trainable),
        "moments": shard_shapes(moments),
        "tokens": sampled(nnx.merge(graph, state.trainable, state.frozen), batch, mesh),
    }


def shard_shapes(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): list(x.addressable_shards[0].data.shape) for path, x in leaves}


def sampled(model, batch, mesh):
    if mesh.shape["data"] == 4 or mesh.shape["fsdp"] > 1:
        return None  # one mesh is enough
    prefix, requests = batch["prefix"], []
    for k, real in enumerate(prefix["valid"]):
        images = Images(pixels=prefix["images"][k], placeholder=prefix["placeholder"][k][real])
        ids = [*prefix["tokens"][k][real].tolist(), int(batch["inputs"][k, 0, 0])]
        asked = Request(
            prefix=ids,
            rows=[()] * 2,
            limit=4,
            images=images,
            sampler=Sampler(),
            seeds=(2 * k, 2 * k + 1),
        )
        requests.append(asked)
    with jax.set_mesh(mesh):
        drawn = dict(Engine(model, EngineConfig(slots=8, lanes=1, steps=4)).run(requests))
    return np.asarray([[one.tokens for one in drawn[k]] for k in range(4)])


def moved_when_writing(mesh):
    """Elements of each collective of a decoding step, and of one layer's keys."""
    family = llama("x", layers=2, width=32, heads=4, kv_heads=4, mlp=48, vocabulary=64, context=512)
    graph, state = nnx.split(random_model(family))
    state = jax.device_put(state, parameter_shardings(state, family.sharding, mesh))
    shape = (4, 2, 2)  # lanes, groups, rows
    draws = Draws(*(np.zeros(shape, np.float32) for _ in range(3)), np.zeros((*shape, 2), "u4"))
    nothing = np.zeros(shape, np.int32)
    with jax.set_mesh(mesh):
        programs = Programs(nnx.merge(graph, state).unrolled())
        own = make_room(family.decoder.block, 2, shape, 256, np.float32)
        rows = Rows(np.zeros(shape[:2], np.int32), nothing, nothing, nothing, draws)
        write = programs.write
        lowered = write.func.lower(
            *write.args, None, None, own, rows, None, steps=2, draft=0, trust=1.0
        )
    moved = re.findall(
        rf"= \w+\[([\d,]*)\]\S* (?:{'|'.join(KINDS)})\(", lowered.compile().as_text()
    )
    sizes = [int(np.prod([int(n) for n in size.split(",") if n])) for size in moved]
    return {"moved": sizes, "keys": own.k[0].size}


def gradient(mesh, backend):
    """What attention on a mesh gives back to queries, keys and values."""

    def value(floats, own):
        q, k, v = floats
        chain = [Segment(k=k, v=v, **own)]
        out = attend(q, own["positions"], chain, causal=True, backend=backend)
        return (out * q[::-1]).sum()

    floats = np.random.default_rng(0).standard_normal((3, 4, 128, 2, 8), np.float32)
    valid = np.arange(128) < np.array([[128], [70], [40], [1]])
    own = {"positions": np.broadcast_to(np.arange(128), valid.shape), "valid": valid}
    run = jax.jit(jax.grad(value), compiler_options={"xla_backend_optimization_level": 0})
    with jax.set_mesh(mesh):
        return jax.device_get(run(*place_batch((list(floats), own), mesh)))


def moved(folder, state, mesh):
    """Whether parameters that lie on one mesh are read onto `mesh` bit by bit."""
    pure = nnx.to_pure_dict(state.trainable)
    save_params(folder / "params", pure)
    places = nnx.to_pure_dict(parameter_shardings(state.trainable, FAMILY.sharding, mesh))
    like = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), pure, places
    )
    loaded = load_params(folder / "params", like)
    jax.tree.map(np.testing.assert_array_equal, loaded, pure)
    return jax.tree.leaves(loaded)[0].sharding.mesh == mesh


def main(folder):
    one = jax.make_mesh((1, 1, 1), AXES, (AxisType.Auto,) * 3, devices=jax.devices()[:1])
    meshes = {"one": one} | {
        name: make_mesh(MeshConfig(**dict(zip(AXES, sizes, strict=True))))
        for name, sizes in MESHES.items()
    }
    made = {name: step_on(mesh) for name, mesh in meshes.items()}
    results = {name: result for name, (_, result) in made.items()}
    results["moved"] = moved(folder, made["fsdp"][0], meshes["data_tensor"])
    attention.splash = functools.partial(attention.splash, interpret=True)
    results["writing"] = moved_when_writing(meshes["data_tensor"])
    results["splash"] = gradient(meshes["data_tensor"], "splash")
    results["xla"] = gradient(one, "xla")
    (folder / "results").write_bytes(encode(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
