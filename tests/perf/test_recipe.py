"""Bounds of bulk work and of the whole recipe, by hand."""

import dataclasses

import jax
import pytest

from chexjax.config import ConfigError
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.perf.aot import Compiled
from chexjax.perf.bulk import Program, largest
from chexjax.perf.chips import CHIPS
from chexjax.perf.plan import PlannedStep
from chexjax.perf.recipe import Counts, chip_hours, recipe
from chexjax.perf.serving import Served
from chexjax.perf.topology import Topology

CHIP, BANDWIDTH = CHIPS["h100"], 3.35e12
PLACE = Topology(name="h100:1", mesh=make_mesh(MeshConfig(), devices=jax.devices()[:1]), memory=100)


def program(name, *, executed=0.0, moved=0.0, runs=1.0, peak=0, beside=0):
    compiled = Compiled(
        arguments=0,
        temporaries=0,
        outputs=0,
        peak=peak,
        memory=PLACE.memory,
        seconds=0.0,
        collectives=[],
        flops=None,
    )
    step = PlannedStep(compiled=compiled, executed=executed)
    return Program(name=name, step=step, moved=moved, runs=runs, beside=beside)


def engine(asked, *programs):
    return Served(asked=asked, slots=1, resident=0, programs=programs)


def test_a_program_is_bound_by_what_takes_longest():
    written = program("write", executed=0.001 * CHIP.flops, moved=0.004 * BANDWIDTH)
    read = program("read", executed=0.003 * CHIP.flops, moved=0.001 * BANDWIDTH)
    bounds = [(one.seconds(PLACE, CHIP, BANDWIDTH)) for one in (written, read)]
    assert bounds == pytest.approx([0.004, 0.003])
    assert written.limit(PLACE, CHIP, BANDWIDTH) == "memory"
    assert read.limit(PLACE, CHIP, BANDWIDTH) == "compute"


def test_what_lies_beside_a_program_takes_its_memory():
    assert program("x", peak=60, beside=40).fits
    assert not program("x", peak=60, beside=41).fits


def test_tokens_by_hand():
    """4 rows of 150 tokens in 2 runs of 50 ms and a reading of 20 ms: 600 tokens in 120 ms."""
    asked = Counts().sampled(preset("chexagent2_nano", Family))
    found = engine(
        asked,
        program("write", moved=0.050 * BANDWIDTH, runs=2),
        program("read", executed=0.020 * CHIP.flops),
    )
    assert found.tokens(PLACE, CHIP, BANDWIDTH) == pytest.approx(600 / 0.120)


def test_hours_of_the_recipe_by_hand():
    """7,200 studies of 0.5 s to sample and 1 s to judge; 3,600 pairs of 0.1 s and 0.3 s."""
    counts = dataclasses.replace(Counts(), studies=7200, kept=0.5)
    half = program("write", moved=0.25 * BANDWIDTH, runs=2)
    whole = program("write", moved=1.0 * BANDWIDTH)
    score = program("score", executed=3.2 * CHIP.flops, runs=1 / 32)
    step = program("align", executed=19.2 * CHIP.flops, runs=1 / 64)
    stages = recipe(
        counts,
        sample=(engine(counts.judged(), half), PLACE),
        judge=(engine(counts.judged(), whole), PLACE),
        reference=(score, PLACE),
        align=(step, PLACE),
    )
    hours = chip_hours(stages, CHIP, BANDWIDTH)
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

    assert largest(plan, 11, "x", PLACE).name == str(expected)


def test_what_does_not_fit_at_all_is_said():
    with pytest.raises(ConfigError, match=r"x takes .* h100:1.*tensor"):
        largest(lambda size: program("x", peak=101 * size), 4, "x", PLACE)
