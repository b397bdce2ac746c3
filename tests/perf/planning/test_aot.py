"""Every preset's forward, compiled for hardware that is not here (extra `aot`).

Both compilers work in one process.
"""

import contextlib
import dataclasses
import importlib.util
import re

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.experimental.compilation_cache import compilation_cache

from chexjax.config import ConfigError
from chexjax.families import PRESETS, AnyFamily, TextFamily, preset
from chexjax.mesh import MeshConfig, batch_sharding, parameter_shardings
from chexjax.models import LanguageModel, Prefix
from chexjax.perf import inventory
from chexjax.perf.planning import topology as topologies
from chexjax.perf.planning.aot import compile_forward, uncached
from chexjax.perf.planning.topology import topology

COMPILERS = {"v5e:4x4": "libtpu", "h100:8": "jax_cuda12_plugin"}


@pytest.fixture(autouse=True)
def quickly():
    """Half the compile time, for programs that nobody runs."""
    jax.config.update("jax_exec_time_optimization_effort", -1.0)
    yield
    jax.config.update("jax_exec_time_optimization_effort", 0.0)


def placed(where, **axes):
    if importlib.util.find_spec(COMPILERS[where]) is None:
        pytest.skip(f"{COMPILERS[where]} is not installed: CHEXJAX_EXTRAS=aot launch/local test")
    return topology(where, MeshConfig(**{"data": 1, **axes}))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("where", COMPILERS)
def test_a_forward_fits_and_each_device_holds_its_share_of_the_parameters(name, where):
    place, family = placed(where, fsdp=-1), preset(name, AnyFamily)
    found = compile_forward(family, place)
    assert found.fits and found.peak > found.outputs > 0
    assert "all-gather" in {one.kind for one in found.collectives}
    share = inventory.take(family, MeshConfig(**place.mesh.shape), jnp.bfloat16).per_device
    # The forward leaves out classifiers; it reads a batch too, and TPUs pad small arrays.
    assert found.arguments > 0.99 * share
    assert found.arguments < 1.05 * share or share < 2**26


def test_a_policy_on_data_alone_asks_nothing_of_its_neighbours():
    found = compile_forward(preset("chexagent2_nano", TextFamily), placed("h100:8", data=8))
    assert found.collectives == []


def test_a_gradient_by_splash_is_made_of_its_kernels():
    """Prompts in the scanned layers; responses there and in the last; heads over `tensor`."""
    place, family = placed("v5e:4x4", data=4, fsdp=2, tensor=2), preset("stories260k", TextFamily)
    graph, shapes = LanguageModel.abstract(family, dtype=jnp.bfloat16, attention="splash")
    params = placed_like(shapes, parameter_shardings(shapes, family.sharding, place.mesh))
    sizes = [(8, 128), (8, 128), (8, 2, 64), (8, 2, 64)]
    kinds = [jnp.int32, jnp.bool] * 2
    batch = [jax.ShapeDtypeStruct(*each) for each in zip(sizes, kinds, strict=True)]

    def value(params, tokens, valid, *responses):
        model = nnx.merge(graph, params)
        return model.score(Prefix(tokens=tokens, valid=valid), *responses).sum()

    run = jax.jit(jax.grad(value))
    with uncached(), jax.set_mesh(place.mesh):
        lowered = run.lower(params, *placed_like(batch, [batch_sharding(place.mesh)] * 4))
        text = lowered.compile().as_text()
    calls = re.findall(r"%splash_mha_(\w+?)_\S+ = .*tpu_custom_call", text)
    assert sorted(calls) == ["dkv"] * 3 + ["dq"] * 3 + ["fwd"] * 3


def placed_like(shapes, places):
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, places
    )


def test_what_does_not_fit_is_said():
    found = compile_forward(preset("minilm_l6", AnyFamily), placed("h100:8", fsdp=-1))
    assert dataclasses.replace(found, memory=found.peak).fits
    assert not dataclasses.replace(found, memory=found.peak - 1).fits


def test_what_a_tpu_cannot_hold_is_an_error_with_a_remedy():
    place, family = placed("v5e:4x4", data=16), preset("stories260k", TextFamily)
    large = dataclasses.replace(family.decoder, vocabulary=2**28)
    with pytest.raises(ConfigError, match=r"stories260k does not fit v5e:4x4.*HBM.*along fsdp"):
        compile_forward(dataclasses.replace(family, decoder=large), place)


def test_the_compile_cache_is_neither_read_nor_written(tmp_path):
    """It could not give the program back; it goes on serving programs that run here."""
    place, events = placed("h100:8", fsdp=-1), []
    with cached_in(tmp_path), heard(events):
        compile_forward(preset("stories260k", AnyFamily), place)
        assert not list(tmp_path.iterdir())
        assert CACHED not in events
        jax.jit(lambda x: x + 41).lower(1.0).compile()
        assert list(tmp_path.iterdir())
        assert CACHED in events


CACHED = "/jax/compilation_cache/compile_requests_use_cache"


@contextlib.contextmanager
def cached_in(folder):
    fields = {"jax_compilation_cache_dir": str(folder)}
    fields["jax_persistent_cache_min_compile_time_secs"] = 0
    usual = {field: getattr(jax.config, field) for field in fields}
    try:
        for field, value in fields.items():
            jax.config.update(field, value)
        compilation_cache.reset_cache()
        yield
    finally:
        for field, value in usual.items():
            jax.config.update(field, value)
        compilation_cache.reset_cache()


@contextlib.contextmanager
def heard(events):
    def listen(event, **_):
        events.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_listener(listen)


def test_gpus_beyond_a_host_stand_in_several():
    placed("h100:8", fsdp=-1)
    devices = topology("h100:16", MeshConfig(data=2, fsdp=8)).mesh.devices
    assert [[d.process_index for d in row.flat] for row in devices] == [[0] * 8, [1] * 8]


@pytest.mark.parametrize(
    ("where", "devices", "package"),
    [
        ("v4:2x2x1", 4, "libtpu"),
        ("v5p:2x2x1*2", 8, "libtpu"),
        ("v6e:2x2", 4, "libtpu"),
        ("a100:8", 8, "jax_cuda12_plugin"),
        ("h100:16", 16, "jax_cuda12_plugin"),
        ("b200:2x4", 8, "jax_cuda12_plugin"),
    ],
)
def test_chips_slices_and_hosts_are_found_by_name(where, devices, package):
    """A device is a whole chip, which has the memory and the peaks of its kind."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: CHEXJAX_EXTRAS=aot launch/local test")
    found = topology(where, MeshConfig())
    assert found.mesh.size == devices
    assert found.chip.flops * 1e-12 in (275, 459, 918, 312, 989, 2250)
    assert found.memory > 30 * 2**30


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("h10:8", "did you mean h100"),
        ("abacus:2", "choose from v4, v5e, v5p, v6e, a100, h100, b200"),
        ("h100:0", "write h100:8"),
        ("h100:12", "hosts of 8"),
        ("h100:2x", "four hosts of eight"),
        ("v5e:4x4*two", "no number of slices"),
        ("h100:many", "write h100:8"),
    ],
)
def test_a_topology_that_cannot_be_is_an_error_with_a_remedy(where, words):
    with pytest.raises(ConfigError, match=words):
        topology(where, MeshConfig())


@pytest.mark.parametrize(("where", "words"), [("v5e:4x3", "v5e:4x4"), ("v5e", "v5e:4x4")])
def test_a_slice_that_is_not_made_is_an_error_with_a_remedy(where, words):
    placed("v5e:4x4", fsdp=-1)
    with pytest.raises(ConfigError, match=f"{where}.*write {words}"):
        topology(where, MeshConfig())


@pytest.mark.parametrize("where", COMPILERS)
def test_axes_that_do_not_make_the_devices_are_an_error(where):
    with pytest.raises(ConfigError, match=f"topology {where}: data=1 x fsdp=3 x tensor=1"):
        placed(where, fsdp=3)


@pytest.mark.parametrize(
    ("where", "error"), [("v5e:4x4", RuntimeError), ("h100:8", NotImplementedError)]
)
def test_an_absent_compiler_is_named_with_its_extra(where, error, monkeypatch):
    def absent(*args, **kwargs):
        raise error("not here")

    monkeypatch.setattr(topologies.topologies, "get_topology_desc", absent)
    with pytest.raises(ConfigError, match=r"is not installed; pip install 'chexjax\[aot\]'"):
        topology(where, MeshConfig())
