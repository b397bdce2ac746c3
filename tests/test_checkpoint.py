import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.checkpoint import Checkpoints, load_params, save_params


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
            checkpoints.save(number, state, next_batch=number)
    checkpoints.close()


def test_the_newest_state_comes_back_as_it_was_saved(folder):
    """Saving goes on in the background while the next steps overwrite the arrays."""
    train(Checkpoints(folder, every=3), 8)
    state, next_batch = Checkpoints(folder, every=3).restore(state_of(0.0))
    assert next_batch == 6 and state["step"] == 6
    np.testing.assert_array_equal(state["a"], 6.0)
    assert sorted(path.name for path in folder.iterdir()) == ["3", "6"]


def test_saves_are_due_at_multiples_and_the_last_few_are_kept(folder):
    checkpoints = Checkpoints(folder, every=2, keep=2)
    assert [step for step in range(1, 9) if checkpoints.due(step)] == [2, 4, 6, 8]
    train(checkpoints, 8)
    assert sorted(path.name for path in folder.iterdir()) == ["6", "8"]


def test_there_is_nothing_to_restore_at_the_start(folder):
    assert Checkpoints(folder, every=3).restore(state_of(0.0)) is None


@pytest.mark.parametrize("left", ["9", "9.orbax-checkpoint-tmp"])
def test_what_a_crash_left_unfinished_is_no_checkpoint(folder, left):
    train(Checkpoints(folder, every=3), 6)
    (folder / left).mkdir()
    again = Checkpoints(folder, every=3)
    assert again.restore(state_of(0.0))[1] == 6
    assert not (folder / left).exists()
    train(again, 9, first=7)  # nor does it stand in the way of the one that it was to be
    assert Checkpoints(folder, every=3).restore(state_of(0.0))[1] == 9


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
