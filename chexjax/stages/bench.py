"""`bench`: throughput on this machine, beside peers on the same work."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import write_atomic
from chexjax.config import ConfigError, nearest
from chexjax.config.command import read_flags
from chexjax.perf.align import jax_step, torch_step, trl_step, useful_flops
from chexjax.perf.bench import MATMUL_FLOPS, Step, Timing, alternate, matmul_step
from chexjax.perf.work import SIZES

_FORM = "chexjax bench align --size=M [--against=torch] [--against=trl] [--rounds=8] [--json=FILE]"
_OURS, _MATMUL = "chexjax", "matmul"
_MIB = 2**20


def bench(argv: Sequence[str], console: Console) -> None:
    """Times steps of alignment, with the reference computed in the step and with its cache.

    Raises:
      ConfigError: there is no such benchmark, size or peer.
    """
    own = flags.FlagValues()
    flags.DEFINE_enum("size", "S", list(SIZES), "Of the work.", flag_values=own)
    flags.DEFINE_multi_enum(
        "against", [], list(_PEERS), "Peers to alternate with.", flag_values=own
    )
    flags.DEFINE_integer("rounds", 8, "Steps to time.", lower_bound=2, flag_values=own)
    flags.DEFINE_string("json", None, "File for the numbers.", flag_values=own)
    what = read_flags(own, argv, _FORM)
    if what != ["align"]:
        found = " ".join(what) or "nothing"
        raise ConfigError(f"found {found} to bench{nearest(found, ['align'])}: write {_FORM}")
    given: dict[str, Any] = {name: own[name].value for name in own}
    size = given["size"]
    try:
        peers = _peers(size, given["against"]) | {_MATMUL: matmul_step}
        timings = alternate(peers, given["rounds"])
    except RuntimeError as error:
        raise ConfigError(
            f"bench: {error}; a peer may lack its library: CHEXJAX_EXTRAS=bench"
        ) from error
    most = MATMUL_FLOPS / min(timings.pop(_MATMUL).seconds)
    rows = {name: _row(size, name, timings, most) for name in timings}
    console.print(_table(size, rows, most))
    if given["json"]:
        numbers = {"work": f"align {size}", "matmul_gflops_per_second": most / 1e9, "peers": rows}
        text = json.dumps(numbers, indent=1)
        write_atomic(Path(given["json"]), text + "\n")


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


def _table(size: str, rows: Mapping[str, Mapping[str, Any]], most: float) -> Table:
    work = SIZES[size]
    table = Table(
        title=f"DPO step, size {size}: {work.pairs} pairs, prefix {work.prefix}, "
        f"{work.tokens} response tokens, float32",
        caption=f"matmul peak, measured in turn: {most / 1e9:.0f} GFLOP/s",
    )
    table.add_column("", no_wrap=True)
    for name in rows:
        table.add_column(name, justify="right")
    for heading, (field, form) in _LINES.items():
        table.add_row(heading, *(form.format(row[field]) for row in rows.values()))
    return table
