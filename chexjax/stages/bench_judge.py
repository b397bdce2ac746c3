"""`bench judge`: judging by our engine, beside other engines on the same parameters and prompts."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from rich.console import Console

from chexjax.config import ConfigError
from chexjax.perf import jax_judge, judge_work
from chexjax.perf.bench import Step, Timing
from chexjax.perf.judge_work import SIZES, WORKS, Size, Work
from chexjax.perf.judges import OURS, PEERS, absent, answers_file, peer_step
from chexjax.stages import timing as timing_of

FORM = (
    "chexjax bench judge --size=M [--work=green] [--against=hf] [--against=llamacpp] "
    "[--against=vllm] [--threads=2] [--rounds=5] [--json=FILE]"
)
_MIB = 2**20


def bench(argv: Sequence[str], console: Console) -> None:
    """Runs the benchmark.

    Raises:
      ConfigError: there is no such size, work or peer, or a peer is not installed or failed.
    """
    own = flags.FlagValues()
    flags.DEFINE_enum("size", "S", list(SIZES), "Of the judge.", flag_values=own)
    flags.DEFINE_enum("work", "prefix", list(WORKS), "Lengths of texts.", flag_values=own)
    flags.DEFINE_integer("threads", 2, "Of each peer.", lower_bound=1, flag_values=own)
    given = timing_of.read(own, argv, FORM, peers=list(PEERS), rounds=5)
    for name, how in absent(given["against"]).items():
        raise ConfigError(f"--against={name} is not installed: {how}")
    size = SIZES[given["size"]]
    work = dataclasses.replace(WORKS[given["work"]], threads=given["threads"])
    # XLA's and OpenMP's counts are read when a process starts to compute.
    os.environ |= dict.fromkeys(("PJRT_NPROC", "OMP_NUM_THREADS"), str(work.threads))
    busy = timing_of.busy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, size, work, given["against"])
        peers = _peers(folder, size, work, given["against"])
        timings, most = timing_of.timed(peers, given["rounds"])
        rows = {name: _row(size, work, folder, name, timings, most) for name in timings}
    title, caption = _heading(given, size, work, most)
    console.print(timing_of.table(title, f"{caption}; {busy}", _LINES, rows))
    numbers = {
        "work": f"judge {given['size']} {given['work']}",
        "counted_gflop": judge_work.useful_flops(size, work) / 1e9,
        "counted_gigabytes": judge_work.useful_bytes(size, work) / 1e9,
        "matmul_gflops_per_second": most / 1e9,
        "peers": rows,
    }
    timing_of.write(given["json"], numbers)


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


def _row(
    size: Size, work: Work, folder: Path, name: str, timings: Mapping[str, Timing], most: float
) -> dict[str, Any]:
    timing = timings[name]
    ours, theirs = (np.load(answers_file(folder, which)) for which in (OURS, name))
    flops = judge_work.useful_flops(size, work)
    return {
        "seconds": timing.median,
        "spread": timing.spread,
        "all_seconds": list(timing.seconds),
        "times_ours": timing.median / timings[OURS].median,
        "requests_per_second": work.requests / timing.median,
        "new_tokens_per_second": work.written / timing.median,
        "prompt_tokens_per_second": work.asked / timing.median,
        "distinct_prompt_tokens_per_second": work.distinct / timing.median,
        "same_tokens": float((ours == theirs).mean()),
        "useful_gflops_per_second": flops / timing.median / 1e9,
        "useful_share": flops / timing.median / most,
        "useful_gigabytes_per_second": judge_work.useful_bytes(size, work) / timing.median / 1e9,
        "compile_seconds": timing.compiling,
        "first_step_seconds": timing.first,
        "peak_mib": timing.peak / _MIB,
    }


_LINES = {
    "s": ("seconds", "{:.2f}"),
    "middle half": ("spread", "{:.0%}"),
    f"time, {OURS} = 1": ("times_ours", "{:.2f}"),
    "requests / s": ("requests_per_second", "{:.2f}"),
    "new tokens / s": ("new_tokens_per_second", "{:,.0f}"),
    "prompt tokens / s": ("prompt_tokens_per_second", "{:,.0f}"),
    "the same, shared ones once": ("distinct_prompt_tokens_per_second", "{:,.0f}"),
    f"tokens as {OURS}": ("same_tokens", "{:.1%}"),
    "useful GFLOP / s": ("useful_gflops_per_second", "{:.0f}"),
    "share of matmul peak": ("useful_share", "{:.0%}"),
    "useful GB / s": ("useful_gigabytes_per_second", "{:.1f}"),
    "compile s": ("compile_seconds", "{:.1f}"),
    "first s": ("first_step_seconds", "{:.1f}"),
    "peak MiB": ("peak_mib", "{:,.0f}"),
}


def _heading(given: Mapping[str, Any], size: Size, work: Work, most: float) -> tuple[str, str]:
    title = (
        f"Judging, size {given['size']}, {given['work']}: {work.requests} requests, "
        f"{work.asked:,} prompt tokens ({work.distinct:,} if shared ones are read once), "
        f"{work.written:,} new tokens, float32, {work.threads} threads"
    )
    flops, moved = judge_work.useful_flops(size, work), judge_work.useful_bytes(size, work)
    caption = (
        f"counted: {flops / 1e9:,.0f} GFLOP, {moved / 1e9:,.0f} GB; "
        f"matmul peak, measured in turn: {most / 1e9:.0f} GFLOP/s"
    )
    return title, caption
