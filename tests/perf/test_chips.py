import pytest

from chexjax.perf.chips import CHIPS, peak_flops


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("cpu", None),
        ("TPU v9", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_chips_are_known_by_the_names_that_jax_gives_them(kind, teraflops):
    assert peak_flops(kind) == (teraflops and teraflops * 1e12)


def test_every_chip_has_a_faster_wire_and_a_slower_one():
    for chip in CHIPS.values():
        assert chip.flops > 1e14 and chip.wires["links"] > 5 * chip.wires["network"] > 0
