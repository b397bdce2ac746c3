"""What stands apart from a page for readers: the file that says what each case was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from chexjax.artefacts import write_atomic
from chexjax.config import freeze

KEY = "key.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyKey:
    """What no page says, and what every key has.

    Attributes:
      page: Name of the page that it belongs to.
      seed: Of the draw.
    """

    kind: ClassVar[str]
    """Kind of study."""

    page: str
    seed: int

    def write(self, folder: Path) -> None:
        """Writes `key.json`."""
        values = {"kind": self.kind} | dataclasses.asdict(self)
        write_atomic(folder / KEY, json.dumps(values, indent=1) + "\n")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The key in the values of a `key.json`.

        Raises:
          ConfigError: it is damaged; names the field.
        """
        return freeze(cls, {n: v for n, v in values.items() if n != "kind"}, where=KEY)
