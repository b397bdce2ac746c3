"""A safetensors checkpoint on disk: its keys, shapes and bytes, read piece by piece."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from chexjax.artefacts.files import commit

DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""Numpy's types by the format's names."""

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_UNSAFE = (".bin", ".pth", ".pt", ".ckpt", ".pkl")
_LARGEST_HEADER = 100_000_000  # bytes, the format's own limit


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; names the file, the key and the remedy."""


class Stored(Protocol):
    """A tensor of a checkpoint, of which nothing has been read but shape and dtype."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `array`."""

    @property
    def dtype(self) -> np.dtype:
        """Of `array`."""

    def array(self) -> np.ndarray:
        """Its numbers."""


class Checkpoint(Mapping[str, Stored]):
    """The tensors of a checkpoint by their Hugging Face keys, whatever the format.

    `files` have all that is read of it.
    """

    def __init__(
        self, path: Path, tensors: Mapping[str, Stored], files: Sequence[Path] | None = None
    ) -> None:
        self.path = path
        self.files = [path] if files is None else list(files)
        self._tensors = tensors

    def __getitem__(self, key: str) -> Stored:
        return self._tensors[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where one tensor lies.

    Attributes:
      file: The shard.
      offset: Of its first byte in the shard.
      shape: As stored.
      dtype: As stored.
    """

    file: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def array(self) -> np.ndarray:
        """The stored numbers as mapped pages of the file: reading a slice reads its bytes alone."""
        if not self.size:
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.file, self.dtype, "r", self.offset, self.shape)


class Store(Checkpoint):
    """All tensors of a safetensors checkpoint, from the headers of its files."""

    def __init__(self, path: Path) -> None:
        """Opens a `.safetensors` file, or a folder with one or with shards and their index.

        Every file is checked to be as long as its header says before anything is read of it;
        `files` are the shards.

        Raises:
          CheckpointError: nothing readable is there, a shard is missing or cut short, or the
            index and the shards do not name the same tensors.
        """
        tensors = _headers(path)
        super().__init__(path, tensors, sorted({tensor.file for tensor in tensors.values()}))


def _headers(path: Path) -> dict[str, Tensor]:
    if path.is_file():
        return read_header(path)
    if (path / INDEX).is_file():
        return _indexed(path / INDEX)
    if (path / SINGLE).is_file():
        return read_header(path / SINGLE)
    raise CheckpointError(_nothing_there(path))


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file.

    Raises:
      CheckpointError: it is not such a file, is cut short, or has a type that is not supported.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(size, _LARGEST_HEADER):
            raise CheckpointError(f"{file} is no safetensors file, or only the start of one")
        try:
            header = json.loads(opened.read(length))
        except ValueError as error:
            raise CheckpointError(f"{file} has an unreadable header; fetch it again") from error
    header.pop("__metadata__", None)
    tensors = {key: _tensor(file, key, entry, 8 + length) for key, entry in header.items()}
    end = max((t.offset + t.size * t.dtype.itemsize for t in tensors.values()), default=0)
    if size < end:
        raise CheckpointError(
            f"{file} has {size:,} bytes where its header asks for {end:,}: it was cut short; "
            "fetch it again"
        )
    return tensors


def write_tensors(file: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes one safetensors file, whole or not at all."""
    tmp = file.with_name(file.name + ".tmp")
    # The layout that loaders of the field expect: [outputs, inputs].
    save_file(dict(tensors), tmp, metadata={"format": "pt"})
    tmp.chmod(0o644)  # the library's files are for their owner alone
    commit(tmp, file)


def _tensor(file: Path, key: str, entry: Mapping[str, Any], base: int) -> Tensor:
    if entry["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{file}: {key} is of type {entry['dtype']}, not one of {', '.join(DTYPES)}; store it "
            "as one of these"
        )
    begin, end = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]])
    tensor = Tensor(file, base + begin, tuple(entry["shape"]), dtype)
    if end - begin != tensor.size * dtype.itemsize:
        raise CheckpointError(
            f"{file}: {key} of shape {tensor.shape} and type {entry['dtype']} cannot have "
            f"{end - begin:,} bytes; fetch the file again"
        )
    return tensor


def _indexed(index: Path) -> dict[str, Tensor]:
    try:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{index} is no index of safetensors shards; fetch it") from error
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        shard = index.parent / name
        if Path(name).name != name or not shard.is_file():
            raise CheckpointError(f"{index} names the shard {name}, which is not beside it")
        tensors |= read_header(shard)
    if odd := sorted(set(places) ^ set(tensors)):
        raise CheckpointError(
            f"{index} and its shards disagree on {len(odd)} tensors, such as {odd[0]}; fetch both "
            "from the same revision"
        )
    return tensors


def _nothing_there(path: Path) -> str:
    if not path.is_dir():
        return f"{path} does not exist; give a checkpoint folder, a .safetensors or a .gguf file"
    shards = sorted(p.name for p in path.glob("*.safetensors"))
    if shards:
        return f"{path} has {shards[0]} but neither {SINGLE} nor {INDEX}; fetch the index too"
    unsafe = sorted(p.name for p in path.iterdir() if p.suffix in _UNSAFE)
    if unsafe:
        return (
            f"{path} has {unsafe[0]}, a pickle: opening one can run any code, so it is refused; "
            "convert it to safetensors where it is trusted"
        )
    if quantised := sorted(p.name for p in path.glob("*.gguf")):
        return f"{path} has neither {SINGLE} nor {INDEX}; to read {quantised[0]}, give the file"
    return f"{path} has neither {SINGLE} nor {INDEX}"
