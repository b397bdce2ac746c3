"""Texts through a local encoder, in a handful of fixed shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import jax

_SHORTEST = 32  # tokens of the narrowest program; each wider one is twice as wide
_TOKENS = {"cpu": 2048}  # of one program's batch
_TOKENS_ELSEWHERE = 16384


def bucket(length: int, limit: int) -> int:
    """Width of the program that takes `length` tokens: a power of two, at most `limit`."""
    return min(max(_SHORTEST, 1 << math.ceil(math.log2(max(length, 1)))), limit)


def batches(lengths: Sequence[int], limit: int) -> Iterator[tuple[int, int, list[int]]]:
    """Cuts work into batches of few shapes.

    Args:
      lengths: Tokens of each item, the most of its texts.
      limit: Most tokens of a text.

    Yields:
      Width, rows of the program, and the numbers of the items, no more than there are rows.
    """
    widths = [bucket(length, limit) for length in lengths]
    for width in sorted(set(widths)):
        rows = max(1, _TOKENS.get(jax.default_backend(), _TOKENS_ELSEWHERE) // width)
        items = [k for k, one in enumerate(widths) if one == width]
        yield from ((width, rows, items[k : k + rows]) for k in range(0, len(items), rows))
