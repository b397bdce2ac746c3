"""Epochs in which groups of rows have shares of their own, planned like all batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

_Name = TypeVar("_Name", bound=Hashable)

_MIX = 0x6D6978  # keeps the orders within groups apart from those of whole epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix:
    """Groups of rows that have other shares of an epoch than their sizes.

    A group goes through all of its rows, each time in another order, before it repeats one: an
    epoch begins where the one before has stopped.

    Attributes:
      groups: Rows of each group; none may be empty.
      counts: How many rows an epoch has of each group.
    """

    groups: Sequence[np.ndarray]
    counts: Sequence[int]

    def epoch(self, number: int, seed: int | None) -> np.ndarray:
        """The rows of an epoch, group after group; without a seed in their own order."""
        found = [np.zeros(0, np.intp)]
        for group, (rows, count) in enumerate(zip(self.groups, self.counts, strict=True)):
            laps, places = np.divmod(np.arange(number * count, (number + 1) * count), len(rows))
            for lap in np.unique(laps):
                order = rows
                if seed is not None:
                    order = np.random.default_rng((seed, int(lap), group, _MIX)).permutation(rows)
                found.append(order[places[laps == lap]])
        return np.concatenate(found)


def make_mix(groups: Mapping[_Name, np.ndarray], shares: Mapping[_Name, float]) -> Mix:
    """Shares an epoch out, which has as many rows as there are.

    Args:
      groups: The rows of each group.
      shares: Of the epoch, by group; their sum may be anything above 0.

    Returns:
      The counts nearest to the shares; what rounding leaves goes to the largest remainders.
    """
    total = sum(len(rows) for rows in groups.values())
    exact = np.asarray([shares[name] for name in groups], np.float64)
    exact *= total / exact.sum()
    counts = np.floor(exact).astype(int)
    last = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[last] += 1
    return Mix(groups=list(groups.values()), counts=counts.tolist())
