"""`serve`: a model over HTTP, for clients of OpenAI's protocol and for judgements."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence

from absl import flags
from rich.console import Console

from chexjax.config import ConfigError, freeze, render
from chexjax.config.command import read_config, read_flags, split_overrides
from chexjax.serve import ServeConfig

_FORM = "chexjax serve --config=FILE.py[:key=value,...] [--dry_run] [--config.a.b=value]"


def serve(argv: Sequence[str], console: Console) -> None:
    """Serves until the process is told to stop.

    Raises:
      ConfigError: the command line, the config or the model's folder cannot be used.
    """
    overrides, rest = split_overrides(argv)
    own = flags.FlagValues()
    flags.DEFINE_string("config", None, "Config file.", flag_values=own)
    flags.DEFINE_bool("dry_run", False, "Check the files, serve nothing.", flag_values=own)
    if more := read_flags(own, rest, _FORM):
        raise ConfigError(f"{more[0]} is no flag: write {_FORM}")
    if not own["config"].value:
        raise ConfigError(f"--config is missing: write {_FORM}")
    config = freeze(ServeConfig, read_config(str(own["config"].value), overrides, ServeConfig))
    console.print(render(config), highlight=False, markup=False)
    try:
        from chexjax.serve import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a server needs the package {error.name}: CHEXJAX_EXTRAS=serve, or pip install "
            "chexjax[serve]"
        ) from error
    try:
        if own["dry_run"].value:
            served, rubric = server.read_served(config)
            judging = "with" if rubric else "without"
            console.print(f"{served.name}: {served.family.name}, {judging} /v1/judge")
            return
        with _log_to_stderr():
            server.run(config, lambda line: print(line, flush=True))
    except ValueError as error:
        raise ConfigError(f"config: {error}") from error


@contextlib.contextmanager
def _log_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("chexjax.serve", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a library may have given the root a handler of its own
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
