"""`bench`: throughput on this machine, beside peers on the same work."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from chexjax.config import ConfigError, nearest
from chexjax.stages import bench_align, bench_data, bench_judge

_BENCHES = {
    "align": (bench_align.bench, bench_align.FORM),
    "data": (bench_data.bench, bench_data.FORM),
    "judge": (bench_judge.bench, bench_judge.FORM),
}


def bench(argv: Sequence[str], console: Console) -> None:
    """Runs one of the benchmarks.

    Raises:
      ConfigError: there is no such benchmark, size or peer, or a peer is not installed.
    """
    what, *rest = argv or ["nothing"]
    if what not in _BENCHES:
        forms = " or ".join(form for _, form in _BENCHES.values())
        raise ConfigError(f"found {what} to bench{nearest(what, _BENCHES)}: write {forms}")
    _BENCHES[what][0](rest, console)
