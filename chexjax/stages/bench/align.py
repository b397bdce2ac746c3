"""`bench align`: steps of alignment, with the reference computed in the step and with its cache."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chexjax.perf.align import jax_step, torch_step, trl_step, useful_flops
from chexjax.perf.bench import OURS, Step
from chexjax.perf.work import SIZES
from chexjax.stages.bench.timing import COST, TIME, USE, Bench, Measured, Times, take_turns


def _measure(given: Mapping[str, Any]) -> Measured:
    size = given["size"]
    work = SIZES[size]
    times = take_turns(_peers(size, given["against"]), given["rounds"])
    return times.measured(
        f"align {size}",
        {name: _row(size, name, times) for name in times.timings},
        _LINES,
        title=f"DPO step, size {size}: {work.pairs} pairs, prefix {work.prefix}, "
        f"{work.tokens} response tokens, float32",
    )


_PEERS: Mapping[str, Mapping[str, Callable[[str], Step]]] = {
    "torch": {"torch by hand, compiled": torch_step},
    "trl": {
        "TRL as shipped": functools.partial(trl_step, compact=False),
        "TRL, head on responses": functools.partial(trl_step, compact=True),
    },
}


def _peers(size: str, against: Sequence[str]) -> dict[str, Callable[[], Step]]:
    steps: dict[str, Callable[[str], Step]] = {
        OURS: functools.partial(jax_step, cached=False),
        f"{OURS}, cached reference": functools.partial(jax_step, cached=True),
    }
    for name in against:
        steps |= _PEERS[name]
    return {name: functools.partial(step, size) for name, step in steps.items()}


def _row(size: str, name: str, times: Times) -> dict[str, Any]:
    seconds, work = times.timings[name].median, SIZES[size]
    return {
        **times.row(name),
        **times.use(name, useful_flops(size, cached="cached" in name)),
        "pairs_per_second": work.pairs / seconds,
        "response_tokens_per_second": work.tokens / seconds,
    }


_LINES = {
    **TIME,
    "pairs / s": ("pairs_per_second", "{:.2f}"),
    "response tokens / s": ("response_tokens_per_second", "{:,.0f}"),
    **USE,
    **COST,
}

ALIGN = Bench(name="align", measure=_measure, peers=list(_PEERS), rounds=8)
