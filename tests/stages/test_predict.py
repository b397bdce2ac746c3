"""Shuffled images: every study gets another one's, with as many pictures."""

import numpy as np

from chexjax.data.examples import Example
from chexjax.stages.predict import swap_images


def examples(images):
    return [
        Example(id=str(k), row=10 + k, images=count, prompt=[1], responses=[])
        for k, count in enumerate(images)
    ]


def test_no_study_keeps_its_own_images_and_none_is_used_twice():
    before = examples([1, 2, 1, 1, 2, 2, 1])
    after = swap_images(before, seed=0)
    assert sorted(e.row for e in after) == sorted(e.row for e in before)
    for old, new in zip(before, after, strict=True):
        assert (new.id, new.prompt, new.images) == (old.id, old.prompt, old.images)
        assert new.row != old.row
        assert before[new.row - 10].images == old.images


def test_the_swap_depends_on_the_seed_alone():
    rows = [[e.row for e in swap_images(examples([1] * 20), seed)] for seed in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert not np.array_equal(rows[0], rows[2])


def test_a_study_alone_with_its_number_of_images_stays():
    assert [e.row for e in swap_images(examples([2]), seed=0)] == [10]
