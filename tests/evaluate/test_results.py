"""What is written of a result comes back as it was."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from chexjax.config import ConfigError
from chexjax.evaluate.results import read_results, write_results
from chexjax.evaluate.significance import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Values of all kinds that results have."""

    one: Interval
    none: Interval | None
    named: dict[str, Interval]
    rows: tuple[tuple[int, Interval], ...]


def test_undefined_numbers_are_null_in_the_file_and_nan_behind_it(tmp_path: Path) -> None:
    nothing = Interval(math.nan, math.nan, math.nan)
    found = Found(
        one=Interval(np.float64(0.5), 0.25, math.inf),
        none=None,
        named={"a": nothing},
        rows=((3, Interval(1.0, 0.0, 2.0)),),
    )
    write_results(dataclasses.asdict(found), tmp_path / "found.json")
    text = (tmp_path / "found.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    back = read_results(Found, json.loads(text), where="found.json")
    assert back.one.low == 0.25 and math.isnan(back.one.high)
    assert back.none is None and back.rows == found.rows
    assert math.isnan(back.named["a"].mean)


def test_what_is_no_result_is_named() -> None:
    with pytest.raises(ConfigError, match=r"found\.json\.one"):
        read_results(Found, {"one": 3}, where="found.json")
