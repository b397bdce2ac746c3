"""What `torch.save` wrote, read without torch and without running anything that is in it.

Such a file is a zip archive: one pickle that says which tensors there are, and the bytes of each
storage beside it. A pickle can name any function to be called; here it may name the dozen that
say what a tensor is, of which none does more than to describe one, and any other is refused.
"""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from chexjax.weights.store import Checkpoint, CheckpointError

_LARGEST_PICKLE = 100_000_000  # bytes; a checkpoint of 100,000 tensors has a tenth of it
_SAVE_AGAIN = (
    "where it is trusted, write it anew with torch: torch.save(torch.load(FILE, map_location='cpu',"
    " weights_only=True), FILE)"
)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Type of a storage; no function, so that a pickle cannot call it."""

    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A run of numbers in the archive."""

    entry: str
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Described:
    """One tensor, of which nothing has been read but what it is.

    Attributes:
      archive: The file.
      entry: Name of its storage in the archive.
      offset: Of its first number in the storage.
      shape: As stored.
      dtype: As stored.
    """

    archive: zipfile.ZipFile
    entry: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def array(self) -> np.ndarray:
        """Its numbers.

        Raises:
          CheckpointError: its storage is not there, or is too short for it.
        """
        try:
            content = self.archive.read(self.entry)
            size = int(np.prod(self.shape, dtype=np.int64))
            start = self.offset * self.dtype.itemsize
            return np.frombuffer(content, self.dtype, size, start).reshape(self.shape)
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.archive.filename or 'the file of weights'}: the numbers of {self.entry} "
                f"are not all there ({error}); fetch it again"
            ) from error


def read_torch(file: Path | BinaryIO, path: Path | None = None) -> Checkpoint:
    """The tensors of a state dict that torch 1.6 or newer saved.

    Args:
      file: Its path, or the file itself, open for as long as tensors are read.
      path: What errors call it, where it is no path itself.

    Raises:
      CheckpointError: it is no such file, or its pickle asks for anything but tensors.
    """
    path = path or (file if isinstance(file, Path) else Path("weights"))
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is no archive of torch 1.6 or newer; {_SAVE_AGAIN}") from (
            error
        )
    return Checkpoint(path, _tensors(path, archive))


def _tensors(path: Path, archive: zipfile.ZipFile) -> Mapping[str, Described]:
    pickles = [one for one in archive.infolist() if one.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
        raise CheckpointError(f"{path} has no data.pkl of a sensible size; {_SAVE_AGAIN}")
    root = pickles[0].filename.removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine; {_SAVE_AGAIN}")
    try:
        with archive.open(pickles[0]) as opened:
            found = _Unpickler(opened, archive, root).load()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # whatever a broken pickle comes to
        raise CheckpointError(
            f"{path}: its pickle is broken ({error!r}); fetch it again"
        ) from error
    if not isinstance(found, Mapping) or not all(
        isinstance(one, Described) for one in found.values()
    ):
        raise CheckpointError(f"{path} holds more than the tensors of a state dict; {_SAVE_AGAIN}")
    return {str(key): tensor for key, tensor in found.items()}


class _Unpickler(pickle.Unpickler):
    """Understands tensors and nothing else."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle means by a name."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        raise CheckpointError(
            f"its pickle asks for {module}.{name}, which is no part of a tensor, so it is not "
            f"read; {_SAVE_AGAIN}"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that a tensor lies in."""
        what, kind, key, *_ = pid
        if what != "storage" or not isinstance(kind, _Kind):
            raise CheckpointError(f"its pickle names what is no storage; {_SAVE_AGAIN}")
        return _Storage(f"{self._root}data/{key}", kind.dtype)

    def _tensor(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any
    ) -> Described:
        if tuple(strides) != _dense(shape):
            raise CheckpointError(f"{storage.entry} is not stored row by row; {_SAVE_AGAIN}")
        return Described(self._archive, storage.entry, offset, tuple(shape), storage.dtype)


def _dense(shape: Any) -> tuple[int, ...]:
    """Strides of a tensor that is stored row by row, in numbers."""
    return tuple(int(np.prod(shape[k + 1 :], dtype=np.int64)) for k in range(len(shape)))


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{
        ("torch", f"{name}Storage"): _Kind(np.dtype(dtype))
        for name, dtype in (
            ("Double", np.float64),
            ("Float", np.float32),
            ("Half", np.float16),
            ("BFloat16", ml_dtypes.bfloat16),
            ("Long", np.int64),
            ("Int", np.int32),
            ("Short", np.int16),
            ("Char", np.int8),
            ("Byte", np.uint8),
            ("Bool", np.bool_),
        )
    },
}
