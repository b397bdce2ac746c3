"""What chips can do at most, by the names that JAX has for them."""

from __future__ import annotations

_BF16 = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA B200": 2250e12,
}
"""Dense bfloat16 operations a second: Google Cloud's pages on TPU versions, NVIDIA's data sheets of
the SXM cards."""


def peak_flops(kind: str) -> float | None:
    """Dense bfloat16 operations a second of a device kind, such as `NVIDIA H100 80GB HBM3`.

    None for CPUs and chips that are not in the table.
    """
    if kind in _BF16:
        return _BF16[kind]
    cards = [peak for name, peak in _BF16.items() if name[:3] != "TPU" and kind.startswith(name)]
    return cards[0] if cards else None
