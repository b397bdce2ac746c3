"""The C library's memory, kept by the process instead of going back to the kernel.

XLA on CPUs allocates its temporary memory afresh for each call and frees it behind it. glibc maps
such blocks from the kernel and unmaps them at once, so every step of training pays for a gigabyte
of page faults again: of steps of a second, a quarter to a half was measured. Kept, a block is taken
from what the last step gave back.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # M_* of glibc's malloc.h
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX")
_TUNABLES = ("malloc.mmap_threshold", "malloc.trim_threshold", "malloc.arena_max")

_LARGEST = 1280 << 20
"""Bytes of the largest block that is kept.

Now and then a kept block is not found again and a second one stays beside it. What needs more than
this computes for seconds, beside which page faults are few, and two of it would be too much.
"""


def keep_freed() -> bool:
    """Keeps what is freed from here on; called before anything starts threads or allocates much.

    One arena serves all threads, since another thread's can hold no large block.

    Returns:
      Whether it does: False with another C library than glibc, and where the environment says how
      malloc is to behave.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if any(name in os.environ for name in _VARIABLES) or any(t in tunables for t in _TUNABLES):
        return False
    library = _glibc()
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return library is not None and all(library.mallopt(*setting) for setting in settings)


def give_back() -> None:
    """Hands the kernel what is free now: what making a state or a program has left, say."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The running program's C library, if it is glibc."""
    if os.name != "posix":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
