"""Configs are strict, typed, and hash only what decides the content."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import pytest

from chexjax.config import (
    ConfigError,
    arguments,
    config_dict,
    content,
    digest,
    freeze,
    local,
    render,
    steps,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    learning_rate: float = 1e-3
    batch_size: int = 8
    total_steps: int | None = None
    total_epochs: float | None = 2.0
    total_examples: int | None = None
    freeze: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "constant"] = "cosine"
    remat: bool = False
    options: dict[str, float] = dataclasses.field(default_factory=lambda: {"beta": 1})

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size = {self.batch_size}: give 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    seed: int
    name: str | None = None
    sft: Train = Train()
    threads: int = local(4)
    mesh: Train = local(Train(batch_size=2))


def test_round_trip_through_the_config_dict_changes_nothing() -> None:
    run = Run(seed=3, sft=Train(freeze=("vision/",), options={"beta": 0.5}))
    assert freeze(Run, config_dict(run)) == run


def test_config_dict_is_locked_and_typed_but_open_where_a_dict_or_none_is() -> None:
    config = config_dict(Run(seed=3))
    with pytest.raises(AttributeError, match="learning_rat"):
        config.sft.learning_rat = 1.0
    with pytest.raises(TypeError):
        config.sft.batch_size = 1.5
    config.sft.learning_rate = 1
    config.sft.total_steps, config.sft.total_epochs = 100, None
    config.sft.options.gamma = 2
    sft = freeze(Run, config).sft
    assert (sft.learning_rate, sft.total_steps, sft.total_epochs) == (1.0, 100, None)
    assert sft.options == {"beta": 1.0, "gamma": 2.0}


def test_freeze_takes_an_int_for_a_float_and_a_list_for_a_tuple() -> None:
    train = freeze(Train, {"learning_rate": 1, "total_epochs": 3, "freeze": ["a", "b"]})
    assert train == Train(learning_rate=1.0, total_epochs=3.0, freeze=("a", "b"))
    assert isinstance(train.learning_rate, float) and isinstance(train.total_epochs, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 1, "sft": {"learning_rat": 1.0}}, r"config\.sft\.learning_rat; .* learning_rate"),
        ({"seed": 1, "quite_else": 1}, r"config\.quite_else; choose from seed, name"),
        ({"seed": "1"}, r"config\.seed = '1' is not int"),
        ({"seed": True}, r"config\.seed = True is not int"),
        ({"seed": 1.0}, r"config\.seed = 1\.0 is not int"),
        ({"seed": 1, "sft": {"remat": 1}}, r"config\.sft\.remat = 1 is not bool"),
        ({"seed": 1, "sft": {"total_steps": 1.5}}, r"total_steps = 1\.5 is not int or None"),
        ({"seed": 1, "sft": {"freeze": "a"}}, r"config\.sft\.freeze = 'a' is not tuple\[str"),
        ({"seed": 1, "sft": {"freeze": (1,)}}, r"config\.sft\.freeze\[0\] = 1 is not str"),
        ({"seed": 1, "sft": {"betas": (0.9,)}}, r"config\.sft\.betas = \(0\.9,\) is not tuple"),
        ({"seed": 1, "sft": {"options": {"b": "x"}}}, r"config\.sft\.options\.b = 'x'"),
        ({"seed": 1, "sft": {"schedule": "cos"}}, r"schedule = 'cos' is not one of 'cosine', 'co"),
        ({"seed": 1, "sft": 3}, r"config\.sft = 3 is not Train"),
        ({"seed": 1, "sft": {"batch_size": 0}}, r"config\.sft: batch_size = 0: give 1 or more"),
        ({}, r"config\.seed is missing"),
    ],
)
def test_freeze_names_the_field_and_the_remedy(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        freeze(Run, values)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ({"total_steps": 7}, 7),
        ({"total_steps": 0}, 0),
        ({"total_epochs": 1}, 13),  # 100 rows at 8: the last batch has 4
        ({"total_epochs": 0.5}, 7),  # 50 rows
        ({"total_examples": 16}, 2),
        ({"total_examples": 17}, 3),
    ],
)
def test_steps_covers_every_row_that_was_asked_for(length: dict[str, Any], expected: int) -> None:
    config = Train(**{"total_epochs": None, **length})
    assert steps(config, "total", batch_size=8, rows=100) == expected


def test_steps_are_not_rounded_up_by_a_rounding_error() -> None:
    assert 0.07 * 100 > 7  # the trap
    assert steps(Train(total_epochs=0.07), "total", batch_size=1, rows=100) == 7


def test_contradictory_or_missing_durations_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"exactly one of total_steps.*total_steps = 5 and total"):
        steps(Train(total_steps=5), "total", batch_size=8, rows=100)
    with pytest.raises(ConfigError, match=r"total_examples.*none of them"):
        steps(Train(total_epochs=None), "total", batch_size=8, rows=100)
    with pytest.raises(ConfigError, match="negative"):
        steps(Train(total_epochs=-1.0), "total", batch_size=8, rows=100)


def test_content_leaves_out_what_does_not_change_the_content() -> None:
    one = content(Run(seed=1, threads=1, mesh=Train(batch_size=64)))
    assert "threads" not in one and "mesh" not in one
    assert digest(one) == digest(content(Run(seed=1)))
    assert digest(one) != digest(content(Run(seed=2)))
    assert json.loads(json.dumps(one)) == one


def test_an_int_and_a_float_of_the_same_value_are_the_same_content() -> None:
    assert digest(content(Train(total_epochs=2))) == digest(content(Train(total_epochs=2.0)))


def test_digest_is_the_sha256_of_canonical_json() -> None:
    # printf '{"a":[1,2.5],"b":null}' | sha256sum
    known = "f66b2c50ccae61e3f2445d2439f42efc245581b18ed184ce5d3c22fb58eed9c4"
    assert digest({"b": None, "a": [1, 2.5]}) == known


def test_render_has_one_line_a_field() -> None:
    lines = render(Run(seed=3)).splitlines()
    assert lines[:2] == ["seed = 3", "name = None"]
    assert "sft.options.beta = 1" in lines and "sft.betas = (0.9, 0.999)" in lines
    assert set(render(config_dict(Run(seed=3))).splitlines()) >= {"seed = 3", "sft.freeze = ()"}


def test_arguments_take_the_types_of_their_defaults() -> None:
    args = arguments(
        "model=tiny, lr=1,freeze,sizes=(1,2),n=3,debug=false",
        model="full",
        lr=1e-3,
        freeze=False,
        sizes=(),
        n=None,
        debug=True,
    )
    assert args.to_dict() == {
        "model": "tiny",
        "lr": 1.0,
        "freeze": True,
        "sizes": (1, 2),
        "n": 3,
        "debug": False,
    }


@pytest.mark.parametrize("text", [None, ""])
def test_arguments_default_to_the_defaults(text: str | None) -> None:
    assert arguments(text, lr=0.5).lr == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle=tiny", r"unknown config argument 'modle'; did you mean model"),
        ("lr", r"'lr' has no value: write lr=VALUE"),
        ("lr=fast", r"lr = 'fast' is not float"),
        ("n=1.5", r"n = 1\.5 is not int"),
    ],
)
def test_bad_arguments_name_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arguments(text, model="full", lr=1e-3, n=1)
