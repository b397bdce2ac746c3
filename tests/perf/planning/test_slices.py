"""Meshes over several TPU slices, which the network joins (extra `aot`)."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies

from chexjax.mesh import AXES, MeshConfig, batch_sharding, make_mesh, parameter_shardings
from chexjax.perf.planning.aot import uncached
from chexjax.perf.planning.collectives import collectives
from chexjax.perf.planning.hlo import Module

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is not installed: CHEXJAX_EXTRAS=aot launch/local test",
)


def over_slices(name, slices, **axes):
    """A mesh over so many slices called `name`."""
    devices = topologies.get_topology_desc(name, "tpu", num_slices=slices).devices
    return make_mesh(MeshConfig(**axes), devices=devices)


def slices_along(mesh, axis):
    """The slices of the devices at each place of an axis."""
    places = mesh.devices.swapaxes(0, AXES.index(axis))
    return [sorted({device.slice_index for device in place.flat}) for place in places]


@pytest.mark.parametrize(
    ("name", "slices", "axes"),
    [
        ("v5e:4x4", 2, {"data": 2, "fsdp": -1}),
        ("v5e:4x4", 2, {"data": 4, "fsdp": -1}),  # 2 x 8 of each 4 x 4
        ("v5e:4x4", 2, {"data": 2, "fsdp": -1, "tensor": 4}),
        ("v6e:2x2", 4, {}),
        ("v5p:2x2x1", 2, {"fsdp": 2, "tensor": 2}),
    ],
)
def test_only_data_goes_over_the_network(name, slices, axes):
    mesh = over_slices(name, slices, **axes)
    each = mesh.shape["data"] // slices
    assert slices_along(mesh, "data") == [[k // each] for k in range(mesh.shape["data"])]
    assert len(set(mesh.devices.flat)) == mesh.size


def test_fsdp_goes_over_the_slices_that_data_leaves():
    mesh = over_slices("v5p:2x2x1", 4, data=2, fsdp=4, tensor=2)
    assert slices_along(mesh, "data") == [[0, 1], [2, 3]]
    assert slices_along(mesh, "fsdp") == [[0, 2], [0, 2], [1, 3], [1, 3]]


def test_layers_are_not_split_over_the_network():
    with pytest.raises(ValueError, match="data=1 x fsdp=1 cannot be laid over 2 slices; set data"):
        over_slices("v5e:2x2", 2, data=1, tensor=-1)


def test_a_gradient_crosses_the_network_once_cut_by_fsdp():
    """Parameters are gathered within a slice; between slices each device sends its own part."""
    mesh, width = over_slices("v5e:2x2", 2, data=2, fsdp=-1), 512
    kernels = dict.fromkeys(("one", "two"), jax.ShapeDtypeStruct((width, width), jnp.float32))
    places = parameter_shardings(kernels, [("", ("fsdp", None))], mesh)
    kernels = {name: kernels[name].update(sharding=places[name]) for name in kernels}
    rows = jax.ShapeDtypeStruct((64, width), jnp.float32, sharding=batch_sharding(mesh))

    def value(kernels, x):
        return jnp.square(jnp.tanh(x @ kernels["one"]) @ kernels["two"]).sum()

    run = jax.jit(jax.grad(value), out_shardings=places)
    with uncached(), jax.set_mesh(mesh):
        found = collectives(Module(run.lower(kernels, rows).compile().as_text()), mesh)
    [between] = [one for one in found if one.kind == "send"]
    assert (between.axes, between.size, between.times) == (("data",), 2, 2)
    assert between.moved == 2 * 4 * width * width // 4
    assert {one.axes for one in found} == {("data",), ("fsdp",)}
