"""Visual tokens on disk: what tower and connector make of each study, encoded once.

One zarr3 array `[M, K, D]` that TensorStore reads and writes. A unit of work is one file, with an
index of its chunks, so that a study is read without its neighbours. A chunk is the longest run of
tokens that is there as a whole or not at all, and one that is not takes no space: studies with
fewer images than others take less. Every chunk has its checksum, tested whenever it is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from chexjax.artefacts import ArtefactError


class VisualTokens:
    """Visual tokens of studies, read when asked for, from any thread."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        """Opens the array in `folder`, whose first rows are these studies.

        Raises:
          ArtefactError: there is none, or it cannot be read.
        """
        self._folder = folder
        self._places: Mapping[str, int] = {name: row for row, name in enumerate(ids)}
        with _explained("read", folder):
            self._array = ts.open(_location(folder)).result()

    @property
    def dtype(self) -> np.dtype[Any]:
        """What they are stored in."""
        return self._array.dtype.numpy_dtype

    def __call__(self, ids: Sequence[str]) -> np.ndarray:
        """Tokens of some studies, zeros behind those of the last image, `[B, K, D]`.

        Raises:
          ArtefactError: a file is missing or damaged.
        """
        rows = np.asarray([self._places[name] for name in ids])
        with _explained("read", self._folder):
            found: np.ndarray = self._array[rows].read().result()
        return found


class VisualWriter:
    """The array being filled, unit by unit."""

    def __init__(
        self, folder: Path, units: int, shape: tuple[int, int, int], *, run: int, dtype: Any
    ) -> None:
        """Makes the array, or takes over what a killed attempt left of the same one.

        Args:
          folder: Where it is.
          units: Units of work; the array has room for whole ones only, or TensorStore would read
            a last, shorter one to write it, which may be what a kill left damaged.
          shape: Studies in a unit, tokens and width, `(B, K, D)`.
          run: Tokens that are there, or not there, together; divides K.
          dtype: Of the numbers.

        Raises:
          ArtefactError: another array is there, or it cannot be written.
        """
        self._folder, self._size = folder, shape[0]
        for leftover in folder.rglob("*.__lock"):  # TensorStore writes over it, not it anew
            leftover.unlink()
        inner = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {"chunk_shape": [1, run, shape[2]], "codecs": inner}
        metadata = {
            "shape": [units * shape[0], *shape[1:]],
            "data_type": np.dtype(dtype).name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        }
        spec = {**_location(folder), "metadata": metadata, "create": True, "open": True}
        with _explained("write", folder):
            self._array = ts.open(spec).result()

    def write(self, unit: int, tokens: np.ndarray) -> None:
        """Puts a whole unit on disk, `[B, K, D]`; what is there of it is replaced."""
        first = unit * self._size
        with _explained("write", self._folder):
            self._array[first : first + self._size].write(tokens).result()


def _location(folder: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}


@contextlib.contextmanager
def _explained(verb: str, folder: Path) -> Iterator[None]:
    """Turns TensorStore's errors, all of which are ValueErrors, into one that says what to do."""
    try:
        yield
    except ValueError as error:
        reason = str(error).partition(" [")[0]
        raise ArtefactError(
            f"cannot {verb} the visual tokens in {folder}: {reason}; look for space and rights on "
            "that disk, or delete the folder of the stage `visual` and run it again"
        ) from error
