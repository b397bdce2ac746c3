"""An epoch has of each group what its share is, and a group repeats nothing before its end."""

import collections

import numpy as np
import pytest

from chexjax.data.batches import PADDING, Plan, make_buckets
from chexjax.data.mix import make_mix

GROUPS = {"large": np.arange(0, 80), "small": np.arange(80, 90), "none": np.arange(90, 100)}


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ({"large": 1.0, "small": 1.0, "none": 2.0}, [25, 25, 50]),
        ({"large": 0.5, "small": 0.3, "none": 0.2}, [50, 30, 20]),
        ({"large": 1.0, "small": 1.0, "none": 1.0}, [34, 33, 33]),  # 33.3 each
        ({"large": 1.0, "small": 2.0, "none": 0.0}, [33, 67, 0]),
    ],
)
def test_shares_become_whole_numbers_that_fill_an_epoch(shares, counts):
    assert make_mix(GROUPS, shares).counts == counts


def plan(seed=0, batch_size=8):
    lengths = np.random.default_rng(5).integers(1, 90, (100, 2)).astype(np.int32)
    mix = make_mix(GROUPS, {"large": 0.5, "small": 0.3, "none": 0.2})
    buckets = make_buckets(lengths, 3)
    return Plan(lengths=lengths, buckets=buckets, batch_size=batch_size, seed=seed, mix=mix)


def rows(plan, number):
    found = np.concatenate([batch.rows for batch in plan.epoch(number)])
    return found[found != PADDING]


def test_batches_have_the_planned_shares_in_every_epoch():
    for number in range(4):
        found = rows(plan(), number)
        assert len(plan().epoch(number)) == plan().batches_per_epoch == 13
        assert np.histogram(found, [0, 80, 90, 100])[0].tolist() == [50, 30, 20]


def test_a_group_goes_through_all_its_rows_before_it_repeats_one():
    seen = collections.Counter(np.concatenate([rows(plan(), k) for k in range(8)]).tolist())
    assert {seen[k] for k in range(80)} == {5}  # 400 of 80
    assert {seen[k] for k in range(80, 90)} == {24}
    first = rows(plan(), 0)
    assert len(set(first[first < 80].tolist())) == 50


def test_an_epoch_follows_from_seed_and_number_alone():
    assert rows(plan(), 3).tolist() == rows(plan(), 3).tolist()
    assert rows(plan(), 3).tolist() != rows(plan(seed=1), 3).tolist()
    assert rows(plan(), 3).tolist() != rows(plan(), 2).tolist()


def test_without_a_seed_groups_keep_their_order():
    mix = make_mix({"a": np.asarray([4, 2]), "b": np.asarray([7])}, {"a": 2.0, "b": 1.0})
    assert mix.epoch(0, None).tolist() == [4, 2, 7]
