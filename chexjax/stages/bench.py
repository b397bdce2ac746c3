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
from chexjax.perf.align import jax_step, torch_step, useful_flops
from chexjax.perf.bench import Step, Timing, alternate
from chexjax.perf.work import SIZES

_FORM = "chexjax bench align --size=M [--against=torch] [--rounds=8] [--json=FILE]"
_OURS = "chexjax"
_MIB = 2**20


def bench(argv: Sequence[str], console: Console) -> None:
    """Times steps of alignment, with the reference computed in the step and with its cache.

    Raises:
      ConfigError: there is no such benchmark, size or peer.
    """
    own = flags.FlagValues()
    flags.DEFINE_enum("size", "S", list(SIZES), "Of the work.", flag_values=own)
    flags.DEFINE_enum("against", None, ["torch"], "A peer to alternate with.", flag_values=own)
    flags.DEFINE_integer("rounds", 8, "Steps to time.", lower_bound=2, flag_values=own)
    flags.DEFINE_string("json", None, "File for the numbers.", flag_values=own)
    what = read_flags(own, argv, _FORM)
    if what != ["align"]:
        found = " ".join(what) or "nothing"
        raise ConfigError(f"found {found} to bench{nearest(found, ['align'])}: write {_FORM}")
    given: dict[str, Any] = {name: own[name].value for name in own}
    size = given["size"]
    try:
        timings = alternate(_peers(size, given["against"]), given["rounds"])
    except RuntimeError as error:
        raise ConfigError(
            f"bench: {error}; a peer may lack its library: CHEXJAX_EXTRAS=bench"
        ) from error
    rows = {name: _row(size, name, timings) for name in timings}
    console.print(_table(size, rows))
    if given["json"]:
        text = json.dumps({"work": f"align {size}", "peers": rows}, indent=1)
        write_atomic(Path(given["json"]), text + "\n")


def _peers(size: str, against: str | None) -> dict[str, Callable[[], Step]]:
    peers: dict[str, Callable[[], Step]] = {
        _OURS: functools.partial(jax_step, size, cached=False),
        f"{_OURS}, cached reference": functools.partial(jax_step, size, cached=True),
    }
    if against:
        peers["torch by hand, compiled"] = functools.partial(torch_step, size)
    return peers


def _row(size: str, name: str, timings: Mapping[str, Timing]) -> dict[str, Any]:
    timing, work = timings[name], SIZES[size]
    flops = useful_flops(size, cached="cached" in name)
    return {
        "seconds": timing.median,
        "spread": timing.spread,
        "all_seconds": list(timing.seconds),
        "speed": timings[_OURS].median / timing.median,
        "pairs_per_second": work.pairs / timing.median,
        "response_tokens_per_second": work.tokens / timing.median,
        "useful_gflops_per_second": flops / timing.median / 1e9,
        "first_step_seconds": timing.first,
        "peak_mib": timing.peak / _MIB,
    }


_LINES = {
    "s / step": ("seconds", "{:.2f}"),
    "middle half": ("spread", "{:.0%}"),
    f"speed, {_OURS} = 1": ("speed", "{:.2f}"),
    "pairs / s": ("pairs_per_second", "{:.2f}"),
    "response tokens / s": ("response_tokens_per_second", "{:,.0f}"),
    "useful GFLOP / s": ("useful_gflops_per_second", "{:.0f}"),
    "first step s": ("first_step_seconds", "{:.1f}"),
    "peak MiB": ("peak_mib", "{:,.0f}"),
}


def _table(size: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    work = SIZES[size]
    table = Table(
        title=f"DPO step, size {size}: {work.pairs} pairs, prefix {work.prefix}, "
        f"{work.tokens} response tokens, float32"
    )
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    for heading, (field, form) in _LINES.items():
        table.add_row(heading, *(form.format(row[field]) for row in rows.values()))
    return table
