"""How reports are batched, by what the machine is good at."""

import pytest

from chexjax.engine import EngineConfig
from chexjax.stages.generation import batching


@pytest.mark.parametrize(
    ("platform", "slots", "lanes"), [("cpu", 32, 1), ("tpu", 256, 8), ("gpu", 256, 8)]
)
def test_accelerators_decode_a_whole_unit_together(platform, slots, lanes):
    wanted = EngineConfig(slots=slots, lanes=lanes, bucket=32, room=128)
    assert batching(64, 4, platform) == wanted


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_a_small_unit_has_no_rows_to_spare(platform):
    assert batching(2, 4, platform).slots == 8 and batching(2, 4, platform).lanes <= 2
