"""How fast a run is: examples, tokens and useful operations a second, and where the time goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np


class Load(NamedTuple):
    """What is real of a step's batch, padding left out."""

    examples: int
    prefix: int
    """Tokens of prompts."""
    response: int
    """Tokens of responses."""

    @classmethod
    def of(cls, rows: np.ndarray, prefix: np.ndarray, responses: np.ndarray) -> Load:
        """The load of some rows.

        Args:
          rows: Of the data.
          prefix: Tokens of each row's prompt, `i32[M]`.
          responses: Tokens of each row's responses, `i32[M, N]`.
        """
        return cls(len(rows), int(prefix[rows].sum()), int(responses[rows].sum()))


@dataclasses.dataclass(kw_only=True)
class Meter:
    """Turns steps and seconds into rates.

    Attributes:
      load: What a step works on.
      useful: Operations that it cannot do without, padding and rematerialisation left out.
      devices: How many share the work.
      peak: Operations a second that each could do; None where that is not known.
      elapsed: Seconds since the stage began, all attempts counted.
      waited: Seconds that devices may have waited for data, since the last rates.
      productive: Seconds from one step to the next of those that count, all attempts counted.
    """

    load: Callable[[int], Load]
    useful: Callable[[Load], float]
    devices: int
    peak: float | None
    elapsed: Callable[[], float]
    waited: float = 0.0
    productive: float = 0.0

    def rates(self, steps: Sequence[int], seconds: float) -> dict[str, float]:
        """Of steps that took so long together: the `perf/` part of a line.

        MFU is model FLOPs utilisation (Chowdhery et al., arXiv:2204.02311): useful operations by
        what the devices could do. Goodput is the time in steps that count by all time: what is left
        of it went to starting, compiling, and steps that a kill has cost.
        """
        loads = [self.load(step) for step in steps]
        tokens = sum(load.prefix + load.response for load in loads)
        self.productive += seconds
        rates = {
            "step_ms": 1000 * seconds / len(steps),
            "examples_per_s": sum(load.examples for load in loads) / seconds,
            "tokens_per_s_per_device": tokens / seconds / self.devices,
            "data_wait_share": self.waited / seconds,
            "goodput": self.productive / max(self.elapsed(), self.productive),
        }
        if self.peak is not None:
            useful = sum(self.useful(load) for load in loads)
            rates["mfu"] = useful / seconds / self.devices / self.peak
        if peak := _most_memory():
            rates["hbm_peak_gib"] = peak / 2**30
        self.waited = 0.0
        return {f"perf/{name}": value for name, value in rates.items()}


def _most_memory() -> int:
    """Most bytes that were in use on any device of this process; 0 where they do not say."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return max(int(one.get("peak_bytes_in_use", 0)) for one in stats)
