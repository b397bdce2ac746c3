"""The blinded study: who is on which side is drawn, balanced, and nowhere on the page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from chexjax.data.study import Study
from chexjax.evaluate.readers.key import KEY
from chexjax.evaluate.readers.study import PAGE, ReaderConfig, ReaderKey, write_study
from tests.evaluate.reading import read_study

COUNT = 60
CONFIG = ReaderConfig(systems=("baseline-x", "tested-y"), cases=40, repeated=8, side=32)


def studies() -> list[Study]:
    return [read_study(f"patient-{k}", indication="", findings="Clear.") for k in range(COUNT)]


REPORTS = {
    "baseline-x": {f"patient-{k}": f"One {k}." for k in range(COUNT)},
    "tested-y": {f"patient-{k}": f"The other {k}, longer." for k in range(COUNT)},
}


def written(folder: Path, seed: int = 0, config: ReaderConfig = CONFIG) -> tuple[ReaderKey, str]:
    folder.mkdir()
    key = write_study(studies(), REPORTS, config, seed, folder)
    return key, (folder / PAGE).read_text()


def test_the_page_tells_no_system_and_no_study(tmp_path: Path) -> None:
    key, page = written(tmp_path / "a")
    for word in (*key.systems, "patient-", "seed", KEY):
        assert word not in page
    assert key.page in page and len(key.cases) == 48
    assert (tmp_path / "a" / PAGE).parent != tmp_path / "a"  # what is sent has a folder of its own


def test_sides_depend_on_seed_and_study_alone(tmp_path: Path) -> None:
    key, page = written(tmp_path / "a")
    again, same = written(tmp_path / "b")
    assert (key, page) == (again, same)
    fewer, _ = written(tmp_path / "c", config=dataclasses.replace(CONFIG, cases=20, repeated=0))
    sides = {one.study: one.a for one in key.cases.values() if not one.repeats}
    assert all(sides[one.study] == one.a for one in fewer.cases.values())
    other, _ = written(tmp_path / "d", seed=1)
    assert [one.study for one in other.cases.values()] != [s.study for s in key.cases.values()]
    left = sum(side == "tested-y" for side in sides.values())
    assert 10 <= left <= 30  # of 40, four standard deviations either way


def test_a_repeated_case_comes_half_a_study_later_with_its_sides_changed(tmp_path: Path) -> None:
    key, _ = written(tmp_path / "a")
    names = list(key.cases)
    again = {name: one for name, one in key.cases.items() if one.repeats}
    assert len(again) == 8 and len({one.repeats for one in again.values()}) == 8
    for name, one in again.items():
        first = key.cases[one.repeats]
        assert first.study == one.study and first.a != one.a
        assert names.index(name) - names.index(one.repeats) >= 20


def test_equal_reports_are_not_asked_about(tmp_path: Path) -> None:
    same = {**REPORTS["tested-y"], "patient-3": " One  3. "}
    key = write_study(studies(), {**REPORTS, "tested-y": same}, CONFIG, 0, tmp_path)
    assert key.identical == ["patient-3"]
    assert "patient-3" not in {one.study for one in key.cases.values()}
    few = dataclasses.replace(CONFIG, cases=60)
    with pytest.raises(ValueError, match="59 studies have two different reports"):
        write_study(studies(), {**REPORTS, "tested-y": same}, few, 0, tmp_path)


def test_the_key_reads_back(tmp_path: Path) -> None:
    key, _ = written(tmp_path / "a")
    assert ReaderKey.of(json.loads((tmp_path / "a" / KEY).read_text())) == key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"systems": ("a", "a")}, "needs two"),
        ({"cases": 0}, "nothing to read"),
        ({"cases": 10, "repeated": 6}, "from 0 to 5"),
    ],
)
def test_a_study_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReaderConfig(**fields)  # type: ignore[arg-type]
