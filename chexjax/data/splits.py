"""Splits: the names that sources have for them, and one for studies that have none."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from chexjax.data.study import UnusableStudy, quoted

_NAMES = {
    "train": "train",
    "training": "train",
    "validate": "validate",
    "validation": "validate",
    "valid": "validate",
    "val": "validate",
    "dev": "validate",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> str:
    """What a source calls `valid`, `val` or `Validation` is `validate` here.

    Raises:
      UnusableStudy: it is no known split.
    """
    split = _NAMES.get(name.strip().lower())
    if split is None:
        raise UnusableStudy(f"its split is none of {', '.join(sorted(_NAMES))}: {quoted(name)}")
    return split


def split_in(path: Path) -> str:
    """The split that a file's name has in it, or else that of its folder, of the nearest one.

    `data/validation-00000-of-00001.parquet` says `validate`; a path that says none, nothing.
    """
    for part in reversed(path.parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _NAMES:
                return _NAMES[word]
    return ""


def split_by_hash(name: str) -> str:
    """A split that depends on nothing but a name: a tenth is test, a tenth validate.

    Give it the patient's name, so that no patient is in two splits. With `k` the SHA-256 of the
    name as one large number modulo 10: 0 is test, 1 is validate, the rest is train.
    """
    k = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validate"}.get(k, "train")
