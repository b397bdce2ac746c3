"""The command line sets any field, typed by the dataclass, and explains every mistake."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from chexjax.config import ConfigError, freeze, local
from chexjax.config.command import Command, parse

STAGES = ("ingest", "sft", "sample", "run")
CONFIG = """
import neighbour
from chexjax import config

def get_config(arg=None):
    args = config.arguments(arg, lr=0.25, long=False)
    out = config.config_dict(neighbour.RUN)
    out.sft.learning_rate = args.lr
    if args.long:
        out.sft.total_steps = 1000
    return out
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    learning_rate: float = 1e-3
    total_steps: int | None = None
    total_epochs: float | None = 2.0
    note: str | None = None
    remat: bool = False
    sizes: tuple[int, ...] = (1, 2)
    options: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    seed: int = 0
    title: str = "a run"
    sft: Train = Train()
    threads: int = local(2)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file that imports its neighbour, which hands on this module's Run."""
    monkeypatch.setitem(sys.modules, "these_tests", sys.modules[__name__])
    (tmp_path / "neighbour.py").write_text("from these_tests import Run\nRUN = Run()\n")
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)
    return path


def read(config: Path | str, *rest: str) -> tuple[Command, Run]:
    command = parse(["sft", f"--config={config}", "--workdir=out", *rest], STAGES, Run)
    return command, freeze(Run, command.config)


def test_a_plain_command(config: Path) -> None:
    command, run = read(config)
    assert (command.stage, command.workdir, command.dry_run) == ("sft", "out", False)
    assert run == Run(sft=Train(learning_rate=0.25))


def test_flags_may_come_in_any_order_and_with_a_space(config: Path) -> None:
    argv = ["--dry_run", "--config.seed=4", "--workdir", "out", f"--config={config}", "run"]
    command = parse(argv, STAGES, Run)
    assert (command.stage, command.dry_run, command.config.seed) == ("run", True, 4)


def test_arguments_reach_get_config(config: Path) -> None:
    _, run = read(f"{config}:lr=3,long")
    assert run.sft == Train(learning_rate=3.0, total_steps=1000)


def test_every_kind_of_field_can_be_overridden(config: Path) -> None:
    _, run = read(
        config,
        "--config.seed=-1",
        "--config.title=7 = seven",
        "--config.sft.learning_rate=1",
        "--config.sft.total_steps=50",
        "--config.sft.total_epochs=None",
        "--config.sft.note=why not",
        "--config.sft.remat",
        "--config.sft.sizes=(3,4,5)",
        "--config.sft.options.beta=0.5",
        "--config.sft.options.gamma=1",
    )
    assert run == Run(
        seed=-1,
        title="7 = seven",
        sft=Train(
            learning_rate=1.0,
            total_steps=50,
            total_epochs=None,
            note="why not",
            remat=True,
            sizes=(3, 4, 5),
            options={"beta": 0.5, "gamma": 1.0},
        ),
    )


def test_bools_can_be_switched_off(config: Path) -> None:
    assert not read(config, "--config.sft.remat", "--noconfig.sft.remat")[1].sft.remat
    assert not read(config, "--config.sft.remat=false")[1].sft.remat


def test_parsing_leaves_no_global_flags_behind(config: Path) -> None:
    assert read(config, "--config.seed=1")[1].seed == 1
    assert read(config)[1].seed == 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.sft.learning_rat=1", r"config\.sft\.learning_rat; did you mean learning_rate"),
        ("--config.sed=1", r"config\.sed; did you mean seed"),
        ("--config.seed=1.5", r"config\.seed = '1\.5' is not int: write --config\.seed=VALUE"),
        ("--config.seed", r"config\.seed without a value is not int"),
        ("--config.seed.low=1", r"config\.seed is a single value"),
        ("--config.sft=1", r"config\.sft is a group of fields: set one of them, learning_rate"),
        ("--config.sft.total_steps=1.5", r"total_steps = 1\.5 is not int or None"),
        ("--config.sft.remat=maybe", r"config\.sft\.remat = 'maybe' is not bool"),
        ("--config.sft.sizes=('a',)", r"config\.sft\.sizes\[0\] = 'a' is not int"),
        ("--config.sft.options.beta=x", r"config\.sft\.options\.beta = 'x' is not float"),
        ("--workdri=x", r"unknown flag --workdri; did you mean --workdir"),
        ("evaluate", r"name of one stage, found sft evaluate"),
    ],
)
def test_a_mistake_names_the_nearest_valid_thing(config: Path, argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(config, argument)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sfft", "--config=c.py", "--workdir=x"], r"unknown stage 'sfft'; did you mean sft"),
        ([], r"name of one stage, found none: write chexjax STAGE"),
        (["sft", "--workdir=x"], r"--config is missing"),
        (["sft", "--config=c.py"], r"--workdir is missing"),
        (["sft", "--config=/none/c.py", "--workdir=x"], r"there is no file /none/c\.py"),
    ],
)
def test_what_is_missing_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(argv, STAGES, Run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"tiny\.py: there is no function get_config"),
        ("def get_config(arg=None):\n    return 3", r"returned int, not a ConfigDict"),
        ("def get_config(arg=None):\n    return 1 / 0", r"tiny\.py, line 2: ZeroDivisionError"),
        ("def get_config(", r"tiny\.py: SyntaxError"),
        (CONFIG.replace("learning_rate", "learning_rat"), r"tiny\.py, line 8: .*learning_rat"),
        (CONFIG.replace("1000", "'many'"), r"config\.sft\.total_steps = 'many' is not int or No"),
    ],
)
def test_a_broken_config_file_is_explained(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read(f"{config}:long" if text.startswith("\n") else config)


def test_a_misspelt_config_file_gets_the_nearest_one(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*tinny\.py; did you mean tiny\.py"):
        read(config.with_name("tinny.py"))


def test_unknown_config_arguments_name_the_file(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.py: unknown config argument 'lrr'; .* lr"):
        read(f"{config}:lrr=1")
