"""The batch plan: every row once an epoch, the same for every process, resumable at any batch."""

import numpy as np
import pytest

from chexjax.data.batches import PADDING, Bucket, Plan, PlannedBatch, iterate, make_buckets


def plan(rows=37, batch=4, buckets=2, seed=3):
    rng = np.random.default_rng(0)
    lengths = np.stack([rng.integers(5, 20, rows), rng.integers(1, 60, rows)], 1)
    return Plan(
        lengths=lengths, buckets=make_buckets(lengths, buckets), batch_size=batch, seed=seed
    )


def rows_of(batch: PlannedBatch):
    return {"rows": batch.rows, "bucket": np.asarray(batch.bucket)}


@pytest.mark.parametrize("epoch", [0, 1, 5])
@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_stands_in_exactly_one_batch_of_an_epoch(epoch, seed):
    batches = plan(seed=seed).epoch(epoch)
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows[rows != PADDING]) == list(range(37))
    assert len(batches) == plan().batches_per_epoch == 10


def test_every_row_fits_its_bucket():
    made = plan()
    for batch in made.epoch(0):
        lengths = made.lengths[batch.rows[batch.rows != PADDING]]
        assert (lengths <= np.asarray(batch.bucket)).all()


def test_epochs_and_seeds_shuffle_differently_and_the_same_seed_alike():
    def order(seed, epoch):
        return np.concatenate([b.rows for b in plan(seed=seed).epoch(epoch)]).tolist()

    assert order(3, 0) == order(3, 0)
    assert order(3, 0) != order(3, 1)
    assert order(3, 0) != order(4, 0)


def test_the_slices_of_all_processes_make_the_global_batch():
    made = plan()
    whole = list(iterate(made, rows_of, start=0, total=12))
    halves = [
        list(iterate(made, rows_of, start=0, total=12, process=p, processes=2)) for p in (0, 1)
    ]
    for one, first, second in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(one["rows"], np.concatenate([first["rows"], second["rows"]]))


def test_starting_at_a_batch_continues_the_sequence_into_later_epochs():
    made = plan()
    whole = [b["rows"].tolist() for b in iterate(made, rows_of, start=0, total=25)]
    rest = [b["rows"].tolist() for b in iterate(made, rows_of, start=13, total=25)]
    assert len(whole) == 25
    assert rest == whole[13:]


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match="batch_size=4 .* 3 processes"):
        iterate(plan(), rows_of, start=0, total=1, process=0, processes=3)


def test_buckets_are_cut_where_padding_is_least():
    # By hand, in multiples of 8: rows of 8 x 3, 16 x 1, 64 x 1. Cut after 16 pads 8 x 3 = 24
    # tokens; cut after 8 pads the 16 to 64, 48 tokens.
    lengths = np.array([[4, 3], [4, 8], [9, 5], [4, 16], [4, 60]])
    assert make_buckets(lengths, 2) == (Bucket(16, 16), Bucket(16, 64))
    assert make_buckets(lengths, 1) == (Bucket(16, 64),)
    assert make_buckets(lengths, 9) == (Bucket(16, 8), Bucket(16, 16), Bucket(16, 64))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        make_buckets(np.zeros((0, 2), int), 2)
