"""`bench data`: the input path of training, from records on disk to batches on the device."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from chexjax.perf import data_work
from chexjax.perf.bench import OURS, Step
from chexjax.perf.data_work import BATCH, SIDE, SIZES
from chexjax.stages.bench.timing import COST, TIME, Bench, Measured, Times, take_turns

_WORKERS = 2  # of the peer: as many as the threads that training reads with


def _define(own: flags.FlagValues) -> None:
    flags.DEFINE_float(
        "step_ms", 0.0, "The consumer is busy between batches.", lower_bound=0, flag_values=own
    )


def _measure(given: Mapping[str, Any]) -> Measured:
    size, step_ms = given["size"], given["step_ms"]
    records, pause = SIZES[size], step_ms / 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_work.write(folder, records)
        times = take_turns(_peers(folder, given["against"], pause), given["rounds"])
    side = data_work.family().vision.size
    return times.measured(
        f"data {size}",
        {name: _row(name, times, records, pause) for name in times.timings},
        _LINES,
        title=f"Input, size {size}: {records:,} grey JPEGs of {SIDE} px to {side} px x 3 "
        f"channels, three texts tokenised, batches of {BATCH}",
        caption=f"the consumer takes {step_ms:g} ms a batch",
        step_ms=step_ms,
    )


def _peers(folder: Path, against: Sequence[str], pause: float) -> dict[str, Callable[[], Step]]:
    peers: dict[str, Callable[[], Step]] = {
        OURS: functools.partial(_ours, folder, False, pause),
        f"{OURS}, normalised here": functools.partial(_ours, folder, True, pause),
    }
    if "torch" in against:
        peers["torch, in process"] = functools.partial(_torch, folder, 0, pause)
        peers[f"torch, {_WORKERS} workers"] = functools.partial(_torch, folder, _WORKERS, pause)
    return peers


def _ours(folder: Path, normalised: bool, pause: float) -> Step:
    from chexjax.perf.data import jax_pass

    return jax_pass(folder, normalised=normalised, step_seconds=pause)


def _torch(folder: Path, workers: int, pause: float) -> Step:
    from chexjax.perf.peers.torch_data import make_pass

    return make_pass(folder, workers=workers, step_seconds=pause)


def _row(name: str, times: Times, records: int, pause: float) -> dict[str, Any]:
    seconds = times.timings[name].median
    return {
        **times.row(name),
        "examples_per_second": records / seconds,
        "wait_ms_per_batch": 1000 * (seconds / (records / BATCH) - pause),
    }


_LINES = {
    **TIME,
    "examples / s": ("examples_per_second", "{:,.0f}"),
    "wait for a batch, ms": ("wait_ms_per_batch", "{:.1f}"),
    **COST,
}

DATA = Bench(
    name="data",
    measure=_measure,
    peers=["torch"],
    size="M",
    define=_define,
    own="[--step_ms=0]",
)
