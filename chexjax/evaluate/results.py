"""Numbers of an evaluation as JSON, which has no NaN: null stands where one is not defined."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from chexjax.artefacts import write_atomic
from chexjax.artefacts.manifest import plain
from chexjax.config import freeze
from chexjax.evaluate.significance import Interval

_T = TypeVar("_T")

_ENDS = frozenset(field.name for field in dataclasses.fields(Interval))


def write_results(values: Mapping[str, Any], file: Path) -> None:
    """Writes numbers, and texts as they are."""
    text = json.dumps(plain(values), indent=1, ensure_ascii=False)
    write_atomic(file, text + "\n")


def read_results(kind: type[_T], values: Mapping[str, Any], where: str) -> _T:
    """A dataclass of what was written of it; undefined numbers of intervals are NaN again.

    Raises:
      ConfigError: it is none of this kind; names the field behind `where`.
    """
    return freeze(kind, _defined(values), where=where)


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == _ENDS:
            return {name: math.nan if end is None else end for name, end in value.items()}
        return {name: _defined(one) for name, one in value.items()}
    return [_defined(one) for one in value] if isinstance(value, list) else value
