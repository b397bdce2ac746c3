"""Reads a source in processes of their own, since drawing and decoding hold Python's lock.

A worker imports this room alone: no JAX, so it starts in a moment.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from chexjax.data.images import UnusableImage, open_image
from chexjax.data.sources import Source, SourceConfig, open_source
from chexjax.data.study import Study, UnusableStudy

Checked = tuple[Study, str | None]
"""A study, and why it cannot be used; None where it can."""

_AT_A_TIME = 16  # studies a worker reads before it hands them over


@contextlib.contextmanager
def reader(config: SourceConfig) -> Iterator[Callable[[range], Iterator[Checked]]]:
    """Starts the workers; what it gives reads a range of a source, in order.

    Raises:
      concurrent.futures.process.BrokenProcessPool: a worker was killed, as by a lack of memory.
    """
    with ProcessPoolExecutor(
        _processors(), multiprocessing.get_context("spawn"), initializer=_end_with_parent
    ) as pool:

        def read(rows: range) -> Iterator[Checked]:
            parts = [rows[k : k + _AT_A_TIME] for k in range(0, len(rows), _AT_A_TIME)]
            return itertools.chain.from_iterable(pool.map(_read, itertools.repeat(config), parts))

        yield read


def check(studies: Iterable[Study]) -> Iterator[Checked]:
    """Looks at each study's report and decodes each of its images whole."""
    for study in studies:
        try:
            study.check()
            for image in study.images:
                open_image(image)
        except (UnusableStudy, UnusableImage) as error:
            yield study, str(error)
        else:
            yield study, None


def _read(config: SourceConfig, rows: range) -> list[Checked]:
    return list(check(map(_open(config).__getitem__, rows)))


@functools.cache
def _open(config: SourceConfig) -> Source:
    return open_source(config)


def _processors() -> int:
    """What XLA was told to use (a container's quota, say), or all."""
    return int(os.environ.get("PJRT_NPROC") or os.cpu_count() or 1)


def _end_with_parent() -> None:
    """Ends this process when the one that started it dies, by `kill -9` too."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
