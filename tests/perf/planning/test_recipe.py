"""Bounds of bulk work and of the whole recipe, by hand."""

import dataclasses

import jax
import pytest

from chexjax.config import ConfigError
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.perf.chips import CHIPS
from chexjax.perf.planning.aot import Compiled
from chexjax.perf.planning.bulk import Program, largest_power
from chexjax.perf.planning.recipe import Counts, chip_hours, recipe
from chexjax.perf.planning.serving import Served
from chexjax.perf.planning.step import PlannedStep
from chexjax.perf.planning.topology import Topology
from chexjax.perf.planning.traffic import Traffic

CHIP = CHIPS["h100"]
MESH = make_mesh(MeshConfig(), devices=jax.devices()[:1])
PLACE = Topology(name="h100:1", mesh=MESH, memory=100, chip=CHIP)


def program(name, *, executed=0.0, moved=0.0, traffic=0.0, runs=1.0, peak=0, beside=0):
    compiled = Compiled(
        arguments=0,
        temporaries=0,
        outputs=0,
        peak=peak,
        memory=PLACE.memory,
        seconds=0.0,
        collectives=[],
        traffic=Traffic(matmuls=traffic, rest=0.0),
        flops=None,
    )
    step = PlannedStep(compiled=compiled, executed=executed)
    return Program(name=name, step=step, moved=moved, runs=runs, beside=beside)


def engine(asked, *programs):
    return Served(asked=asked, slots=1, resident=0, programs=programs)


def test_a_program_is_bound_by_what_takes_longest():
    written = program("write", executed=0.001 * CHIP.flops, moved=0.004 * CHIP.memory)
    read = program("read", executed=0.003 * CHIP.flops, moved=0.001 * CHIP.memory)
    bounds = [one.seconds(PLACE) for one in (written, read)]
    assert bounds == pytest.approx([0.004, 0.003])
    assert written.limit(PLACE) == "memory"
    assert read.limit(PLACE) == "compute"


def test_as_compiled_all_that_is_moved_counts():
    """8 ms of reading a half-empty room take the place of the 4 ms that there is to read."""
    found = program("write", moved=0.004 * CHIP.memory, traffic=0.008 * CHIP.memory)
    assert (found.seconds(PLACE), found.compiled(PLACE)) == pytest.approx((0.004, 0.008))


def test_what_lies_beside_a_program_takes_its_memory():
    assert program("x", peak=60, beside=40).fits
    assert not program("x", peak=60, beside=41).fits


def test_tokens_by_hand():
    """4 rows of 150 tokens in 2 runs of 50 ms and a reading of 20 ms: 600 tokens in 120 ms."""
    asked = Counts().sampled(preset("chexagent2_nano", Family))
    found = engine(
        asked,
        program("write", moved=0.050 * CHIP.memory, runs=2),
        program("read", executed=0.020 * CHIP.flops),
    )
    assert found.tokens(PLACE) == pytest.approx(600 / 0.120)


def test_hours_of_the_recipe_by_hand():
    """7,200 studies of 0.5 s to sample and 1 s to judge; 3,600 pairs of 0.1 s and 0.3 s."""
    counts = dataclasses.replace(Counts(), studies=7200, kept=0.5)
    half = program("write", moved=0.25 * CHIP.memory, runs=2)
    whole = program("write", moved=1.0 * CHIP.memory)
    score = program("score", executed=3.2 * CHIP.flops, runs=1 / 32)
    step = program("align", executed=19.2 * CHIP.flops, runs=1 / 64)
    stages = recipe(
        counts,
        sample=(engine(counts.judged(), half), PLACE),
        judge=(engine(counts.judged(), whole), PLACE),
        reference=(score, PLACE),
        align=(step, PLACE),
    )
    hours = chip_hours(stages)
    assert hours == pytest.approx({"sample": 1.0, "judge": 2.0, "reference": 0.1, "align": 0.3})


def test_the_counts_are_the_papers():
    """148k studies, 1.6 % of which all candidates tie; GREEN's own words around two reports."""
    counts = Counts()
    assert counts.pairs == 145_632
    sampled = counts.sampled(preset("chexagent2_3b", Family))
    assert (sampled.shared, sampled.rows, sampled.limit) == (2 * 1024 + 128, 4, 512)
    judged = counts.judged()
    assert (judged.preamble, judged.shared, judged.own, judged.written) == (284, 113, 347, 443)


@pytest.mark.parametrize(("room", "expected"), [(100, 8), (30, 2), (10, 1)])
def test_the_largest_power_of_two_that_fits_is_found(room, expected):
    def plan(size):
        if size > 4 and room < 100:
            raise ConfigError("a TPU's compiler gives up")
        return program(str(size), peak=size * 10 * PLACE.memory // room)

    assert largest_power(plan, 11, "x", PLACE).name == str(expected)


def test_what_does_not_fit_at_all_is_said():
    with pytest.raises(ConfigError, match=r"x takes .* h100:1.*tensor"):
        largest_power(lambda size: program("x", peak=101 * size), 4, "x", PLACE)
