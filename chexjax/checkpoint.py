"""Orbax behind one door: checkpoints of a run on its way, and parameters when it is done."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from orbax.checkpoint import checkpoint_managers as preservation

from chexjax.distributed import alone, anywhere, is_first, meet
from chexjax.mesh import parameter_names, replicated
from chexjax.preemption import Preempted

State = TypeVar("State")

_DAMAGED = "damaged"
_SCORE = "score"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)  # what Orbax raises


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written, or none that can be read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keep:
    """Which checkpoints stay when newer ones are saved.

    Attributes:
      newest: So many of the newest, from which a run goes on.
      every: For good, those of steps that are multiples of this; 0 for none.
      best: For good, the one with the best score: the `least`, the `most`; empty for none.
    """

    newest: int = 2
    every: int = 0
    best: Literal["", "least", "most"] = ""

    def options(self) -> dict[str, Any]:
        """The same as options of Orbax."""
        policies: list[Any] = [preservation.LatestN(self.newest)]
        if self.every:
            policies.append(preservation.EveryNSteps(self.every))
        ranked: dict[str, Any] = {}
        if self.best:
            ranked = {"best_fn": _score, "best_mode": "min" if self.best == "least" else "max"}
            policies.append(
                preservation.BestN(
                    get_metric_fn=_score,
                    reverse=self.best == "least",
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        return {"preservation_policy": preservation.AnyPreservationPolicy(policies), **ranked}


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[_SCORE]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept(Generic[State]):
    """A checkpoint that stays for good.

    Attributes:
      step: Of the state.
      because: Which parts of `Keep` it stays by.
      state: As it was saved.
    """

    step: int
    because: tuple[str, ...]
    state: State


class Checkpoints:
    """Asynchronous checkpoints of a training state and of where the run stands.

    Beside the state a checkpoint holds what else a run goes on from, as JSON, and a digest of each
    array (see `digests`): storage may give back other bits than it was given, and Orbax would not
    know. What a killed run left unfinished is cleaned up when the folder is opened again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int,
        keep: Keep = Keep(),  # noqa: B008  (it is frozen)
        together: bool = False,
    ) -> None:
        """Opens `folder`.

        Args:
          folder: Made if it is not there.
          every: Saves are due at multiples of so many steps.
          keep: Which of them stay.
          together: The state lies on the devices of all processes of the job, which all do as this
            one does; else each process is for itself.
        """
        self._every, self._folder, self._together = every, folder, together
        self._keep = keep
        if self._leads:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(folder)
        self._meet(f"open {folder}")
        self._manager = _manager(
            folder, together=together, cleanup_tmp_directories=True, **keep.options()
        )

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The newest sound state, on the shardings of `like`, and its place; None at the start.

        The mesh may be another than the one that it was saved from. A damaged checkpoint is said
        on stderr and put aside, into the folder `damaged`, and the one before it is taken.

        Raises:
          CheckpointError: there are checkpoints, and none is sound.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            found, damage = self._read(step, like)
            if found is not None:
                return found
            self._put_aside(step, damage)
        if steps:
            raise CheckpointError(
                f"{self._folder}: none of the checkpoints of steps {steps[::-1]} can be read; they "
                f"are in {self._folder / _DAMAGED}: {damage}. Bring them back whole, or remove "
                "that folder to begin anew"
            )
        return None

    def due(self, step: int) -> bool:
        """Whether the state after `step` is to be saved."""
        return step % self._every == 0

    def save(
        self, step: int, state: Any, *, place: Mapping[str, Any], score: float | None = None
    ) -> None:
        """Starts a save; the arrays are copied before this returns.

        Args:
          step: Of the state.
          state: Arrays.
          place: Where the run stands, as JSON: what it must know beside the state to go on.
          score: By which the best one is kept; None for a checkpoint that is not to be that.

        Raises:
          CheckpointError: an array is not finite, or this or an earlier save could not be written;
            what was saved before it is still there.
        """
        names, (sums, finite) = parameter_names(state), jax.device_get(_sealed(state))
        if not finite.all():
            spoiled = names[int(np.argmin(finite))]
            raise CheckpointError(
                f"step {step}: {spoiled} is not finite and is not saved; lower the learning rate, "
                "and run again to go on from the checkpoint before"
            )
        seal = dict(zip(names, sums.tolist(), strict=True))
        note = {"place": dict(place), "place_digest": _crc(place), "digests": seal}
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(note))
        try:
            self._manager.save(step, args=args, metrics=None if score is None else {_SCORE: score})
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error

    def kept(self, like: State) -> Iterator[Kept[State]]:
        """The checkpoints that stay for good, when all are saved; a damaged one is put aside.

        Raises:
          CheckpointError: a save under way could not be written.
        """
        self._settle()
        steps = self._manager.all_steps()
        best = self._manager.best_step() if self._keep.best else None
        for step in sorted(steps):
            regular = bool(self._keep.every) and step % self._keep.every == 0
            because = ("every",) * regular + ("best",) * (step == best)
            if not because:
                continue
            found, damage = self._read(step, like)
            if found is None:
                self._put_aside(step, damage)
            else:
                yield Kept(step=step, because=because, state=found[0])

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Where one of several processes has failed, the others do not come to meet it.
        if kind is None or kind is Preempted or not self._together:
            self.close()

    def close(self) -> None:
        """Waits for saves under way, in all processes: one that ends may take the others with it.

        Raises:
          CheckpointError: one could not be written.
        """
        try:
            self._settle()
        finally:
            self._manager.close()

    def _settle(self) -> None:
        try:
            self._manager.wait_until_finished()
            self._meet(f"settle {self._folder}")
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error

    def _read(self, step: int, like: State) -> tuple[tuple[State, dict[str, Any]] | None, str]:
        """A checkpoint's state and place, or None and what is wrong with it, on all processes."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(target), data=ocp.args.JsonRestore()
        )
        read, damage = None, ""
        try:  # each process for itself: one that fails would keep the others waiting
            with _manager(self._folder, together=False) as reader:
                read = reader.restore(step, args=args)
                note = read["data"]["place"], read["data"]["digests"]
        except _UNREADABLE as error:
            damage = str(error).partition("\n")[0] or type(error).__name__
        if anywhere(bool(damage)) if self._together else damage:
            return None, damage or "another process cannot read it"
        assert read is not None
        damage = _difference(read["state"], read["data"])
        return (None, damage) if damage else ((read["state"], note[0]), "")

    def _put_aside(self, step: int, damage: str) -> None:
        """Makes room for a checkpoint of the same step, and loses nothing that might be mended."""
        if self._leads:
            aside = self._folder / _DAMAGED / str(step)
            aside.parent.mkdir(exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            (self._folder / str(step)).rename(aside)
            print(
                f"warning: the checkpoint of step {step} is damaged and now in {aside}: {damage}",
                file=sys.stderr,
                flush=True,
            )
        self._meet(f"aside {step}")
        self._manager.reload()

    @property
    def _leads(self) -> bool:
        return is_first() or not self._together

    def _meet(self, where: str) -> None:
        if self._together:
            meet(where)

    def _unwritten(self, error: Exception) -> CheckpointError:
        reason = str(error).partition("\n")[0]
        return CheckpointError(
            f"{self._folder}: a checkpoint could not be written: {reason}. What was saved before "
            "is still there: make room, and run again to go on from it"
        )


def _manager(folder: Path, *, together: bool, **options: Any) -> ocp.CheckpointManager:
    """Orbax's, for all processes of the job together or for each by itself."""
    processes = {} if together else {"multiprocessing_options": alone()}
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(
            create=False,
            enable_async_checkpointing=True,
            **options,
            **processes,
        ),
    )


def digests(state: Any) -> dict[str, int]:
    """A number of 32 bits for each array of a tree, by path; any flipped bit changes it.

    It does not know on how many devices the array lies.
    """
    return dict(
        zip(parameter_names(state), jax.device_get(_sealed(state)[0]).tolist(), strict=True)
    )


def _difference(state: Any, note: Mapping[str, Any]) -> str:
    """What of a checkpoint is not as it was written; empty where nothing is."""
    expected = note["digests"]
    changed = [name for name, digest in digests(state).items() if expected.get(name) != digest]
    if _crc(note["place"]) != note["place_digest"]:
        changed.append("the place in the run")
    return f"the digest of {changed[0]} is not the one it was saved with" if changed else ""


def _crc(place: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(place, sort_keys=True).encode())


def _sealed(state: Any) -> tuple[jax.Array, jax.Array]:
    """Digest of each array, `u32[n]`, and whether all of it is finite, `bool[n]`; see `digests`."""
    leaves = jax.tree.leaves(state)
    place = getattr(leaves[0], "sharding", None)
    mesh = place.mesh if isinstance(place, NamedSharding) else None
    sums, finite = _seal(replicated(mesh) if isinstance(mesh, Mesh) else None)(leaves)
    return sums, finite


@functools.cache
def _seal(place: NamedSharding | None) -> Any:
    def seal(leaves: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jnp.stack([_digest(x) for x in leaves]), jnp.stack([_finite(x) for x in leaves])

    return jax.jit(seal, out_shardings=place)


def _digest(x: jax.Array) -> jax.Array:
    """The sum of an array's bits, each word times an odd number of its place, modulo 2**32.

    It is the same in whatever order devices add. A bit flipped changes it by an odd number times a
    power of two below 2**32, which is never 0.
    """
    x = x.astype(jnp.uint8) if x.dtype == jnp.bool else x
    words = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    bits = jax.lax.bitcast_convert_type(x, words).astype(jnp.uint32)
    place = jnp.zeros(bits.shape, jnp.uint32)
    for axis, size in enumerate(bits.shape):
        place = place * np.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    place = place * np.uint32(0x9E3779B1)
    place = (place ^ (place >> 15)) * np.uint32(0x85EBCA6B)
    return (bits * (place | 1)).sum(dtype=jnp.uint32)


def _finite(x: jax.Array) -> jax.Array:
    return jnp.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.array(True)


def _remove_unfinished(folder: Path) -> None:
    """Removes step folders that lack what Orbax writes last: it would take them for newest."""
    for step in folder.glob("[0-9]*"):
        if not (step / "_CHECKPOINT_METADATA").exists():
            shutil.rmtree(step)


def save_params(folder: Path, params: Any) -> None:
    """Writes parameters; an unfinished earlier attempt is replaced.

    Those that lie on devices of several processes are written by all of these together.
    """
    with _checkpointer(params) as checkpointer:
        checkpointer.save(folder.absolute(), params, force=True)


def load_params(folder: Path, like: State) -> State:
    """Reads parameters onto the shapes and shardings of `like`."""
    with _checkpointer(like) as checkpointer:
        return checkpointer.restore(folder.absolute(), like)


def _checkpointer(params: Any) -> ocp.StandardCheckpointer:
    shardings = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(params)]
    together = any(place and not place.is_fully_addressable for place in shardings)
    return ocp.StandardCheckpointer(**({} if together else {"multiprocessing_options": alone()}))
