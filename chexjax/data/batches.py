"""Batches are planned, not found.

One global plan says which rows make which batch at which padded shape. It follows from seed,
epoch and lengths alone, so every process computes the same plan and takes its slice, and the
state of the iterator is one integer: the next batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np

from chexjax.data.mix import Mix

PADDING = -1
"""Row id that fills the last batch of an epoch; such a row has weight zero."""
_MOST_CUTS = 24
"""Lengths of prefix, or of response, at which buckets may end."""


class Bucket(NamedTuple):
    """A padded shape: prompt tokens before the last one, and response tokens."""

    prefix: int
    response: int


class PlannedBatch(NamedTuple):
    """One batch: its shape, and its rows in order (`PADDING` where there are none left)."""

    bucket: Bucket
    rows: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All batches of all epochs.

    Attributes:
      lengths: Prefix and longest response length of each row, `i32[M, 2]`.
      buckets: From the smallest to one that holds every row.
      batch_size: Rows of a global batch.
      seed: Of the shuffling; None keeps the rows in order.
      mix: What an epoch has of each group of rows; None for every row once.
    """

    lengths: np.ndarray
    buckets: tuple[Bucket, ...]
    batch_size: int
    seed: int | None
    mix: Mix | None = None

    @property
    def batches_per_epoch(self) -> int:
        """The same in every epoch, since it depends on the number of its rows alone."""
        rows = len(self.lengths) if self.mix is None else sum(self.mix.counts)
        return -(-rows // self.batch_size)

    def epoch(self, number: int) -> list[PlannedBatch]:
        """The batches of one epoch; without a mix each row stands in exactly one of them.

        What does not fill a batch of its bucket moves up to the next larger one, so only the
        last batch is padded.
        """
        rows = np.arange(len(self.lengths))
        if self.mix is not None:
            rows = self.mix.epoch(number, self.seed)
        rng = None if self.seed is None else np.random.default_rng((self.seed, number))
        order = rows if rng is None else rng.permutation(rows)
        home = self._home(order)
        batches: list[PlannedBatch] = []
        left = np.zeros(0, order.dtype)
        for index, bucket in enumerate(self.buckets):
            held = np.concatenate([left, order[home == index]])
            whole = len(held) // self.batch_size * self.batch_size
            batches += [PlannedBatch(bucket, r) for r in held[:whole].reshape(-1, self.batch_size)]
            left = held[whole:]
        if len(left):
            padded = np.pad(left, (0, self.batch_size - len(left)), constant_values=PADDING)
            batches.append(PlannedBatch(self.buckets[-1], padded))
        return batches if rng is None else [batches[k] for k in rng.permutation(len(batches))]

    def batch(self, index: int) -> PlannedBatch:
        """The batch at a place counted over epochs."""
        epoch, number = divmod(index, self.batches_per_epoch)
        return self.epoch(epoch)[number]

    def _home(self, order: np.ndarray) -> np.ndarray:
        """Index of the smallest bucket that holds each row of `order`."""
        shapes = np.asarray(self.buckets)
        fits = (self.lengths[order][:, None, :] <= shapes[None]).all(-1)
        return fits.argmax(-1)


def make_buckets(lengths: np.ndarray, count: int, multiple: int = 8) -> tuple[Bucket, ...]:
    """At most `count` shapes, each within the next, cut so that rows are padded least.

    Args:
      lengths: `i32[M, 2]`, prefix and response.
      count: How many programs a run may compile for this data.
      multiple: Shapes are rounded up to it.

    Raises:
      ValueError: there are no rows.
    """
    if not len(lengths):
        raise ValueError("no rows to make buckets for")
    rounded = -(-np.asarray(lengths, np.int64) // multiple) * multiple
    axes = [_cuts(rounded[:, axis]) for axis in range(2)]
    held = np.zeros([len(axis) for axis in axes], np.int64)
    homes = [np.searchsorted(axis, rounded[:, k]) for k, axis in enumerate(axes)]
    np.add.at(held, tuple(homes), 1)
    shapes = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    chosen = _best_chain(shapes, held.cumsum(0).cumsum(1).ravel(), count)
    return tuple(Bucket(*shapes[k].tolist()) for k in chosen)


def plan_by_images(
    images: Sequence[int], lengths: np.ndarray, size: int
) -> list[tuple[PlannedBatch, int]]:
    """Batches of rows that show equally many images, in order, and the image slots of each.

    One program for each number of images: no row pays for images that others show.

    Args:
      images: Images of each row.
      lengths: `i32[M, 2]`, prefix and response.
      size: Rows of a batch.
    """
    shown = np.asarray(images)
    planned = []
    for count in np.unique(shown):
        rows = np.flatnonzero(shown == count)
        [bucket] = make_buckets(lengths[rows], 1)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            padded = np.pad(part, (0, size - len(part)), constant_values=PADDING)
            planned.append((PlannedBatch(bucket, padded), max(1, int(count))))
    return planned


def _cuts(values: np.ndarray) -> np.ndarray:
    """Where an axis may be cut: at every value, or at some of very many; the largest included."""
    found = np.unique(values)
    if len(found) > _MOST_CUTS:
        shares = np.linspace(0, 1, _MOST_CUTS)
        found = np.unique(np.quantile(values, shares, method="higher"))
    return found


def _best_chain(shapes: np.ndarray, held: np.ndarray, count: int) -> tuple[int, ...]:
    """At most `count` of `shapes`, the last included, with the fewest padded tokens in all.

    Dynamic programming: `best[k]` is the cheapest way to pad the rows that shape k holds, a row to
    the first shape of a chain that holds it.

    Args:
      shapes: Prefix and response, `i64[S, 2]`; the last holds all rows.
      held: Rows that each shape holds, `i64[S]`.
      count: Most shapes.
    """
    size = shapes.sum(1)
    within = (shapes[:, None] <= shapes[None]).all(-1)
    rest = np.where(within, size * (held[None] - held[:, None]), np.inf)
    best = (size * held).astype(np.float64)
    chains = [(k,) for k in range(len(shapes))]
    for _ in range(count - 1):
        costs = best[:, None] + rest
        before, least = costs.argmin(0), costs.min(0)
        better = np.flatnonzero(least < best)
        extended = {k: (*chains[before[k]], k) for k in better.tolist()}
        best = np.minimum(best, least)
        for k, chain in extended.items():
            chains[k] = chain
    return chains[-1]


Collate = Callable[[PlannedBatch], dict[str, Any]]


class _Source:
    """Batches of all epochs as one random-access sequence, sliced for one process."""

    def __init__(
        self, plan: Plan, collate: Collate, total: int, process: int, processes: int
    ) -> None:
        if plan.batch_size % processes:
            raise ValueError(
                f"batch_size={plan.batch_size} cannot be shared by {processes} processes"
            )
        self._plan, self._collate, self._total = plan, collate, total
        self._process, self._processes = process, processes
        self._epoch = functools.lru_cache(maxsize=2)(plan.epoch)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch, batch = divmod(int(index), self._plan.batches_per_epoch)
        planned = self._epoch(epoch)[batch]
        mine = np.split(planned.rows, self._processes)[self._process]
        return self._collate(PlannedBatch(planned.bucket, mine))


def iterate(
    plan: Plan,
    collate: Collate,
    *,
    start: int,
    total: int,
    process: int = 0,
    processes: int = 1,
    threads: int = 2,
) -> Iterator[dict[str, Any]]:
    """Batches `start` to `total` of a plan, made ahead of time off the main thread.

    Args:
      plan: The global plan.
      collate: Makes the arrays of one batch.
      start: The next batch: the whole state of the iterator.
      total: Where to stop, counted over epochs.
      process: Which slice of each batch is this process's.
      processes: Number of slices.
      threads: Threads that decode and tokenise.
    """
    source = _Source(plan, collate, total, process, processes)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(grain.MapDataset.source(source)[start:].to_iter_dataset(options))


def pad_rows(rows: Sequence[Sequence[Any]], length: int, dtype: Any) -> np.ndarray:
    """Right-pads ragged rows with zeros, `dtype[len(rows), length]`."""
    padded = np.zeros((len(rows), length), dtype)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded


def valid_rows(rows: Sequence[Sequence[Any]], length: int) -> np.ndarray:
    """Where `pad_rows` puts values and no padding, `bool[len(rows), length]`."""
    return np.arange(length) < np.asarray([len(row) for row in rows])[:, None]
