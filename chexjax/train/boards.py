"""Boards that show a run's metrics: TensorBoard's event files, and Weights & Biases if asked for.

What `trackers.JsonlTracker` logs they show too, behind the same three methods.
"""

from __future__ import annotations

import functools
import importlib
import math
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from chexjax.artefacts.files import write_atomic
from chexjax.config import ConfigError


class Tracker(Protocol):
    """Takes the metrics of a run."""

    def truncate(self, step: int) -> None:
        """Drops what was logged after `step`, so that a resumed run logs no step twice."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics behind a step."""

    def close(self) -> None:
        """Nothing more will be logged."""


class Trackers:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Takes those that are told everything, in this order."""
        self._trackers = trackers

    def truncate(self, step: int) -> None:
        """See `Tracker`."""
        for one in self._trackers:
            one.truncate(step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for one in self._trackers:
            one.log(step, metrics)

    def close(self) -> None:
        """See `Tracker`."""
        for one in self._trackers:
            one.close()


class TensorBoard:
    """Scalars as an event file that TensorBoard reads.

    A file is a sequence of records: length `u64`, its checksum, an `Event` of TensorFlow's
    `event.proto`, its checksum. An event of ours has a wall time, a step and values by tag.
    """

    def __init__(self, folder: Path) -> None:
        """Goes on with the file in `folder`; a record that a kill has torn is cut off."""
        self._file = folder / "events.out.tfevents.chexjax"
        folder.mkdir(parents=True, exist_ok=True)
        whole = list(_records(self._file.read_bytes())) if self._file.exists() else []
        self._rewrite(whole or [_event(0, version=b"brain.Event:2")])

    def truncate(self, step: int) -> None:
        """See `Tracker`."""
        self._rewrite([e for e in _records(self._file.read_bytes()) if _step(e) <= step])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`; what is not finite is left out."""
        values = {tag: value for tag, value in metrics.items() if math.isfinite(value)}
        with open(self._file, "ab") as file:
            file.write(_record(_event(step, values=values)))

    def close(self) -> None:
        """See `Tracker`."""

    def _rewrite(self, events: Sequence[bytes]) -> None:
        write_atomic(self._file, b"".join(map(_record, events)))


class Wandb:
    """A run of a Weights & Biases project (extra `wandb`); offline where its environment says so.

    A run that goes on logs to the same one, which ignores the steps that it has seen.
    """

    def __init__(self, project: str, name: str, folder: Path) -> None:
        """Starts the run, or goes on with it.

        Raises:
          ConfigError: wandb is not installed.
        """
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise ConfigError(
                f"config.watch.wandb={project!r}: wandb is not installed; pip install "
                "'chexjax[wandb]'"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(project=project, name=name, id=name, dir=str(folder), resume="allow")

    def truncate(self, step: int) -> None:
        """See `Tracker`; there is nothing that could be dropped."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


def _event(step: int, *, version: bytes = b"", values: Mapping[str, float] | None = None) -> bytes:
    """An `Event`: 1 wall time, 2 step, 3 file version, 5 summary of values (1 tag, 2 number)."""
    event = b"\x09" + struct.pack("<d", time.time()) + (b"\x10" + _varint(step) if step else b"")
    if version:
        return event + _field(3, version)
    each = ((tag.encode(), struct.pack("<f", value)) for tag, value in (values or {}).items())
    summary = (_field(1, _field(1, tag) + b"\x15" + number) for tag, number in each)
    return event + _field(5, b"".join(summary))


def _step(event: bytes) -> int:
    """The step of one of our events, which stands behind a tag, eight bytes of time and a tag."""
    if event[9:10] != b"\x10":
        return 0
    step = 0
    for place, byte in enumerate(event[10:]):
        step |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    return step


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the last ones first; the eighth says that more follow."""
    more = []
    while number > 0x7F:
        more.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*more, number])


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _records(data: bytes) -> Iterator[bytes]:
    """The events of a file, up to the first that is torn or damaged."""
    start = 0
    while start + 12 <= len(data):
        [length] = struct.unpack_from("<Q", data, start)
        event = data[start + 12 : start + 12 + length]
        start += 16 + length
        if len(event) < length or data[start - 4 : start] != _checksum(event):
            return
        yield event


def _checksum(data: bytes) -> bytes:
    """CRC-32C, turned and moved as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _crc_table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def _crc_table() -> tuple[int, ...]:
    """What a byte does to a CRC-32C, the polynomial of Castagnoli with its bits turned round."""

    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        return byte

    return tuple(map(entry, range(256)))
