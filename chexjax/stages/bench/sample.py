"""`bench sample`: candidate reports by our engine, beside transformers on the same parameters."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from chexjax.perf import sample_work
from chexjax.perf.bench import OURS, Step
from chexjax.perf.sample import hf_step, jax_step, write_checkpoint
from chexjax.perf.sample_work import SIZES, Work
from chexjax.stages.bench.timing import COST, TIME, USE, Bench, Measured, Times, take_turns
from chexjax.stages.generation import batching


def _measure(given: Mapping[str, Any]) -> Measured:
    size, work = given["size"], SIZES[given["size"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder, work)
        times = take_turns(_peers(folder, work, given["against"]), given["rounds"])
    flops = sample_work.useful_flops(work)
    return times.measured(
        f"sample {size}",
        {name: _row(name, times, work) for name in times.timings},
        _LINES,
        title=f"Sampling, size {size}: {work.studies} studies, {work.candidates} reports of each, "
        f"prompts of {work.visual} visual and {work.text} text tokens, {work.new} new tokens a "
        f"report at temperature {work.temperature:g}, float32",
        caption=f"counted: {flops / 1e9:,.0f} GFLOP; prompt tokens count once for all reports",
        counted_gflop=flops / 1e9,
    )


_PEERS: Mapping[str, Mapping[str, Callable[[Path, Work], Step]]] = {
    "hf": {
        "transformers as shipped": functools.partial(hf_step, shared=False),
        "transformers, prompts read once, compiled": functools.partial(hf_step, shared=True),
    },
}


def _peers(folder: Path, work: Work, against: Sequence[str]) -> dict[str, Callable[[], Step]]:
    config = batching(work.studies, work.candidates, jax.default_backend())
    steps: dict[str, Callable[[Path, Work], Step]] = {
        OURS: functools.partial(jax_step, config=config)
    }
    for name in against:
        steps |= _PEERS[name]
    return {name: functools.partial(step, folder, work) for name, step in steps.items()}


def _row(name: str, times: Times, work: Work) -> dict[str, Any]:
    seconds = times.timings[name].median
    return {
        **times.row(name),
        **times.use(name, sample_work.useful_flops(work)),
        "studies_per_second": work.studies / seconds,
        "new_tokens_per_second": work.written / seconds,
        "prompt_tokens_per_second": work.asked / seconds,
    }


_LINES = {
    **TIME,
    "studies / s": ("studies_per_second", "{:.2f}"),
    "new tokens / s": ("new_tokens_per_second", "{:,.0f}"),
    "prompt tokens / s": ("prompt_tokens_per_second", "{:,.0f}"),
    **USE,
    **COST,
}

SAMPLE = Bench(name="sample", measure=_measure, peers=list(_PEERS))
