import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from chexjax.checkpoint import CheckpointError, Checkpoints, Keep, digests, load_params, save_params
from chexjax.mesh import MeshConfig, make_mesh, replicated


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def state_of(value):
    return {"a": jnp.full((64, 64), value, jnp.float32), "step": jnp.asarray(int(value))}


def train(checkpoints, steps, first=1):
    """Adds one at each step, in place, as a training step that is given its state does."""
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = state_of(first - 1.0)
    for number in range(first, steps + 1):
        state = step(state)
        if checkpoints.due(number):
            checkpoints.save(number, state, place={"step": number})
    checkpoints.close()


def restored(folder):
    """The state's value and the place; what is restored is whole."""
    state, place = Checkpoints(folder, every=3).restore(state_of(0.0))
    assert place["step"] == state["step"]
    np.testing.assert_array_equal(state["a"], float(state["step"]))
    return place["step"]


def test_the_newest_state_comes_back_as_it_was_saved(folder):
    """Saving goes on in the background while the next steps overwrite the arrays."""
    train(Checkpoints(folder, every=3), 8)
    assert restored(folder) == 6
    assert sorted(path.name for path in folder.iterdir()) == ["3", "6"]


def test_saves_are_due_at_multiples_and_the_last_few_are_kept(folder):
    checkpoints = Checkpoints(folder, every=2, keep=Keep(newest=2))
    assert [step for step in range(1, 9) if checkpoints.due(step)] == [2, 4, 6, 8]
    train(checkpoints, 8)
    assert sorted(path.name for path in folder.iterdir()) == ["6", "8"]


SCORES = {2: 0.5, 4: 0.1, 6: 0.3, 8: None, 10: 0.2}


def scored(folder, best):
    """Checkpoints with these scores, of which the newest, every sixth and the best are kept."""
    checkpoints = Checkpoints(folder, every=2, keep=Keep(newest=1, every=6, best=best))
    for step, score in SCORES.items():
        checkpoints.save(step, state_of(float(step)), place={"step": step}, score=score)
    return checkpoints


@pytest.mark.parametrize(("best", "step"), [("least", 4), ("most", 2)])
def test_the_best_and_every_so_many_stay_and_the_newest_is_gone_on_from(folder, best, step):
    with scored(folder, best) as checkpoints:
        kept = {one.step: one for one in checkpoints.kept(state_of(0.0))}
        assert {step: one.because for step, one in kept.items()} == {step: ("best",), 6: ("every",)}
        for number, one in kept.items():
            np.testing.assert_array_equal(one.state["a"], float(number))
    assert sorted(int(path.name) for path in folder.iterdir()) == sorted({step, 6, 10})
    assert restored(folder) == 10


def test_the_best_is_known_again_when_a_run_goes_on(folder):
    """A score that is worse than one from before the kill replaces nothing."""
    scored(folder, "least").close()
    with Checkpoints(folder, every=2, keep=Keep(newest=1, best="least")) as checkpoints:
        assert checkpoints.restore(state_of(0.0))[1] == {"step": 10}
        checkpoints.save(12, state_of(12.0), place={"step": 12}, score=0.15)
        assert [one.step for one in checkpoints.kept(state_of(0.0))] == [4]


def test_a_damaged_checkpoint_is_not_kept_and_said(folder, capsys):
    with scored(folder, "least") as checkpoints:
        checkpoints.close()
        shutil.rmtree(folder / "4" / "state")
        assert [one.step for one in checkpoints.kept(state_of(0.0))] == [6]
    assert "the checkpoint of step 4 is damaged" in capsys.readouterr().err


def test_there_is_nothing_to_restore_at_the_start(folder):
    assert Checkpoints(folder, every=3).restore(state_of(0.0)) is None


@pytest.mark.parametrize("left", ["9", "9.orbax-checkpoint-tmp"])
def test_what_a_crash_left_unfinished_is_no_checkpoint(folder, left):
    train(Checkpoints(folder, every=3), 6)
    (folder / left).mkdir()
    again = Checkpoints(folder, every=3)
    assert again.restore(state_of(0.0))[1] == {"step": 6}
    assert not (folder / left).exists()
    train(again, 9, first=7)  # nor does it stand in the way of the one that it was to be
    assert restored(folder) == 9


def damages(checkpoint):
    """Ways to damage each file of a checkpoint: (file, what is left of it; None for nothing)."""
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        data = bytearray(file.read_bytes())
        yield file, None
        yield file, bytes(data[: len(data) // 2])
        if data:
            data[len(data) * 2 // 3] ^= 16
            yield file, bytes(data)


def test_whatever_is_damaged_no_wrong_state_comes_back(folder, capsys):
    """Every file is taken away, cut and given another bit in turn; most of this is fatal to it."""
    train(Checkpoints(folder, every=3), 6)
    whole = folder.with_name("whole")
    shutil.copytree(folder, whole)
    fell_back = 0
    for file, data in list(damages(folder / "6")):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)
        step = restored(folder)
        warned = "warning: the checkpoint of step 6 is damaged" in capsys.readouterr().err
        unfinished = file.name == "_CHECKPOINT_METADATA" and data is None
        assert warned == (step == 3 and not unfinished), file
        assert (folder / "damaged" / "6").exists() == warned
        fell_back += step == 3
    assert fell_back >= 12


@pytest.mark.parametrize("what", ["a", "the place in the run"])
def test_what_is_not_as_it_was_saved_is_found_and_training_goes_on(folder, what, capsys):
    """Not all storage keeps checksums of arrays; here the digest alone can tell."""
    train(Checkpoints(folder, every=3), 3)
    checkpoints = Checkpoints(folder, every=3)
    state = state_of(6.0)
    checkpoints.save(6, state, place={"step": 6})
    checkpoints.close()
    note = folder / "6" / "data" / "metadata"
    good = str(digests(state)["a"]) if what == "a" else '"place":{"step":6'
    assert good in note.read_text().replace(" ", "")
    note.write_text(note.read_text().replace(" ", "").replace(good, good[:-1] + "7"))
    assert restored(folder) == 3
    assert f"the digest of {what} is not the one it was saved with" in capsys.readouterr().err
    train(Checkpoints(folder, every=3), 6, first=4)
    assert restored(folder) == 6


def test_a_state_goes_on_on_another_mesh_and_is_still_found_damaged(folder):
    """Saved here, on one device; restored and saved on four; restored here again."""
    train(Checkpoints(folder, every=3), 3)
    elsewhere(go_on, folder)
    assert restored(folder) == 6


def elsewhere(function, folder):
    """Calls a function of this file in a process of its own with four devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, __file__, function.__name__, str(folder)]
    subprocess.run(command, env=environment, check=True)


def go_on(folder):
    """Three steps more, on fsdp=2 x tensor=2."""
    mesh = make_mesh(MeshConfig(data=1, fsdp=2, tensor=2))
    places = {"a": NamedSharding(mesh, PartitionSpec("fsdp", "tensor")), "step": replicated(mesh)}
    checkpoints = Checkpoints(folder, every=3)
    state, _ = checkpoints.restore(jax.device_put(state_of(0.0), places))
    assert (
        len(state["a"].sharding.device_set) == 4
        and state["a"].addressable_shards[0].data.size == 1024
    )
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 3, s), out_shardings=places)
    checkpoints.save(6, step(state), place={"step": 6})
    checkpoints.close()


def test_where_no_checkpoint_is_sound_nothing_is_begun_anew(folder):
    """It might be the storage that is away, and days of work not lost."""
    train(Checkpoints(folder, every=3), 6)
    for step in ("3", "6"):
        shutil.rmtree(folder / step / "state")
    with pytest.raises(CheckpointError, match=r"none of the checkpoints of steps \[3, 6\]"):
        restored(folder)
    assert {path.name for path in (folder / "damaged").iterdir()} == {"3", "6"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "uint32"])
def test_any_flipped_bit_changes_a_digest(dtype):
    rng = np.random.default_rng(0)
    x = np.asarray(jnp.asarray(rng.integers(0, 2, (5, 7, 3)), dtype))
    before = digests({"x": jnp.asarray(x)})["x"]
    for _ in range(20):
        raw = bytearray(x.tobytes())
        place = rng.integers(len(raw))
        raw[place] ^= 1 if dtype == "bool" else 1 << int(rng.integers(8))
        flipped = np.frombuffer(bytes(raw), x.dtype).reshape(x.shape)
        assert digests({"x": jnp.asarray(flipped)})["x"] != before
    assert digests({"x": jnp.asarray(x[::-1])})["x"] != before


def test_a_digest_is_the_weighted_sum_that_it_says(folder):
    """By hand, with Python's integers."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
    total = 0
    for place, word in enumerate(x.view(np.uint32).ravel().tolist()):
        factor = place * 0x9E3779B1 % 2**32
        factor = (factor ^ (factor >> 15)) * 0x85EBCA6B % 2**32
        total += word * (factor | 1)
    mesh = make_mesh(MeshConfig())
    placed = jax.device_put(x, NamedSharding(mesh, PartitionSpec()))
    assert digests({"x": placed}) == digests({"x": x}) == {"x": total % 2**32}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_never_saved(folder, bad):
    checkpoints = Checkpoints(folder, every=3)
    checkpoints.save(3, state_of(3.0), place={"step": 3})
    spoiled = {**state_of(6.0), "a": jnp.zeros((64, 64)).at[3, 5].set(bad)}
    with pytest.raises(CheckpointError, match="step 6: a is not finite"):
        checkpoints.save(6, spoiled, place={"step": 6})
    checkpoints.close()
    assert restored(folder) == 3


def test_a_full_disk_costs_no_earlier_checkpoint(folder):
    train(Checkpoints(folder, every=3), 6)
    elsewhere(fill_the_disk, folder)
    assert restored(folder) == 6
    train(Checkpoints(folder, every=3), 9, first=7)
    assert restored(folder) == 9


def fill_the_disk(folder):
    """A limit on the size of files stands in for a full disk."""
    checkpoints = Checkpoints(folder, every=3)
    state = {**state_of(9.0), "a": jax.random.normal(jax.random.key(0), (512, 512))}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    with pytest.raises(CheckpointError, match=r"could not be written.*saved before"):
        checkpoints.save(9, state, place={"step": 9})
        checkpoints.close()


def test_parameters_come_back_with_the_bits_that_were_written(tmp_path):
    params = {"layer": {"kernel": jnp.asarray(np.random.default_rng(0).standard_normal((5, 7)))}}
    save_params(tmp_path / "params", {"layer": {"kernel": jnp.zeros(3)}})
    save_params(tmp_path / "params", params)  # an earlier attempt is replaced
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    loaded = load_params(tmp_path / "params", like)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_parameters_of_another_shape_are_refused(tmp_path):
    save_params(tmp_path / "params", {"kernel": jnp.zeros((5, 7))})
    with pytest.raises(ValueError, match=r"\(5, 8\).*\(5, 7\)"):
        load_params(tmp_path / "params", {"kernel": jax.ShapeDtypeStruct((5, 8), jnp.float32)})


if __name__ == "__main__":
    {"go_on": go_on, "fill_the_disk": fill_the_disk}[sys.argv[1]](Path(sys.argv[2]))
