"""How studies and reports become the arrays of a batch."""

import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.examples import (
    Collator,
    UnusableExample,
    check_context,
    image_slots,
    lengths_of,
    make_example,
)
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens, train_bpe
from chexjax.families import preset

FAMILY = preset("chexagent2_nano")


def pixels(number):
    """A picture that is its own number in the corner and not empty elsewhere."""
    picture = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) % 200
    picture[0, 0] = number
    return picture.astype(np.uint8)


def png(number):
    buffer = io.BytesIO()
    Image.fromarray(pixels(number)).save(buffer, "png")
    return buffer.getvalue()


def study(name, images):
    return Study(
        id=name,
        split="train",
        images=tuple(png(10 * k + 10) for k in range(images)),
        views=("frontal",) * images,
        indication="Cough.",
        findings="The lungs are clear.",
    )


@pytest.fixture(scope="module")
def tokens():
    return Tokens(train_bpe(["The lungs are clear."], FAMILY.template, 1024), FAMILY)


@pytest.fixture
def collate(tokens):
    studies = [study("none", 0), study("two", 2)]
    reports = [["a b", "the lungs are clear"], ["c", "d e f"]]
    examples = [
        make_example(s, k, r, tokens, rewards=[1.0, 0.5], ref_logps=[[-1.0], [-2.0, -3.0]])
        for k, (s, r) in enumerate(zip(studies, reports, strict=True))
    ]
    rows = [s.to_row() for s in studies]
    return Collator(examples, rows, tokens, image_slots(examples))


def batch_of(collate, rows):
    prefix, response = lengths_of(collate.examples).max(0)
    return collate(PlannedBatch(Bucket(prefix + 3, response + 2), np.asarray(rows)))


def test_responses_start_from_the_last_prompt_token_and_end_with_the_end_token(collate, tokens):
    batch = batch_of(collate, [0, 1])
    for row, example in enumerate(collate.examples):
        length = len(example.prompt) - 1
        assert batch["prefix"]["tokens"][row, :length].tolist() == list(example.prompt[:-1])
        assert batch["prefix"]["valid"][row].sum() == length
        for n, response in enumerate(example.responses):
            count = len(response)
            assert batch["targets"][row, n, :count].tolist() == list(response)
            assert response[-1] == tokens.end
            expected = [example.prompt[-1], *response[:-1]]
            assert batch["inputs"][row, n, :count].tolist() == expected
            assert batch["mask"][row, n].sum() == count


def test_images_fill_their_slots_and_nothing_else(collate):
    images = batch_of(collate, [0, 1])["prefix"]["images"]
    assert images.shape[:2] == (2, 2)
    assert not images[0].any()
    for slot, number in enumerate((10, 20)):
        np.testing.assert_array_equal(images[1, slot, :, :, 0], pixels(number))


def test_columns_are_padded_like_the_responses(collate):
    batch = batch_of(collate, [1, 0])
    np.testing.assert_array_equal(batch["rewards"], [[1.0, 0.5]] * 2)
    assert batch["ref_logps"][0, 1, :2].tolist() == [-2.0, -3.0]
    assert not batch["ref_logps"][:, :, 2:].any()


def test_a_padding_row_has_nothing_to_learn(collate):
    batch = batch_of(collate, [1, PADDING])
    assert batch["real"].tolist() == [True, False]
    assert batch["mask"][0].any() and not batch["mask"][1].any()


def test_what_exceeds_the_context_is_refused_with_its_lengths(tokens):
    with pytest.raises(UnusableExample, match=r"exceed the context of 512 positions"):
        make_example(study("long", 1), 0, ["word " * 600], tokens)
    fitting = make_example(study("short", 1), 0, [], tokens)
    with pytest.raises(UnusableExample, match="a report of 500"):
        check_context(fitting, tokens, 500)
