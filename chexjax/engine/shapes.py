"""The shapes that a request is computed in. They depend on the request alone, so that it does not
feel its neighbours: what runs beside it changes no program that it goes through.
"""

from __future__ import annotations

import dataclasses


def bucket(tokens: int, least: int) -> int:
    """The least size of a coarse ladder that holds so many: eight an octave, or `least` apart."""
    step = max(least, 1 << max(0, (tokens - 1).bit_length() - 4))
    return -(-tokens // step) * step


def pieces(tokens: int, chunk: int, least: int) -> tuple[int, ...]:
    """Sizes of the chunks that so many tokens of a prompt are read in."""
    whole, rest = divmod(tokens, chunk)
    return (chunk,) * whole + ((min(bucket(rest, least), chunk),) if rest else ())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """What requests have in common that stand in one pool.

    Attributes:
      rows: Room for the rows of a request, N.
      prefix: Room for the tokens that its rows share, behind the preamble; 0 for none.
      own: Room for those of a row.
      preamble: Whether they begin with the engine's preamble.
    """

    rows: int
    prefix: int
    own: int
    preamble: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How a prompt is read; requests of one shape and plan are read together.

    Attributes:
      prefix: Sizes of the chunks of what its rows share.
      rows: Sizes of the chunks of the rows.
      images: Shape of its pictures, which are read in one piece with the prefix.
    """

    prefix: tuple[int, ...]
    rows: tuple[int, ...]
    images: tuple[int, ...] | None
