"""`bench judge`: judging by our engine, beside other engines on the same parameters and prompts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from chexjax.perf import jax_judge, judge_work, machine
from chexjax.perf.bench import OURS, Step
from chexjax.perf.judge_work import SIZES, WORKS, Size, Work
from chexjax.perf.judges import PEERS, answers_file, peer_step
from chexjax.stages.bench.timing import COST, TIME, USE, Bench, Measured, Times, take_turns


def _define(own: flags.FlagValues) -> None:
    flags.DEFINE_enum("work", "prefix", list(WORKS), "Lengths of texts.", flag_values=own)
    flags.DEFINE_integer(
        "threads", machine.cores(), "Of each peer.", lower_bound=1, flag_values=own
    )


def _measure(given: Mapping[str, Any]) -> Measured:
    size, against = SIZES[given["size"]], given["against"]
    work = dataclasses.replace(WORKS[given["work"]], threads=given["threads"])
    with _threads(work.threads), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, size, work, against)
        times = take_turns(_peers(folder, size, work, against), given["rounds"])
        rows = {name: _row(size, work, folder, name, times) for name in times.timings}
    flops, moved = judge_work.useful_flops(size, work), judge_work.useful_bytes(size, work)
    return times.measured(
        f"judge {given['size']} {given['work']}",
        rows,
        _LINES,
        title=f"Judging, size {given['size']}, {given['work']}: {work.requests} requests, "
        f"{work.asked:,} prompt tokens ({work.distinct:,} if shared ones are read once), "
        f"{work.written:,} new tokens, float32, {work.threads} threads",
        caption=f"counted: {flops / 1e9:,.0f} GFLOP, {moved / 1e9:,.0f} GB",
        counted_gflop=flops / 1e9,
        counted_gigabytes=moved / 1e9,
    )


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """XLA's and OpenMP's counts, which are read when a process starts to compute."""
    names = ("PJRT_NPROC", "OMP_NUM_THREADS")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ |= dict.fromkeys(names, str(count))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ |= before


def _prepare(folder: Path, size: Size, work: Work, against: Sequence[str]) -> None:
    """Writes the parameters once for all."""
    family = judge_work.family(size, work)
    jax_judge.write_checkpoint(folder, family)
    if "llamacpp" in against:
        from chexjax.perf.judge_gguf import write_gguf

        write_gguf(folder, family)


def _peers(
    folder: Path, size: Size, work: Work, against: Sequence[str]
) -> dict[str, Callable[[], Step]]:
    steps: dict[str, Callable[[Path, Size, Work], Step]] = {OURS: jax_judge.jax_step}
    for name in against:
        steps[name] = functools.partial(peer_step, name)
    return {name: functools.partial(step, folder, size, work) for name, step in steps.items()}


def _row(size: Size, work: Work, folder: Path, name: str, times: Times) -> dict[str, Any]:
    seconds = times.timings[name].median
    ours, theirs = (np.load(answers_file(folder, which)) for which in (OURS, name))
    return {
        **times.row(name),
        **times.use(name, judge_work.useful_flops(size, work)),
        "requests_per_second": work.requests / seconds,
        "new_tokens_per_second": work.written / seconds,
        "prompt_tokens_per_second": work.asked / seconds,
        "distinct_prompt_tokens_per_second": work.distinct / seconds,
        "same_tokens": float((ours == theirs).mean()),
        "useful_gigabytes_per_second": judge_work.useful_bytes(size, work) / seconds / 1e9,
    }


_LINES = {
    **TIME,
    "requests / s": ("requests_per_second", "{:.2f}"),
    "new tokens / s": ("new_tokens_per_second", "{:,.0f}"),
    "prompt tokens / s": ("prompt_tokens_per_second", "{:,.0f}"),
    "the same, shared ones once": ("distinct_prompt_tokens_per_second", "{:,.0f}"),
    f"tokens as {OURS}": ("same_tokens", "{:.1%}"),
    **USE,
    "useful GB / s": ("useful_gigabytes_per_second", "{:.1f}"),
    **COST,
}

JUDGE = Bench(
    name="judge",
    measure=_measure,
    peers=PEERS,
    define=_define,
    own="[--work=green] [--threads=2]",
)
