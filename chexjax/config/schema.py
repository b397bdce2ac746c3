"""Configs: `ml_collections` at the edge, frozen dataclasses inside.

A run is described by one frozen dataclass. `config_dict` makes it a ConfigDict that knows every
field and its type, a config file and the command line change single fields of that, and `freeze`
turns the result back into dataclasses. Every mistake on the way is a ConfigError that names the
field, the value and what to write instead.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import functools
import hashlib
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import ml_collections

_T = TypeVar("_T")


class ConfigError(ValueError):
    """A config that cannot be used; the message names the field, the value and the remedy."""


def local(default: Any) -> Any:
    """A dataclass field that does not change the content (mesh, threads, logging): not hashed."""
    return dataclasses.field(default=default, metadata={"content": False})


def config_dict(cfg: Any) -> ml_collections.ConfigDict:
    """The frozen dataclass instance `cfg` as a locked ConfigDict that keeps its fields' types.

    Fields that are dicts stay open to new keys.
    """
    out = _unlocked(cfg).lock()
    _open_dicts(out, cfg)
    return out


def _unlocked(cfg: Any) -> ml_collections.ConfigDict:
    out = ml_collections.ConfigDict()
    for name, kind in field_types(type(cfg)).items():
        value = _convert(kind, getattr(cfg, name), name)
        if dataclasses.is_dataclass(value):
            out[name] = _unlocked(value)
        elif kind is Any or _is_union(kind):
            # ConfigDict would hold `int | None` to the type of its default, which may be None.
            out[name] = ml_collections.FieldReference(value, field_type=object)
        else:
            out[name] = value
    return out


def _open_dicts(out: ml_collections.ConfigDict, cfg: Any) -> None:
    for field in dataclasses.fields(cfg):
        value = getattr(cfg, field.name)
        if dataclasses.is_dataclass(value):
            _open_dicts(out[field.name], value)
        elif isinstance(value, Mapping):
            out[field.name].unlock()


def freeze(
    cls: type[_T], values: Mapping[str, Any] | ml_collections.ConfigDict, where: str = "config"
) -> _T:
    """Builds the frozen dataclass `cls` from `values`, strictly.

    Args:
      cls: Dataclass of int, float, bool, str, Literal, unions with None, tuple[...],
        dict[str, ...] and nested dataclasses.
      values: ConfigDict or dict; a field left out takes its default. An int is a good float.
      where: What to call the root in messages.

    Raises:
      ConfigError: for an unknown name (with the nearest valid one), a wrong type, a missing value
        or a value that the dataclass itself refuses.
    """
    kinds = field_types(cls)
    if isinstance(values, ml_collections.ConfigDict):
        values = values.to_dict()
    for name in values:
        if name not in kinds:
            raise ConfigError(f"unknown field {where}.{name}{nearest(str(name), kinds)}")
    given = {name: _convert(kinds[name], values[name], f"{where}.{name}") for name in values}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in given and _is_required(field):
            raise ConfigError(f"{where}.{field.name} is missing: it has no default, so set it")
    try:
        return cls(**given)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def field_types(cls: type) -> dict[str, Any]:
    """Name -> type of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def describe(kind: Any) -> str:
    """A type in words for a message, for example `int or None`."""
    if kind is type(None):
        return "None"
    if _is_union(kind):
        return " or ".join(describe(option) for option in typing.get_args(kind))
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the valid one that was probably meant."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; choose from {', '.join(names)}"


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type `kind`, or a ConfigError."""
    wrong = ConfigError(f"{where} = {value!r} is not {describe(kind)}: give it such a value")
    origin, args = typing.get_origin(kind) or kind, typing.get_args(kind)
    if _is_union(kind):
        return _convert_union(args, value, where, wrong)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return freeze(typing.cast(type, kind), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return _convert_tuple(args, value, where, wrong)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        item = args[1] if args else Any
        return {str(k): _convert(item, v, f"{where}.{k}") for k, v in value.items()}
    if _is_scalar(origin, args, value):
        return float(value) if kind is float else value
    raise wrong


def _is_scalar(origin: Any, args: tuple[Any, ...], value: Any) -> bool:
    if origin is typing.Literal:
        return value in args
    if origin is Any:
        return True
    if isinstance(value, bool):  # which Python takes for an int
        return origin is bool
    return isinstance(value, (int, float) if origin is float else origin)


def _convert_union(args: tuple[Any, ...], value: Any, where: str, wrong: ConfigError) -> Any:
    if type(value) in args:  # exact first: 1 stays an int in `float | int`
        return value
    for option in args:
        with contextlib.suppress(ConfigError):
            return _convert(option, value, where)
    raise wrong


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str, wrong: ConfigError) -> Any:
    if not args:
        return tuple(value)
    kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
    if len(kinds) != len(value):
        raise wrong
    return tuple(
        _convert(kind, item, f"{where}[{i}]")
        for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def steps(cfg: Any, name: str, *, batch_size: int, rows: int) -> int:
    """Length in steps, from the one field set of `<name>_steps`, `_epochs` and `_examples`.

    Args:
      cfg: Config with some of these fields, None where not set. Epochs may be fractional.
      name: What the length is of, for example `total`.
      batch_size: Rows a step.
      rows: Rows an epoch.

    Returns:
      Steps, rounded up so that every row that was asked for is seen.

    Raises:
      ConfigError: if none or more than one is set, or if it is negative.
    """
    names = [f"{name}_{unit}" for unit in ("steps", "epochs", "examples")]
    found = ((field, getattr(cfg, field, None)) for field in names)
    given = {field: value for field, value in found if value is not None}
    if len(given) != 1:
        set_now = " and ".join(f"{k} = {v}" for k, v in given.items()) or "none of them"
        raise ConfigError(
            f"set exactly one of {', '.join(names)} and leave the others None: found {set_now}"
        )
    [(field, value)] = given.items()
    if value < 0:
        raise ConfigError(f"{field} = {value} is negative: give 0 or more")
    if field.endswith("_steps"):
        return int(value)
    examples: float = value * rows if field.endswith("_epochs") else value
    # The tolerance: 0.07 epochs of 100 rows are 7.000000000000001 examples.
    return math.ceil(examples / batch_size - 1e-9)


def content(cfg: Any) -> dict[str, Any]:
    """What of a config decides the content of an artefact: JSON values, without `local` fields."""
    kinds = field_types(type(cfg))
    return {
        # Converted, so that 2 and 2.0 in a float field are the same content.
        field.name: _plain(_convert(kinds[field.name], getattr(cfg, field.name), field.name))
        for field in dataclasses.fields(cfg)
        if field.metadata.get("content", True)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return content(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def own_source(made: Callable[..., Any]) -> str | None:
    """The text of a class or function that a user has written; None of chexjax's own.

    It is what an artefact's content knows it by.
    """
    while isinstance(made, functools.partial):
        made = made.func
    return None if made.__module__.startswith("chexjax.") else inspect.getsource(made)


def digest(value: Any) -> str:
    """SHA-256 in hex of a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def render(cfg: Any, fields: Collection[str] | None = None) -> str:
    """The resolved config (dataclass or ConfigDict) as text, one `a.b = value` a line.

    Args:
      cfg: The config.
      fields: Which of its fields; None for all.
    """
    is_edge = isinstance(cfg, ml_collections.ConfigDict)
    values = cfg.to_dict() if is_edge else dataclasses.asdict(cfg)
    values = {name: value for name, value in values.items() if fields is None or name in fields}
    return "\n".join(f"{name} = {value!r}" for name, value in _flat(values))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def arguments(text: str | None, **defaults: Any) -> ml_collections.ConfigDict:
    """Reads `key=value,flag`, the text behind the colon of `--config=FILE.py:...`.

    Args:
      text: The text, None or empty for the defaults alone. A bool may go without value.
      **defaults: Every name that is allowed, with its default; values take the default's type
        (any Python literal or plain text where it is None).

    Raises:
      ConfigError: for an unknown name or a value of the wrong type.
    """
    values = dict(defaults)
    # Commas within brackets belong to the value.
    for part in re.split(r",(?![^(\[]*[)\]])", text or ""):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if name not in defaults:
            raise ConfigError(f"unknown config argument {name!r}{nearest(name, defaults)}")
        if not equals and not isinstance(defaults[name], bool):
            raise ConfigError(f"config argument {name!r} has no value: write {name}=VALUE")
        kind = Any if defaults[name] is None else type(defaults[name])
        values[name] = _read(kind, value if equals else "True", f"config argument {name}")
    return ml_collections.ConfigDict(values)


def _read(kind: Any, text: str, where: str) -> Any:
    """`text` as a value of the type `kind`."""
    if kind is str:
        return text
    literal = text.capitalize() if text in ("true", "false") else text
    try:
        value: Any = ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        value = text
    return _convert(kind, value, where)
