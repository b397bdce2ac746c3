import collections

import pytest

from chexjax.data.examples import Example
from chexjax.stages.predict import swap_images


def make(images):
    return [
        Example(id=f"s{k}", row=100 + k, images=count, prompt=[k], responses=[])
        for k, count in enumerate(images)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_study_gets_the_images_of_another_one_with_as_many(seed):
    examples = make([1, 2, 1, 1, 0, 2, 0, 1])
    swapped = swap_images(examples, seed)
    count = {example.row: example.images for example in examples}
    for before, after in zip(examples, swapped, strict=True):
        assert after.row != before.row
        assert count[after.row] == after.images == before.images
        assert (after.id, after.prompt) == (before.id, before.prompt)
    rows = collections.Counter(example.row for example in swapped)
    assert rows == collections.Counter(example.row for example in examples)


def test_a_study_that_is_alone_with_its_number_of_images_keeps_them():
    swapped = swap_images(make([1, 2, 1]), 0)
    assert [example.row for example in swapped] == [102, 101, 100]


def test_seeds_shuffle_differently_and_repeat():
    examples = make([1] * 50)
    rows = [[e.row for e in swap_images(examples, seed)] for seed in (0, 1, 0)]
    assert rows[0] != rows[1] and rows[0] == rows[2]
