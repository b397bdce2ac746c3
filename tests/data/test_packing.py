import numpy as np

from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.packing import Groups, Packer

BUCKET = Bucket(5, 40)
LENGTHS = np.asarray([[3, 2, 9], [40, 1, 9], [1, 1, 9], [2, 30, 9]])
PARTS = {"rows": slice(None, -1), "scored_rows": slice(-1, None)}


def packer(groups, *batches):
    planned = [PlannedBatch(BUCKET, np.asarray(rows)) for rows in batches]
    return Packer.of(planned, LENGTHS, groups, PARTS)


def mask_of(rows):
    mask = np.arange(BUCKET.response) < LENGTHS[rows][..., None]
    return mask & (np.asarray(rows) != PADDING)[:, None, None]


def test_every_real_token_has_one_row_and_no_padding_has_one():
    rows = [0, 1, 2, 3]
    packed = packer(Groups(2), rows)(mask_of(rows), BUCKET)
    # Groups are (0, 1) and (2, 3): 46 and 34 tokens, rounded up to a multiple of 32.
    assert packed["rows"].shape == (2, 64)
    slots = mask_of(rows)[:, :2].reshape(2, 160)
    for group, real in zip(packed["rows"], slots, strict=True):
        kept = group[group < 160]
        assert kept.tolist() == np.flatnonzero(real).tolist()
        assert (group[len(kept) :] == 160).all()
    assert packed["scored_rows"].shape == (2, 32)


def test_groups_are_the_rows_that_a_device_sees_in_a_micro_batch():
    """Two devices, two micro-batches: rows 0 to 3 are the first device's, every second together."""
    assert Groups(2, accumulate=2).cut(np.arange(8)).tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_the_capacity_holds_the_fullest_group_of_all_batches_and_padding_rows_hold_nothing():
    made = packer(Groups(1), [0, 2], [3, PADDING])
    assert made.capacity[BUCKET] == {"rows": 32, "scored_rows": 32}
    assert (made(mask_of([3, PADDING]), BUCKET)["rows"][1] == 80).all()
    assert packer(Groups(1), [1, 2]).capacity[BUCKET]["rows"] == 64
    assert made.total("rows", PlannedBatch(BUCKET, np.arange(4))) == 4 * 32


def test_a_part_that_is_full_is_not_packed():
    full = Packer(Groups(1), {"rows": slice(None)}, {BUCKET: {"rows": 80}})
    assert full(np.ones((1, 2, 40), bool), BUCKET) == {}
