"""Pictures: valid SVG that takes its colours from the page, the same in every run."""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from chexjax.evaluate import plots
from chexjax.evaluate.metrics import Evaluation
from chexjax.page import Html, standalone

DRAWN = (plots.four_bars, plots.differences, plots.score_against_length, plots.label_f1)


@pytest.mark.parametrize("draw", DRAWN)
def test_svg_is_valid_self_contained_and_repeatable(
    draw: Callable[[Evaluation], Html], evaluation: Evaluation
) -> None:
    found = draw(evaluation)
    root = ET.fromstring(found)
    assert root.get("role") == "img" and root.get("aria-label")
    assert root.get("viewBox") and root.get("width") is None
    assert "var(--ink)" in found and "#0000" not in found
    assert "<image" not in found
    assert draw(evaluation) == found
    ET.fromstring(standalone(found))


def test_four_bars_show_every_measured_mean(evaluation: Evaluation) -> None:
    found = plots.four_bars(evaluation)
    for system in evaluation.systems:
        assert f">{system.name}<" in found
        assert f">{system.means['score'].value()}<" in found
    assert found.count(">shuffled<") == 2 and found.count(">own<") == 3


def test_one_system_alone_can_be_drawn(evaluation: Evaluation) -> None:
    alone = dataclasses.replace(evaluation, systems=evaluation.systems[:1], differences=())
    for draw in DRAWN:
        ET.fromstring(draw(alone))


def test_a_name_with_markup_stays_text(evaluation: Evaluation) -> None:
    first = dataclasses.replace(evaluation.systems[0], name="<b>$x$ & y")
    changed = dataclasses.replace(evaluation, systems=(first,), differences=())
    root = ET.fromstring(plots.four_bars(changed))
    assert "<b>$x$ & y" in {element.text for element in root.iter()}


def test_curves_are_drawn_for_the_metrics_that_a_log_has() -> None:
    loss = [{"step": k, "loss": math.exp(-k)} for k in range(5)]
    pairs = [row | {"rewards/margins": 0.1} for row in loss]
    found = plots.training_curves({"sft": loss, "align": pairs, "empty": []})
    labels = [str(ET.fromstring(svg).get("aria-label")) for svg in found]
    assert [label.split(" over")[0] for label in labels] == [
        "sft: loss",
        "align: loss",
        "align: reward margin",
    ]
