"""Whoever samples does the same work: at temperature 0 they write the same reports."""

import dataclasses

import pytest

from chexjax.engine import EngineConfig
from chexjax.perf import sample, sample_work
from chexjax.perf import work as work_of
from chexjax.perf.sample_work import SIZES, Work

TOY = Work(
    policy=work_of.Work(vision=(2, 16, 2, 16, 8), decoder=(2, 16, 2, 4), chosen=(), rejected=()),
    studies=3,
    candidates=2,
    text=6,
    new=7,
)
GREEDY = dataclasses.replace(TOY, temperature=0.0)
ENGINE = EngineConfig(slots=6, lanes=3, bucket=32)  # as `bench sample` has it for the toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The toy's checkpoint."""
    made = tmp_path_factory.mktemp("sample")
    sample.write_checkpoint(made, TOY)
    return made


@pytest.fixture(scope="module")
def greedy(folder):
    """What we write at temperature 0."""
    return sample.make_writer(folder, GREEDY, ENGINE)(0)


def test_our_reports_are_drawn_anew_in_each_step(folder, greedy):
    write = sample.make_writer(folder, TOY, ENGINE)
    first, second, again = write(0), write(1), write(0)
    assert first.shape == (3, 2, 7)
    assert (first == again).all() and (first != second).mean() > 0.9
    assert (first[:, 0] != first[:, 1]).mean() > 0.9
    assert (greedy[:, 0] == greedy[:, 1]).all()
    assert len({tuple(report) for report in greedy[:, 0].tolist()}) == 3  # or studies were mixed up


@pytest.mark.parametrize("shared", [False, True])
def test_transformers_writes_what_we_write(folder, greedy, shared):
    """On the same parameters, images and prompts, whether it reads a prompt once or for each."""
    pytest.importorskip("torch", reason="the peer needs torch: CHEXJAX_EXTRAS=bench")
    from chexjax.perf.peers.hf_sample import make_writer

    write = make_writer(folder, GREEDY, shared=shared)
    assert (write(0) == greedy).all()
    assert (write(1) == greedy).all()  # nothing of the step before is in the way


def test_the_work_is_the_stated_one():
    """Studies, visual and text tokens of a prompt, new tokens of four reports of each study."""
    found = {name: (w.studies, w.visual, w.text, w.written) for name, w in SIZES.items()}
    written = 8 * 4 * 128
    assert found == {
        "S": (8, 64, 32, written),
        "M": (8, 256, 32, written),
        "L": (8, 576, 32, written),
    }
    asked = sample_work.prompts(SIZES["S"])
    assert asked.pixels.shape == (8, 128, 128, 3) and asked.text.shape == (8, 32)
    assert asked.text.min() >= 10 and asked.text.max() < 51_200


def test_the_count_is_that_of_a_loop_over_tokens():
    """Tower and connector once a study, and every token that must be computed, one by one."""
    width, layers = 16, 2
    linear = 2 * (4 * width**2 + 2 * width * 4 * width)
    tower = 4 * layers * (linear + 4 * width * 4)  # four patches, each seeing four
    tower += 4 * (2 * 8 * 8 * 3 * width + 2 * 2 * width**2)  # patches' projection, connector
    layer = {at: linear + 4 * width * (at + 1) for at in range(4 + 6 + 7)}
    head = 2 * width * 51_200
    total = 3 * tower
    for at in range(9):  # read: one layer fully, of the other keys and values
        total += 3 * (layer[at] + 4 * width**2)
    for at in range(9, 9 + 7):
        total += 6 * (2 * layer[at] + head)
    assert sample_work.useful_flops(TOY) == total
