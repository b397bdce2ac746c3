"""Divergence from SFT against score: what a policy paid in distance for what it gained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.evaluate import plots
from chexjax.evaluate.cells import cell
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Array, Interval, mean_intervals
from chexjax.page import Html, figure, grid
from chexjax.page import table as html_table

NONE = Interval(0.0, 0.0, 0.0)
"""From SFT to itself."""

AXIS = "Divergence from SFT (nats a report)"

LEAD = (
    "How far each policy has gone from SFT for its score: the Kullback-Leibler divergence, in nats "
    "a report, from reports that the policy samples about these studies at temperature 1 and their "
    "log-probability under both. Small figures: 95 % intervals over studies."
)
_PICTURE = "Up is a gain, right is what it cost in distance from SFT."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distance:
    """One policy.

    Attributes:
      divergence: From SFT, in nats a report; 0 of SFT itself.
      score: Held-out mean.
      gain: Its mean over that of SFT, study by study; None of SFT itself.
    """

    system: str
    divergence: Interval
    score: Interval
    gain: Interval | None


def estimate(logps: Sequence[float], sft_logps: Sequence[float], *, seed: int) -> Interval:
    """Divergence in nats a report, the mean log-ratio of a policy's own samples, one a study.

    Args:
      logps: Log-probability of each report under the policy that wrote it.
      sft_logps: The same under SFT.
      seed: Of the bootstrap draws of the studies.
    """
    return _gap(np.asarray(logps, np.float64), np.asarray(sft_logps, np.float64), seed)


def distances(
    evaluation: Evaluation, sft: str, divergences: Mapping[str, Interval]
) -> list[Distance]:
    """SFT and the policies whose divergence is known; empty where none is.

    Args:
      evaluation: Of SFT and these policies.
      sft: Name of SFT in it.
      divergences: System -> its divergence from SFT.
    """
    if not divergences:
        return []
    known = {sft: NONE, **divergences}
    systems = {one.name: one for one in evaluation.systems if one.name in known}
    scores = {name: one.columns["score"] for name, one in systems.items()}
    return [
        Distance(
            system=name,
            divergence=known[name],
            score=one.means["score"],
            gain=None if name == sft else _gap(scores[name], scores[sft], evaluation.seed),
        )
        for name, one in systems.items()
    ]


def _gap(of: Array, minus: Array, seed: int) -> Interval:
    return mean_intervals({"gap": of - minus}, seed=seed)["gap"]


def show(found: Sequence[Distance]) -> Html:
    """A picture, and the table with the intervals."""
    points = {one.system: (one.divergence, one.score) for one in found}
    quiet = [one.system for one in found if one.gain is None]
    rows = [
        [
            one.system,
            cell(one.divergence, 2) if one.gain else "0",
            cell(one.score),
            cell(one.gain, signed=True) if one.gain else "",
        ]
        for one in found
    ]
    header = ["Policy", "Divergence", "Score", f"Score \u2212 {quiet[0]}"]
    picture = plots.named_points(points, AXIS, "Score", quiet=quiet)
    return grid(figure(picture, _PICTURE), html_table(header, rows))
