"""`bench data`: the input path of training, from records on disk to batches on the device."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from chexjax.perf import data_work
from chexjax.perf.bench import Step, Timing
from chexjax.perf.data_work import BATCH, SIDE, SIZES
from chexjax.stages import timing as timing_of

FORM = "chexjax bench data --size=M [--against=torch] [--step_ms=0] [--rounds=5] [--json=FILE]"
_OURS = "chexjax"
_WORKERS = 2  # of the peer: as many as the threads that training reads with
_MIB = 2**20


def bench(argv: Sequence[str], console: Console) -> None:
    """Runs the benchmark.

    Raises:
      ConfigError: there is no such size or peer, or a peer failed.
    """
    own = flags.FlagValues()
    flags.DEFINE_enum("size", "M", list(SIZES), "Number of records.", flag_values=own)
    flags.DEFINE_float(
        "step_ms", 0.0, "The consumer is busy between batches.", lower_bound=0, flag_values=own
    )
    given = timing_of.read(own, argv, FORM, peers=["torch"], rounds=5)
    records, pause = SIZES[given["size"]], given["step_ms"] / 1000
    busy = timing_of.busy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_work.write(folder, records)
        peers = _peers(folder, given["against"], pause)
        timings, most = timing_of.timed(peers, given["rounds"])
    rows = {name: _row(name, timings, records, pause) for name in timings}
    side = data_work.family().vision.size
    title = (
        f"Input, size {given['size']}: {records:,} grey JPEGs of {SIDE} px to {side} px x 3 "
        f"channels, three texts tokenised, batches of {BATCH}"
    )
    caption = f"the consumer takes {given['step_ms']:g} ms a batch; {busy}"
    console.print(timing_of.table(title, caption, _LINES, rows))
    numbers = {"work": f"data {given['size']}", "matmul_gflops_per_second": most / 1e9}
    timing_of.write(given["json"], {**numbers, "step_ms": given["step_ms"], "peers": rows})


def _peers(folder: Path, against: Sequence[str], pause: float) -> dict[str, Callable[[], Step]]:
    peers: dict[str, Callable[[], Step]] = {
        _OURS: functools.partial(_ours, folder, False, pause),
        f"{_OURS}, normalised here": functools.partial(_ours, folder, True, pause),
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


def _row(name: str, timings: Mapping[str, Timing], records: int, pause: float) -> dict[str, Any]:
    timing = timings[name]
    batches = records / BATCH
    return {
        "seconds": timing.median,
        "spread": timing.spread,
        "all_seconds": list(timing.seconds),
        "examples_per_second": records / timing.median,
        "times_ours": timing.median / timings[_OURS].median,
        "wait_ms_per_batch": 1000 * (timing.median / batches - pause),
        "first_seconds": timing.first,
        "peak_mib": timing.peak / _MIB,
    }


_LINES = {
    "examples / s": ("examples_per_second", "{:,.0f}"),
    "middle half": ("spread", "{:.0%}"),
    f"time, {_OURS} = 1": ("times_ours", "{:.2f}"),
    "wait for a batch, ms": ("wait_ms_per_batch", "{:.1f}"),
    "first pass s": ("first_seconds", "{:.1f}"),
    "peak MiB": ("peak_mib", "{:,.0f}"),
}
