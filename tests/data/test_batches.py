import collections
import itertools
import threading

import numpy as np
import pytest

from chexjax.data.batches import (
    PADDING,
    Bucket,
    Plan,
    iterate,
    make_buckets,
    pad_rows,
    plan_by_images,
)


def make_plan(rows=103, *, batch_size=8, buckets=3, seed=0):
    lengths = np.random.default_rng(5).integers(1, 90, (rows, 2)).astype(np.int32)
    return Plan(
        lengths=lengths, buckets=make_buckets(lengths, buckets), batch_size=batch_size, seed=seed
    )


def collate(planned):
    return {"rows": planned.rows.copy(), "bucket": np.asarray(planned.bucket)}


def flat(batches):
    return [(batch.bucket, *batch.rows.tolist()) for batch in batches]


@pytest.mark.parametrize("rows", [1, 7, 8, 103])
@pytest.mark.parametrize("buckets", [1, 3, 20])
def test_each_row_stands_in_one_batch_of_each_epoch(rows, buckets):
    plan = make_plan(rows, buckets=buckets)
    for number in range(3):
        batches = plan.epoch(number)
        assert len(batches) == plan.batches_per_epoch == -(-rows // 8)
        counts = collections.Counter(np.concatenate([batch.rows for batch in batches]).tolist())
        padding = counts.pop(PADDING, 0)
        assert counts == dict.fromkeys(range(rows), 1)
        assert padding == -rows % 8
        assert sum((batch.rows == PADDING).any() for batch in batches) == (padding > 0)


def test_every_row_fits_the_bucket_of_its_batch():
    plan = make_plan()
    used = set()
    for bucket, rows in plan.epoch(0):
        used.add(bucket)
        real = rows[rows != PADDING]
        assert (plan.lengths[real] <= np.asarray(bucket)).all()
    assert used == set(plan.buckets)


def test_epochs_and_seeds_shuffle_rows_and_batches():
    plan, other = make_plan(), make_plan(seed=1)
    orders = [flat(plan.epoch(0)), flat(plan.epoch(1)), flat(other.epoch(0))]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert flat(make_plan().epoch(1)) == orders[1]  # a function of seed and number alone
    lengths = [batch.bucket.response for batch in plan.epoch(0)]
    assert lengths != sorted(lengths)  # no curriculum from short to long


def test_without_a_seed_rows_keep_their_order():
    plan = make_plan(20, buckets=1, seed=None)
    for number in (0, 5):
        rows = np.concatenate([batch.rows for batch in plan.epoch(number)])
        assert rows.tolist() == [*range(20), *[PADDING] * 4]


def test_processes_take_slices_of_the_same_batches():
    plan = make_plan()
    total = 2 * plan.batches_per_epoch + 3
    whole = list(iterate(plan, collate, start=0, total=total))
    slices = [
        list(iterate(plan, collate, start=0, total=total, process=p, processes=4)) for p in range(4)
    ]
    assert len(whole) == total
    for step, batch in enumerate(whole):
        parts = [part[step] for part in slices]
        np.testing.assert_array_equal(np.concatenate([p["rows"] for p in parts]), batch["rows"])
        assert all((p["bucket"] == batch["bucket"]).all() for p in parts)


def test_the_state_of_the_iterator_is_the_number_of_the_next_batch():
    """Within an epoch, at its end, in a later one, and when nothing is left."""
    plan = make_plan()
    per_epoch = plan.batches_per_epoch
    total = 2 * per_epoch + 3
    whole = [tuple(b["rows"]) for b in iterate(plan, collate, start=0, total=total)]
    expected = [tuple(b.rows) for number in range(3) for b in plan.epoch(number)]
    assert whole == expected[:total]
    for start in (1, per_epoch, per_epoch + 4, total - 1, total):
        rest = iterate(plan, collate, start=start, total=total, threads=3)
        assert [tuple(b["rows"]) for b in rest] == whole[start:]


def test_batches_are_made_ahead_and_off_the_main_thread():
    made, threads = threading.Semaphore(0), set()

    def watched(planned):
        threads.add(threading.get_ident())
        made.release()
        return collate(planned)

    next(iterate(make_plan(), watched, start=0, total=10))
    assert all(made.acquire(timeout=10) for _ in range(2))  # a second one, though nobody asked
    assert threading.get_ident() not in threads


def test_a_batch_that_processes_cannot_share_is_an_error():
    with pytest.raises(ValueError, match="batch_size=8 cannot be shared by 3 processes"):
        iterate(make_plan(), collate, start=0, total=1, process=0, processes=3)


def test_buckets_by_hand():
    """Rounded up: 16 + 8, 24 + 8, 8 + 16 and 8 + 32 tokens of prompt and response."""
    lengths = np.asarray([[10, 3], [17, 8], [2, 9], [5, 30]])
    assert make_buckets(lengths, 1) == (Bucket(24, 32),)
    # All four in one: 224 tokens. Cut at 16 + 16 for the first and the third: 2 * 32 + 2 * 56 =
    # 176; at 24 + 16 for all but the last: 3 * 40 + 56 = 176; at 24 + 8: 2 * 32 + 2 * 56 = 176.
    assert make_buckets(lengths, 2)[-1] == Bucket(24, 32)
    # Cut twice, at 8 + 16 and 16 + 16: 24 + 32 + 2 * 56 = 168; at 16 + 8 and 24 + 16:
    # 24 + 2 * 40 + 56 = 160; at 16 + 16 and 24 + 16: 2 * 32 + 40 + 56 = 160.
    assert padded(make_buckets(lengths, 3), lengths) == 160
    assert make_buckets(lengths, 1, multiple=5) == (Bucket(20, 30),)


def test_responses_alone_are_cut_where_all_prompts_are_alike():
    """Responses of 8, 8, 16 and 32 tokens behind 24: nothing is padded from three shapes on."""
    lengths = np.asarray([[17, 3], [20, 8], [24, 9], [18, 30]])
    exact = (Bucket(24, 8), Bucket(24, 16), Bucket(24, 32))
    assert make_buckets(lengths, 3) == make_buckets(lengths, 9) == exact


def padded(buckets, lengths):
    """Tokens of all rows, each padded to the first bucket that holds it."""
    first = [next(b for b in buckets if b.prefix >= p and b.response >= r) for p, r in lengths]
    return sum(sum(bucket) for bucket in first)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_other_cuts_pad_less(count):
    """Against all chains of shapes."""
    rng = np.random.default_rng(count)
    lengths = np.stack([rng.integers(1, 40, 60), rng.geometric(0.05, 60).clip(max=48)], 1)
    sizes = [sorted({-(-int(one) // 8) * 8 for one in lengths[:, axis]}) for axis in range(2)]
    shapes = [Bucket(*shape) for shape in itertools.product(*sizes)]
    best = min(
        padded((*chain, shapes[-1]), lengths)
        for chosen in range(count)
        for chain in itertools.combinations(shapes[:-1], chosen)
        if all(a.response <= b.response for a, b in itertools.pairwise(chain))
    )
    buckets = make_buckets(lengths, count)
    assert len(buckets) <= count
    assert padded(buckets, lengths) == best


def test_very_many_lengths_are_cut_at_some():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 4000, (3000, 2))
    buckets = make_buckets(lengths, 4)
    assert buckets[-1] == tuple(-(-lengths.max(0) // 8) * 8)
    assert padded(buckets, lengths) < 0.9 * padded(buckets[-1:], lengths)


def test_no_rows_make_no_buckets():
    with pytest.raises(ValueError, match="no rows"):
        make_buckets(np.zeros((0, 2), np.int32), 1)


def test_rows_are_batched_with_those_that_show_as_many_images():
    lengths = np.asarray([[2, 1], [17, 2], [4, 3], [5, 4], [6, 9]])
    planned = plan_by_images([1, 2, 1, 0, 1], lengths, 2)
    assert [(batch.rows.tolist(), batch.bucket, slots) for batch, slots in planned] == [
        ([3, PADDING], Bucket(8, 8), 1),
        ([0, 2], Bucket(8, 16), 1),
        ([4, PADDING], Bucket(8, 16), 1),
        ([1, PADDING], Bucket(24, 8), 2),
    ]


def test_ragged_rows_are_padded_on_the_right():
    padded = pad_rows([[1, 2, 3], [], [4]], 4, np.int32)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[1, 2, 3, 0], [0, 0, 0, 0], [4, 0, 0, 0]]
