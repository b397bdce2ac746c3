"""`bench align`: steps of alignment, with the reference computed in the step and with its cache."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console

from chexjax.perf.align import jax_step, torch_step, trl_step, useful_flops
from chexjax.perf.bench import Step, Timing
from chexjax.perf.work import SIZES
from chexjax.stages import timing as timing_of

FORM = "chexjax bench align --size=M [--against=torch] [--against=trl] [--rounds=8] [--json=FILE]"
_OURS = "chexjax"
_MIB = 2**20


def bench(argv: Sequence[str], console: Console) -> None:
    """Runs the benchmark.

    Raises:
      ConfigError: there is no such size or peer, or a peer failed.
    """
    own = flags.FlagValues()
    flags.DEFINE_enum("size", "S", list(SIZES), "Of the work.", flag_values=own)
    given = timing_of.read(own, argv, FORM, peers=list(_PEERS), rounds=8)
    size = given["size"]
    busy = timing_of.busy()
    timings, most = timing_of.timed(_peers(size, given["against"]), given["rounds"])
    rows = {name: _row(size, name, timings, most) for name in timings}
    work = SIZES[size]
    title = (
        f"DPO step, size {size}: {work.pairs} pairs, prefix {work.prefix}, "
        f"{work.tokens} response tokens, float32"
    )
    caption = f"matmul peak, measured in turn: {most / 1e9:.0f} GFLOP/s; {busy}"
    console.print(timing_of.table(title, caption, _LINES, rows))
    numbers = {"work": f"align {size}", "matmul_gflops_per_second": most / 1e9, "peers": rows}
    timing_of.write(given["json"], numbers)


_PEERS: Mapping[str, Mapping[str, Callable[[str], Step]]] = {
    "torch": {"torch by hand, compiled": torch_step},
    "trl": {
        "TRL as shipped": functools.partial(trl_step, compact=False),
        "TRL, head on responses": functools.partial(trl_step, compact=True),
    },
}


def _peers(size: str, against: Sequence[str]) -> dict[str, Callable[[], Step]]:
    steps: dict[str, Callable[[str], Step]] = {
        _OURS: functools.partial(jax_step, cached=False),
        f"{_OURS}, cached reference": functools.partial(jax_step, cached=True),
    }
    for name in against:
        steps |= _PEERS[name]
    return {name: functools.partial(step, size) for name, step in steps.items()}


def _row(size: str, name: str, timings: Mapping[str, Timing], most: float) -> dict[str, Any]:
    timing, work = timings[name], SIZES[size]
    flops = useful_flops(size, cached="cached" in name)
    return {
        "seconds": timing.median,
        "spread": timing.spread,
        "all_seconds": list(timing.seconds),
        "times_ours": timing.median / timings[_OURS].median,
        "pairs_per_second": work.pairs / timing.median,
        "response_tokens_per_second": work.tokens / timing.median,
        "useful_gflops_per_second": flops / timing.median / 1e9,
        "useful_share": flops / timing.median / most,
        "compile_seconds": timing.compiling,
        "first_step_seconds": timing.first,
        "peak_mib": timing.peak / _MIB,
    }


_LINES = {
    "s / step": ("seconds", "{:.2f}"),
    "middle half": ("spread", "{:.0%}"),
    f"time, {_OURS} = 1": ("times_ours", "{:.2f}"),
    "pairs / s": ("pairs_per_second", "{:.2f}"),
    "response tokens / s": ("response_tokens_per_second", "{:,.0f}"),
    "useful GFLOP / s": ("useful_gflops_per_second", "{:.0f}"),
    "share of matmul peak": ("useful_share", "{:.0%}"),
    "compile s": ("compile_seconds", "{:.1f}"),
    "first step s": ("first_step_seconds", "{:.1f}"),
    "peak MiB": ("peak_mib", "{:,.0f}"),
}
