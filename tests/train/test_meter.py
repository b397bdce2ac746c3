import jax
import numpy as np
import pytest

from chexjax.train.meter import Load, Meter


class Device:
    """Says how much memory was in use."""

    def __init__(self, peak):
        self.peak = peak

    def memory_stats(self):
        return self.peak and {"peak_bytes_in_use": self.peak}


@pytest.fixture
def meter():
    loads = {1: Load(4, 100, 60), 2: Load(2, 40, 20)}
    return Meter(
        load=loads.__getitem__,
        useful=lambda load: 1e6 * load.prefix + 2e6 * load.response,
        devices=4,
        peak=1e8,
        elapsed=lambda: 10.0,
    )


def test_a_load_is_what_is_real_of_the_rows():
    prefix, responses = np.asarray([5, 7, 9]), np.asarray([[1, 2], [3, 4], [5, 6]])
    assert Load.of(np.asarray([2, 0]), prefix, responses) == (2, 14, 14)


def test_rates_by_hand(meter, monkeypatch):
    """160 + 60 tokens and 4 + 2 examples in 2 s on 4 devices; 220 + 80 million operations."""
    monkeypatch.setattr(jax, "local_devices", lambda: [Device(2**30), Device(3 * 2**29)])
    meter.waited, meter.productive = 0.5, 3.0
    assert meter.rates([1, 2], 2.0) == {
        "perf/step_ms": 1000.0,
        "perf/examples_per_s": 3.0,
        "perf/tokens_per_s_per_device": 27.5,
        "perf/data_wait_share": 0.25,
        "perf/goodput": 0.5,
        "perf/mfu": 0.375,
        "perf/hbm_peak_gib": 1.5,
    }
    assert (meter.waited, meter.productive) == (0.0, 5.0)


def test_what_devices_do_not_say_is_left_out(meter, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: [Device(None)])
    meter.peak = None
    assert not {"perf/mfu", "perf/hbm_peak_gib"} & meter.rates([1], 1.0).keys()
