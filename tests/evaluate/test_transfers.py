"""Runs on each other's sources, as one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chexjax.evaluate.significance import Interval
from chexjax.evaluate.studies.generalisation import Generalisation, Transfer
from chexjax.evaluate.studies.transfers import transfers, write


def run(home: tuple[str, str], away: tuple[str, str], judge: str = "green") -> Generalisation:
    """SFT 0.5 at home and 0.25 elsewhere, aligned 0.75 and 0.375."""

    def at(value: float) -> Interval:
        return Interval(value, value - 0.125, value + 0.125)

    sft = Transfer(
        system="SFT",
        measure="score",
        home=at(0.5),
        away=at(0.25),
        change=at(-0.25),
        home_gain=None,
        away_gain=None,
    )
    aligned = Transfer(
        system="aligned",
        measure="score",
        home=at(0.75),
        away=at(0.375),
        change=at(-0.375),
        home_gain=at(0.25),
        away_gain=at(0.125),
    )
    return Generalisation(
        judge=judge,
        sources=(home[0], away[0]),
        identities=(home[1], away[1]),
        studies=(40, 30),
        transfers=(sft, aligned),
    )


MIMIC, OPENI, OTHER = ("mimic_cxr", "1"), ("openi", "2"), ("openi", "3")


def test_each_policy_meets_each_source_once(tmp_path: Path) -> None:
    found = transfers({"a": run(MIMIC, OPENI), "b": run(OPENI, MIMIC)})
    assert found.sources == ("mimic_cxr", "openi")
    [last] = [line for line in found.lines if (line.run, line.system) == ("b", "aligned")]
    assert last.home == "openi"
    assert last.values["openi"].mean == 0.75 and last.values["mimic_cxr"].mean == 0.375
    assert last.gains["mimic_cxr"].mean == 0.125
    assert [bool(line.gains) for line in found.lines] == [False, True, False, True]
    write(found, tmp_path)
    told = json.loads((tmp_path / "generalisation.json").read_text())
    assert told["lines"][0]["values"]["mimic_cxr"]["low"] == 0.375
    page = (tmp_path / "generalisation.html").read_text()
    assert "a, trained on mimic_cxr" in page and "0.625 to 0.875" in page
    assert "30 to 40 studies" in page


def test_sources_of_one_name_are_told_apart_and_what_was_not_tried_is_empty() -> None:
    found = transfers({"a": run(MIMIC, OPENI), "b": run(OTHER, MIMIC)})
    assert found.sources == ("mimic_cxr", "openi of b", "openi beside a")
    assert found.lines[0].values.keys() == {"mimic_cxr", "openi beside a"}
    assert found.lines[2].values.keys() == {"openi of b", "mimic_cxr"}


def test_scores_of_two_judges_are_not_set_side_by_side() -> None:
    with pytest.raises(ValueError, match="scored by green and oracle; evaluate them by one"):
        transfers({"a": run(MIMIC, OPENI), "b": run(OPENI, MIMIC, "oracle")})
