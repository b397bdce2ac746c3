"""Orbax behind one door: checkpoints of a run on its way, and parameters when it is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

State = TypeVar("State")


class Checkpoints:
    """Asynchronous checkpoints of a training state and its place in the data.

    A checkpoint holds the state and one integer, the next batch. What a killed run left
    unfinished is cleaned up when the folder is opened again.
    """

    def __init__(self, folder: Path, *, every: int, keep: int = 2) -> None:
        """Opens `folder`; saves happen at multiples of `every` steps, `keep` are kept."""
        self._every = every
        _remove_unfinished(folder)
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
        )

    def restore(self, like: State) -> tuple[State, int] | None:
        """The newest state, on the shardings of `like`, and its next batch; None at the start."""
        step = self._manager.latest_step()
        if step is None:
            return None
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target), data=ocp.args.JsonRestore()
            ),
        )
        return restored["state"], int(restored["data"]["next_batch"])

    def due(self, step: int) -> bool:
        """Whether the state after `step` is to be saved."""
        return step % self._every == 0

    def save(self, step: int, state: Any, *, next_batch: int) -> None:
        """Starts a save; the arrays are copied before this returns."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                data=ocp.args.JsonSave({"next_batch": next_batch}),
            ),
        )

    def close(self) -> None:
        """Waits for saves under way."""
        self._manager.wait_until_finished()
        self._manager.close()


def _remove_unfinished(folder: Path) -> None:
    """Removes step folders that lack what Orbax writes last: it would take them for newest."""
    if jax.process_index() == 0:
        for step in folder.glob("[0-9]*"):
            if not (step / "_CHECKPOINT_METADATA").exists():
                shutil.rmtree(step)


def save_params(folder: Path, params: Any) -> None:
    """Writes parameters; an unfinished earlier attempt is replaced."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), params, force=True)


def load_params(folder: Path, like: State) -> State:
    """Reads parameters onto the shapes and shardings of `like`."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder.absolute(), like)
