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
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol, runtime_checkable

from chexjax.data.image_files import ImageRules, prepare
from chexjax.data.images import UnusableImage
from chexjax.data.sources.registry import Source, SourceConfig, open_source
from chexjax.data.study import IN_TWO_SPLITS, SPLITS, Rejected, Study, UnusableStudy
from chexjax.data.views import ViewRules, usable

Checked = Study | Rejected
"""A study that can be used, or the name of one that cannot, and why."""

_AT_A_TIME = 16  # studies a worker reads before it hands them over

_NONE: Mapping[int, int] = {}
_AS_THEY_ARE = ImageRules()
_FIRST_TWO = ViewRules()

# What a file of one study can do to its reader. Anything else is an error of ours.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    SyntaxError,
    EOFError,
    zlib.error,
)


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
            return itertools.chain.from_iterable(
                pool.map(_read_part, itertools.repeat(config), parts)
            )

        yield read


def check(
    source: Source,
    rows: Iterable[int],
    repeated: Mapping[int, int] = _NONE,
    images: ImageRules = _AS_THEY_ARE,
    views: ViewRules = _FIRST_TWO,
) -> Iterator[Checked]:
    """Reads studies, looks at each report and makes each image what studies keep of it.

    Whatever is wrong with a study is held against it alone, and with an image of several against
    that image.

    Args:
      source: Where they come from.
      rows: Their indices.
      repeated: What `repeats` found, which is not read.
      images: What becomes of images.
      views: How many of them are kept.

    Raises:
      ArtefactError: an image is DICOM, and nothing is installed that reads it.
    """
    for index in rows:
        if index in repeated:
            yield Rejected(source.id(index), _why_repeated(source, repeated[index], index))
        else:
            yield _read(source, index, images, views)


def repeats(source: Source) -> dict[int, int]:
    """Index of each study whose id an earlier study has -> index of the first that has it.

    Later stages find rows by their ids.
    """
    seen: dict[str, int] = {}
    found = {}
    for index in range(len(source)):
        first = seen.setdefault(source.id(index), index)
        if first != index:
            found[index] = first
    return found


@runtime_checkable
class _Splitting(Protocol):
    """A source in which rows of one id can be in different splits."""

    def split(self, index: int) -> str:
        """The split of a study, known without its report and images.

        Raises:
          UnusableStudy: its row cannot be read, or names no split.
        """
        ...


def _why_repeated(source: Source, first: int, index: int) -> str:
    """Names both splits where a study is in two: what is learnt from would be examined with."""
    if isinstance(source, _Splitting):
        with contextlib.suppress(UnusableStudy):
            both = {source.split(first), source.split(index)}
            if len(both) > 1:
                return f"{IN_TWO_SPLITS}: {', '.join(sorted(both, key=SPLITS.index))}"
    return "an earlier study has the same id"


def _read(source: Source, index: int, images: ImageRules, views: ViewRules) -> Checked:
    try:
        study = source[index]
        study.check()
        return usable(study, views, lambda data, edits: prepare(data, images, edits))
    except (UnusableStudy, UnusableImage) as error:
        return Rejected(source.id(index), str(error))
    except _UNREADABLE as error:
        # Not its message: that may quote the report, or a path made of patients' ids.
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        return Rejected(source.id(index), f"the study cannot be read: {why}")


def _read_part(config: SourceConfig, rows: range) -> list[Checked]:
    source, repeated = _open(config)
    return list(check(source, rows, repeated, config.image, config.views))


@functools.cache
def _open(config: SourceConfig) -> tuple[Source, Mapping[int, int]]:
    source = open_source(config)
    return source, repeats(source)


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
