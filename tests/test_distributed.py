import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from chexjax import distributed
from chexjax.config import ConfigError
from chexjax.distributed import anywhere, gathered, is_first, join, meet, spans_job
from chexjax.mesh import MeshConfig, local_mesh, make_mesh

NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "CHEXJAX_CLUSTER")


@pytest.fixture
def joined(monkeypatch):
    """What JAX is asked for."""
    asked = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: asked.append(args))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return asked


def set_all(monkeypatch, *values):
    for name, value in zip(NAMES, values, strict=False):
        if value:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), []),
        (("host:1234", "4", "3"), [("host:1234", 4, 3)]),
        (("", "", "", "auto"), [()]),
    ],
)
def test_the_environment_says_who_takes_part(joined, monkeypatch, values, expected):
    set_all(monkeypatch, *values)
    join()
    assert joined == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("host:1234", "4"), "JAX_PROCESS_ID must be set too, since JAX_COORDINATOR_ADDRESS and"),
        (("", "", "0"), "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES must be set too"),
        (("host:1234", "4", "4"), "JAX_PROCESS_ID=4 JAX_NUM_PROCESSES=4: ids are numbers from 0"),
        (("host:1234", "4", "-1"), "JAX_PROCESS_ID=-1"),
        (("host:1234", "some", "0"), "JAX_NUM_PROCESSES=some"),
        (("", "", "", "slurm"), "CHEXJAX_CLUSTER='slurm' is neither 'auto' nor empty"),
    ],
)
def test_what_does_not_say_it_is_refused(joined, monkeypatch, values, words):
    set_all(monkeypatch, *values)
    with pytest.raises(ConfigError, match=words):
        join()
    assert joined == []


def test_one_process_is_a_job_by_itself():
    meet("nobody else")
    mesh = make_mesh(MeshConfig())
    assert is_first() and anywhere(True) and not anywhere(False) and not spans_job(mesh)
    np.testing.assert_array_equal(gathered(jax.numpy.arange(3)), [0, 1, 2])
    assert distributed.alone().active_processes == {0}


class Device:
    """Stands in for a device of some process."""

    platform = device_kind = "stand-in"

    def __init__(self, number, process):
        self.id, self.process_index = number, process


@pytest.fixture
def laid_out(monkeypatch):
    """Where `local_mesh` puts devices: meshes are of real ones only, so its request is kept."""
    monkeypatch.setattr("chexjax.mesh.make_mesh", lambda config, devices: (config, devices))


def whole(*shape):
    """Two processes with four devices each."""
    devices = np.array([Device(number, number // 4) for number in range(8)]).reshape(shape)
    return Mesh(devices, ("data", "fsdp", "tensor"))


class Slice(Device):
    """Of a GPU host, which JAX takes for a slice."""

    platform = "gpu"

    def __init__(self, number):
        super().__init__(number, number // 4)
        self.slice_index = number // 4


def test_hosts_of_gpus_are_laid_out_one_behind_the_other():
    """`tensor` stays within a host, whatever the order in which devices come."""
    devices = [Slice(number) for number in (5, 0, 7, 2, 1, 3, 6, 4)]
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), devices=devices)
    assert [device.id for device in mesh.devices.flat] == list(range(8))


@pytest.mark.parametrize(
    ("shape", "fsdp", "tensor"),
    [((8, 1, 1), 1, 1), ((1, 8, 1), 4, 1), ((2, 2, 2), 2, 2), ((1, 2, 4), 1, 4), ((4, 2, 1), 2, 1)],
)
def test_a_process_alone_has_its_part_of_the_mesh(laid_out, shape, fsdp, tensor):
    mesh = whole(*shape)
    config, devices = local_mesh(mesh)
    assert spans_job(mesh)
    assert [device.id for device in devices] == [0, 1, 2, 3]
    assert (config.data, config.fsdp, config.tensor) == (-1, fsdp, tensor)


def test_layers_that_are_split_over_processes_are_refused(laid_out):
    with pytest.raises(ValueError, match=r"tensor=8 .* of which each has 4 devices"):
        local_mesh(whole(1, 1, 8))
