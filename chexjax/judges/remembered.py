"""What a network made of a text is kept: references come again with each candidate and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

_MOST = 1 << 15
"""Texts kept; CheXbert's vectors of as many take 100 MB."""

Found = TypeVar("Found")


class Remembered(Generic[Found]):
    """Reads each text once, however often and by whomever it is asked for."""

    def __init__(self, read: Callable[[Sequence[str]], Iterable[Found]]) -> None:
        """Takes what reads texts: different ones in, as many findings out, in order."""
        self._read = read
        self._known: dict[str, Found] = {}

    def __call__(self, texts: Sequence[str]) -> list[Found]:
        """What there is to each text, in order."""
        asked = dict.fromkeys(texts)
        fresh = [text for text in asked if text not in self._known]
        if len(self._known) + len(fresh) > _MOST:
            self._known.clear()
            fresh = list(asked)
        if fresh:
            self._known.update(zip(fresh, self._read(fresh), strict=True))
        return [self._known[text] for text in texts]
