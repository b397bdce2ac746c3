"""The command line: `chexjax STAGE --config=FILE.py:args --workdir=DIR --config.a.b=value`."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import traceback
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from chexjax.config.schema import ConfigError, config_dict, describe, field_types, freeze, nearest

_FORM = "chexjax STAGE --config=FILE.py[:key=value,...] --workdir=DIR [--config.a.b=value]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What the command line asked for.

    Attributes:
      stage: Name of the stage.
      config: The run's config with all overrides in it, checked against the schema.
      workdir: Folder that the stages read and write, or the URL of one in a bucket.
      dry_run: Print shapes and sizes, do no work.
    """

    stage: str
    config: ml_collections.ConfigDict
    workdir: str
    dry_run: bool


def parse(
    argv: Sequence[str],
    stages: Sequence[str],
    schema: type,
    *,
    short: Mapping[str, str] = types.MappingProxyType({}),
    homes: Mapping[str, str] = types.MappingProxyType({}),
) -> Command:
    """Reads the command line (without the program's name).

    Args:
      argv: `STAGE --config=FILE.py[:args] --workdir=DIR [--dry_run] [--config.a.b=value ...]`.
      stages: Valid names of stages.
      schema: Dataclass of the whole run's config, which `get_config` of the config file must
        return as a ConfigDict (made by `chexjax.config.config_dict`).
      short: Flags that stand for fields: `{"path": "source.path"}` is `--path` for
        `--config.source.path`.
      homes: Stages that need neither config file nor workdir -> the workdir where none is given,
        with fields of the config in braces, `runs/{config.source.name}`.

    Raises:
      ConfigError: for whatever cannot be understood.
    """
    overrides, rest = split_overrides(argv)
    own = flags.FlagValues()  # not absl's global flags: a caller may have its own
    flags.DEFINE_string("config", None, "Config file.", flag_values=own)
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=own)
    flags.DEFINE_bool("dry_run", False, "Do no work.", flag_values=own)
    for name, field in short.items():
        flags.DEFINE_string(name, None, f"Sets config.{field}.", flag_values=own)
    stage = _stage(read_flags(own, rest, _FORM), stages)
    given = {name: own[name].value for name in own}
    for name in ("config", "workdir"):
        if not given[name] and stage not in homes:
            raise ConfigError(f"--{name} is missing: write {_FORM}")
    meant = [f"--config.{field}={given[name]}" for name, field in short.items() if given[name]]
    config = read_config(given["config"], [*meant, *overrides], schema)
    return Command(
        stage=stage,
        config=config,
        workdir=given["workdir"] or homes[stage].format(config=config),
        dry_run=bool(given["dry_run"]),
    )


def split_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line's `--config.a.b=value`, and the rest of it."""
    overrides = [argument for argument in argv if re.match(r"--?(no)?config\.", argument)]
    return overrides, [argument for argument in argv if argument not in overrides]


def read_config(
    spec: str | None, overrides: Sequence[str], schema: type
) -> ml_collections.ConfigDict:
    """The config of `FILE.py[:args]` with all overrides in it, checked against the schema.

    Args:
      spec: The file; None for the schema's defaults.
      overrides: `--config.a.b=value`.
      schema: Dataclass of the whole config.

    Raises:
      ConfigError: for whatever cannot be understood.
    """
    config = _load(spec) if spec else config_dict(schema())
    for argument in overrides:
        override(config, argument, schema)
    freeze(schema, config)
    return config


def read_flags(values: flags.FlagValues, argv: Sequence[str], form: str) -> list[str]:
    """Parses flags into `values`; returns what is no flag.

    Args:
      values: The flags that there are.
      argv: A command line without the program's name.
      form: What a right one looks like, for messages.

    Raises:
      ConfigError: a flag is unknown (with the nearest one) or has no such value.
    """
    try:
        return list(values(["chexjax", *argv]))[1:]
    except flags.UnrecognizedFlagError as error:
        hint = nearest(f"--{error.flagname}", [f"--{name}" for name in values])
        raise ConfigError(f"unknown flag --{error.flagname}{hint}") from None
    except flags.Error as error:
        raise ConfigError(f"{error}: write {form}") from None


def _stage(positional: Sequence[str], stages: Sequence[str]) -> str:
    if len(positional) != 1:
        found = " ".join(positional) or "none"
        raise ConfigError(f"expected the name of one stage, found {found}: write {_FORM}")
    if positional[0] not in stages:
        raise ConfigError(f"unknown stage {positional[0]!r}{nearest(positional[0], stages)}")
    return positional[0]


def _load(spec: str) -> ml_collections.ConfigDict:
    """Runs `get_config` of `FILE.py[:args]`."""
    name, colon, text = spec.partition(":")
    path = Path(name)
    if not path.is_file():
        near = [file.name for file in sorted(path.parent.glob("*.py"))]
        hint = nearest(path.name, near) if near else "; give the path of a config file"
        raise ConfigError(f"--config={spec}: there is no file {path}{hint}")
    try:
        module = _module(path)
        if not hasattr(module, "get_config"):
            raise ConfigError("there is no function get_config(arg=None) in it: add one")
        config = module.get_config(text if colon else None)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(config, ml_collections.ConfigDict):
        raise ConfigError(
            f"{path}: get_config returned {type(config).__name__}, not a ConfigDict: "
            "return chexjax.config.config_dict(...) of the run's dataclass"
        )
    return config.lock()


def _module(path: Path) -> types.ModuleType:
    """Imports a config file; it may import its neighbours, as a script may."""
    spec = importlib.util.spec_from_file_location(f"chexjax_config_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = (
        module  # where dataclasses and the source text of its classes are found
    )
    sys.path.insert(0, str(path.parent.absolute()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent.absolute()))
    return module


def override(config: ml_collections.ConfigDict, argument: str, schema: type) -> None:
    """Applies one `--config.a.b=value` to `config`, in place."""
    dotted, _, text = argument.partition("config.")[2].partition("=")
    kind = _kind(config, dotted, schema)
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, sys_argv=["chexjax", argument]
        )
        values(["chexjax", argument])
    except (flags.Error, TypeError, ValueError):
        found = f"= {text!r}" if "=" in argument else "without a value"
        raise ConfigError(
            f"config.{dotted} {found} is not {describe(kind)}: write --config.{dotted}=VALUE"
        ) from None


def _kind(config: ml_collections.ConfigDict, dotted: str, schema: Any) -> Any:
    """Type of the field to override; makes room for a new key of a dict.

    Raises:
      ConfigError: if there is no such field, or if it is a group of fields.
    """
    where, kind = "config", schema
    for name in dotted.split("."):
        if dataclasses.is_dataclass(kind):
            kinds = field_types(typing.cast(type, kind))
            if name not in kinds:
                raise ConfigError(f"unknown field {where}.{name}{nearest(name, kinds)}")
            kind = kinds[name]
        elif isinstance(config, ml_collections.ConfigDict):
            kind = (*typing.get_args(kind), Any, Any)[1]
            if name not in config:
                with config.unlocked():
                    config[name] = ml_collections.FieldReference(None, field_type=object)
        else:
            raise ConfigError(f"{where} is a single value: there is no {where}.{name} to set")
        config, where = config[name], f"{where}.{name}"
    if dataclasses.is_dataclass(kind):
        names = ", ".join(field_types(typing.cast(type, kind)))
        raise ConfigError(f"{where} is a group of fields: set one of them, {names}")
    return kind
