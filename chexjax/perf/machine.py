"""What a measurement was made on: processor, memory, load, versions."""

from __future__ import annotations

import concurrent.futures
import datetime
import multiprocessing
import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax

_PACKAGES = ("chexjax", "jax", "jaxlib", "flax")
_THREADS = {"XLA": "PJRT_NPROC", "OpenMP": "OMP_NUM_THREADS"}


def describe(peers: dict[str, str]) -> dict[str, str]:
    """All of it, line by line.

    Args:
      peers: Versions of what is measured beside chexjax.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "memory": _memory(),
        "devices": _devices(),
        "threads": ", ".join(f"{who} {os.environ.get(v, 'all')}" for who, v in _THREADS.items()),
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "versions": versions(),
        "peers": ", ".join(f"{name} {number}" for name, number in peers.items()) or "none",
        "malloc's huge pages": huge_pages(),
    }


def processor() -> str:
    """Cores, and what they are."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    kind = next(models, platform.processor())
    cores = " x ".join(filter(None, (f"{os.cpu_count()}", kind)))
    return f"{cores}, {platform.machine()}"


def cores() -> int:
    """That a process is to compute with: as many as it was told, or all."""
    return int(os.environ.get(_THREADS["XLA"]) or os.cpu_count() or 1)


def versions() -> str:
    """Of chexjax, of what it computes with, and of Python."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{packages}, Python {platform.python_version()}"


def huge_pages() -> str:
    """Whether the C library's memory comes in huge pages, and how it would."""
    on = "malloc.hugetlb" in os.environ.get("GLIBC_TUNABLES", "")
    return "on" if on else "off; start by launch/local, or set GLIBC_TUNABLES"


def _memory() -> str:
    pages, size = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
    return f"{pages * size / 2**30:.1f} GiB"


def _devices() -> str:
    """JAX's, looked at by a process that ends: one that goes on may keep their memory."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_found).result()


def _found() -> str:
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
