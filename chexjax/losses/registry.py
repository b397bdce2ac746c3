"""Losses by the name that configs use, and the ranges of their numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

import jax

from chexjax.config import nearest
from chexjax.losses.base import NEEDS, PreferenceLoss

LOSSES: dict[str, type[PreferenceLoss]] = {}
"""All losses by the name that configs use."""

Loss = TypeVar("Loss", bound=type[PreferenceLoss])


def number(
    default: float, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> Any:
    """A field that must be `> above`, `>= least` and `<= most`; checked where the loss is made."""
    return dataclasses.field(default=default, metadata={"range": (above, least, most)})


def choice(default: str, *options: str) -> Any:
    """A field that is one of some words; another word is another program."""
    return dataclasses.field(default=default, metadata={"options": (default, *options)})


@dataclass_transform(kw_only_default=True, frozen_default=True)
def register(name: str) -> Callable[[Loss], Loss]:
    """Class decorator: a frozen keyword-only dataclass, a pytree, and a name for configs."""

    def decorate(cls: Loss) -> Loss:
        cls.__post_init__ = _check  # type: ignore[attr-defined]
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        words = [field.name for field in fields if "options" in field.metadata]
        numbers = [field.name for field in fields if field.name not in words]
        jax.tree_util.register_dataclass(cls, numbers, words)
        LOSSES[name] = cls
        return cls

    return decorate


def _check(loss: Any) -> None:
    """Raises ValueError where a loss needs what nobody offers, or a field is out of its range."""
    if unknown := sorted(loss.needs - NEEDS.keys()):
        raise ValueError(f"{type(loss).__name__}.needs {unknown[0]!r}{nearest(unknown[0], NEEDS)}")
    for field in dataclasses.fields(loss):
        value, where = getattr(loss, field.name), f"{type(loss).__name__}.{field.name}"
        options = field.metadata.get("options")
        if options and value not in options:
            raise ValueError(f"{where}={value!r}{nearest(str(value), options)}")
        # A traced number has no value yet; it was checked before it was traced.
        if "range" in field.metadata and isinstance(value, int | float):
            above, least, most = field.metadata["range"]
            if not (above < value and least <= value <= most):
                raise ValueError(f"{where}={value} must be {_words(above, least, most)}")


def _words(above: float, least: float, most: float) -> str:
    limits = (("above", above), ("at least", least), ("at most", most))
    return " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))


def build(name: str, options: Mapping[str, float | str]) -> PreferenceLoss:
    """The loss that a config names.

    Raises:
      ValueError: unknown loss, unknown option (names the nearest one) or a value out of range.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss {name!r}{nearest(name, LOSSES)}")
    return LOSSES[name].from_options(name, options)
