"""What `torch.save` wrote, read without torch and without running anything that is in it.

Such a file has one pickle that says which tensors there are, and the bytes of each storage: beside
it in a zip archive, or behind it in what torch before 1.6 wrote. A pickle can name any function to
be called; here it may name the dozen that say what a tensor is, of which none does more than to
describe one, and any other is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from chexjax.weights.store import INDEX, SINGLE, Checkpoint, CheckpointError, Store

PICKLED = (".pth", ".pt", ".bin")
TORCH_SINGLE = "pytorch_model.bin"
"""What a hub's folder has where nobody has converted its checkpoint to safetensors."""
_STATE = "model_state_dict"
"""What many training scripts call the parameters, beside their optimizer's state."""
_LARGEST_PICKLE = 100_000_000  # bytes; a checkpoint of 100,000 tensors has a tenth of it
_PLAIN_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_SAVE_AGAIN = (
    "where it is trusted, write it anew with torch: torch.save(torch.load(FILE, map_location='cpu',"
    " weights_only=True), FILE)"
)

Storages = Callable[[str], bytes]
"""A storage's key to its bytes."""


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Type of a storage; no function, so that a pickle cannot call it."""

    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A run of numbers in the file."""

    key: str
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Described:
    """One tensor, of which nothing has been read but what it is.

    Attributes:
      path: What errors call the file.
      storages: Those of the file.
      key: Of its own.
      offset: Of its first number in the storage.
      shape: As stored.
      dtype: As stored.
    """

    path: Path
    storages: Storages
    key: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def array(self) -> np.ndarray:
        """Its numbers.

        Raises:
          CheckpointError: its storage is not there, or is too short for it.
        """
        try:
            content = self.storages(self.key)
            size = int(np.prod(self.shape, dtype=np.int64))
            start = self.offset * self.dtype.itemsize
            return np.frombuffer(content, self.dtype, size, start).reshape(self.shape)
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.path}: the numbers of storage {self.key} are not all there ({error}); "
                "fetch it again"
            ) from error


def open_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a folder or file: safetensors, or else what torch saved.

    Args:
      path: A file, or a folder with `model.safetensors`, shards and their index, or without any of
        these one `pytorch_model.bin`.

    Raises:
      CheckpointError: nothing readable is there.
    """
    if not any((path / name).is_file() for name in (SINGLE, INDEX)):
        path = path / TORCH_SINGLE if (path / TORCH_SINGLE).is_file() else path
    return read_torch(path) if path.suffix in PICKLED else Store(path)


def read_torch(file: Path | BinaryIO, path: Path | None = None) -> Checkpoint:
    """The tensors of a state dict that torch saved, alone or in a training script's checkpoint.

    Args:
      file: Its path, or the file itself, open for as long as tensors are read.
      path: What errors call it, where it is no path itself.

    Raises:
      CheckpointError: it is no such file, or its pickle asks for anything but tensors.
    """
    path = path or (file if isinstance(file, Path) else Path("weights"))
    try:
        with _opened(file) as opened:
            plain = opened.read(len(_PLAIN_START)) == _PLAIN_START
        saved = _plain(file, path) if plain else _zipped(file, path)
    except (OSError, zipfile.BadZipFile, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is no file that torch saved ({error}); fetch it again"
        ) from error
    return Checkpoint(path, _tensors(path, saved))


def _opened(file: Path | BinaryIO) -> contextlib.AbstractContextManager[BinaryIO]:
    """A file at its start, closed at the end where it was not open before."""
    if isinstance(file, Path):
        return open(file, "rb")
    file.seek(0)
    return contextlib.nullcontext(file)


def _zipped(file: Path | BinaryIO, path: Path) -> Any:
    """What torch 1.6 or newer saved."""
    archive = zipfile.ZipFile(file)
    pickles = [one for one in archive.infolist() if one.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
        raise CheckpointError(f"{path} has no data.pkl of a sensible size; {_SAVE_AGAIN}")
    root = pickles[0].filename.removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine; {_SAVE_AGAIN}")
    with archive.open(pickles[0]) as opened:
        return _unpickled(opened, path, lambda key: archive.read(f"{root}data/{key}"))[0]


def _plain(file: Path | BinaryIO, path: Path) -> Any:
    """What torch before 1.6 saved.

    It starts with pickles of a number that says so, a version and the machine. The object is
    next, then the keys of its storages, and of each its length and its numbers.
    """
    places: dict[str, tuple[int, int]] = {}

    def storage(key: str) -> bytes:
        start, size = places[key]
        with _opened(file) as opened:
            opened.seek(start)
            return opened.read(size)

    with _opened(file) as opened:
        _, _, (machine, _), (saved, dtypes), (keys, _) = (
            _unpickled(opened, path, storage) for _ in range(5)
        )
        if not machine["little_endian"]:
            raise CheckpointError(f"{path} was written on a big-endian machine; {_SAVE_AGAIN}")
        places.update(_places(opened, path, {key: dtypes[key].itemsize for key in keys}))
    return saved


def _places(
    opened: BinaryIO, path: Path, widths: Mapping[str, int]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where each storage starts and how many bytes it has; the file stands before the first.

    Args:
      opened: The file.
      path: What errors call it.
      widths: Bytes of a number of each storage.
    """
    start = opened.tell()
    end = opened.seek(0, os.SEEK_END)
    for key, width in widths.items():
        opened.seek(start)
        size = int.from_bytes(opened.read(8), "little") * width
        if start + 8 + size > end:
            raise CheckpointError(f"{path} was cut short; fetch it again")
        yield key, (start + 8, size)
        start += 8 + size


def _unpickled(file: Any, path: Path, storages: Storages) -> tuple[Any, Mapping[str, np.dtype]]:
    """The next object of a file, and the types of the storages that it speaks of."""
    reader = _Unpickler(file, path, storages)
    try:
        return reader.load(), reader.dtypes
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # whatever a broken pickle comes to
        raise CheckpointError(
            f"{path}: its pickle is broken ({error!r}); fetch it again"
        ) from error


def _tensors(path: Path, saved: Any) -> Mapping[str, Described]:
    """Those of a state dict, or of a training script's checkpoint that has one."""
    found = saved.get(_STATE, saved) if isinstance(saved, Mapping) else saved
    if not isinstance(found, Mapping) or not all(
        isinstance(one, Described) for one in found.values()
    ):
        raise CheckpointError(f"{path} holds more than the tensors of a state dict; {_SAVE_AGAIN}")
    return {str(key): tensor for key, tensor in found.items()}


class _Unpickler(pickle.Unpickler):
    """Understands tensors and nothing else."""

    def __init__(self, file: Any, path: Path, storages: Storages) -> None:
        super().__init__(file)
        self._path, self._storages = path, storages
        self.dtypes: dict[str, np.dtype] = {}

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
        self.dtypes[str(key)] = kind.dtype
        return _Storage(str(key), kind.dtype)

    def _tensor(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any
    ) -> Described:
        if tuple(strides) != _dense(shape):
            raise CheckpointError(f"storage {storage.key} is not read row by row; {_SAVE_AGAIN}")
        return Described(
            self._path, self._storages, storage.key, offset, tuple(shape), storage.dtype
        )


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
