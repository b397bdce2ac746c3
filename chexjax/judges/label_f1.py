"""F1 of reports' labels in the averages that papers quote, equal to scikit-learn's.

Of all 14 labels, `No Finding` included, and of the five of CheXpert's competition: "micro" from the
counts of all labels together, "macro" the mean over labels, "weighted" that mean weighted by how
many references have the label, "samples" the mean over reports of each report's own F1.

What has nothing to count is 0, as there (`zero_division=0`): a label that neither side has pulls
"macro" down, and a report on which neither side names any label, which is a report of complete
agreement, counts 0 in "samples". "weighted" alone changes when the two sides are exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chexjax.data.chexpert_labels import CHEXPERT_5, CHEXPERT_14, PRESENT, UNCERTAIN

Array = NDArray[np.float64]
Labels = Mapping[str, int]
Uncertain = Literal["present", "absent"]

FIVE = [CHEXPERT_14.index(name) for name in CHEXPERT_5]
"""Where the five stand among the 14."""

AVERAGES = ("micro", "macro", "weighted", "samples")
SETS: Mapping[str, Sequence[int]] = {"f1_14": range(len(CHEXPERT_14)), "f1_5": FIVE}

MEAN_OF_FOUR = "f1_mean_of_four"
"""CheXagent's and CheXalign's "CheXbert average": of micro and macro F1, of 14 labels and of 5."""

EXACT_5 = "exact_5"
"""Share of reports that have all five labels right."""


def present(labels: Sequence[Labels], uncertain: Uncertain) -> NDArray[np.bool]:
    """Which labels reports have, `bool[B, 14]`.

    Args:
      labels: Of each report; what is left out is absent.
      uncertain: What an uncertain label counts as. Report metrics of the field have it "present".
    """
    counted = (PRESENT, UNCERTAIN) if uncertain == "present" else (PRESENT,)
    rows = [[found.get(name) in counted for name in CHEXPERT_14] for found in labels]
    return np.array(rows, bool).reshape(-1, len(CHEXPERT_14))


def counted(truth: NDArray[np.bool], said: NDArray[np.bool]) -> Array:
    """What averages are made of, one row a report: `averages` takes any means of such rows.

    Args:
      truth: Labels of the references, `bool[B, 14]`.
      said: Those of the reports about them.

    Returns:
      `f64[B, 45]`: hits, labels and claims of each of the 14, the report's own F1 of the 14 and of
      the five, and whether the five are right.
    """
    own = [
        _f1(*(side[:, list(chosen)].sum(1) for side in (truth & said, truth, said)))
        for chosen in SETS.values()
    ]
    right = (truth == said)[:, FIVE].all(1)
    return np.column_stack([truth & said, truth, said, *own, right]).astype(np.float64)


def averages(means: Array) -> dict[str, Array]:
    """All averages, `f64[R]` each, by names such as `f1_14_macro`.

    Args:
      means: Means over reports of what `counted` gives, `f64[R, 45]`: of all reports, or of
        draws of them.
    """
    labels = len(CHEXPERT_14)
    hits, positives, claims = means[:, : 3 * labels].reshape(-1, 3, labels).swapaxes(0, 1)
    found = {}
    for k, (name, chosen) in enumerate(SETS.items()):
        h, p, c = (side[:, list(chosen)] for side in (hits, positives, claims))
        each = _f1(h, p, c)
        found[f"{name}_micro"] = _f1(h.sum(1), p.sum(1), c.sum(1))
        found[f"{name}_macro"] = each.mean(1)
        found[f"{name}_weighted"] = _ratio((each * p).sum(1), p.sum(1))
        found[f"{name}_samples"] = means[:, 3 * labels + k]
    four = [found[f"{name}_{average}"] for name in SETS for average in ("micro", "macro")]
    return found | {MEAN_OF_FOUR: np.mean(four, axis=0), EXACT_5: means[:, -1]}


def _f1(hits: Array, positives: Array, claims: Array) -> Array:
    return _ratio(2 * hits, positives + claims)


def _ratio(over: Array, under: Array) -> Array:
    """0 where there is nothing to divide by."""
    return np.divide(over, under, out=np.zeros(np.shape(under)), where=under > 0)
