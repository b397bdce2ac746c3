import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.bpe import train_bpe
from chexjax.data.examples import (
    Collator,
    Example,
    UnusableExample,
    check_context,
    lengths_of,
    make_example,
    pictures_of,
)
from chexjax.data.images import pixel_stacks
from chexjax.data.packing import Groups, Packer
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.families import Family, preset

FAMILY = preset("chexagent2_nano", Family)
REPORTS = ("Clear lungs.", "There is a small left pleural effusion. No pneumothorax.")
BUCKET = Bucket(96, 64)


def png(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def make_study(number, images=1, indication="cough"):
    return Study(
        id=f"s{number}",
        split="train",
        images=tuple(png(10 * number + k) for k in range(images)),
        views=("frontal",) * images,
        indication=indication,
        findings=REPORTS[0],
    )


STUDIES = [make_study(0, images=2), make_study(1, images=0), make_study(2, images=1)]


@pytest.fixture(scope="module")
def tokens():
    return Tokens(train_bpe(REPORTS, FAMILY.template, FAMILY.decoder.vocabulary), FAMILY)


def collated(examples, tokens, rows, bucket=BUCKET):
    collator = Collator(examples, pictures_of(examples, [s.to_row() for s in STUDIES], tokens))
    return collator(PlannedBatch(bucket, np.asarray(rows)))


@pytest.fixture(scope="module")
def examples(tokens):
    """Two reports about each study, with a number for each report and for each token."""
    made = []
    for row, study in enumerate(STUDIES):
        reports = REPORTS if row % 2 else REPORTS[::-1]
        scores = [[0.5 * k for k, _ in enumerate(tokens.report(text))] for text in reports]
        made.append(make_example(study, row, reports, tokens, rewards=[1.0, row], ref_logps=scores))
    return made


def test_a_response_predicts_the_next_token_from_the_last_prompt_token_on(examples, tokens):
    batch = collated(examples, tokens, [2, 0])
    for b, row in enumerate([2, 0]):
        example = examples[row]
        for n, response in enumerate(example.responses):
            length = len(response)
            assert response[-1] == tokens.end
            assert batch["targets"][b, n, :length].tolist() == response
            inputs = [example.prompt[-1], *response[:-1]]
            assert batch["inputs"][b, n, :length].tolist() == inputs
            assert batch["mask"][b, n].tolist() == [True] * length + [False] * (64 - length)
            for name in ("inputs", "targets", "ref_logps"):
                assert not batch[name][b, n, length:].any()


def test_the_prefix_is_the_prompt_without_its_last_token(examples, tokens):
    prefix = collated(examples, tokens, [0, 1, 2])["prefix"]
    for b, example in enumerate(examples):
        prompt = example.prompt[:-1]
        assert prefix["tokens"][b, : len(prompt)].tolist() == list(prompt)
        assert prefix["valid"][b].sum() == len(prompt) and prefix["valid"][b, : len(prompt)].all()
        assert prefix["placeholder"][b].sum() == example.images * FAMILY.vision.tokens
        assert not (prefix["placeholder"][b] & ~prefix["valid"][b]).any()


def test_images_are_those_of_the_study_and_stay_8_bit(examples, tokens):
    images = collated(examples, tokens, [2, 1, 0])["prefix"]["images"]
    assert images.shape == (3, 2, 32, 32, 1) and images.dtype == np.uint8
    for b, row in enumerate([2, 1, 0]):
        [expected] = pixel_stacks([STUDIES[row].images], 2, FAMILY.vision, FAMILY.image)
        np.testing.assert_array_equal(images[b], expected)


def test_numbers_travel_with_their_responses(examples, tokens):
    batch = collated(examples, tokens, [2, 0])
    np.testing.assert_array_equal(batch["rewards"], [[1, 2], [1, 0]])
    for b, row in enumerate([2, 0]):
        for n, response in enumerate(examples[row].responses):
            expected = 0.5 * np.arange(len(response))
            np.testing.assert_array_equal(batch["ref_logps"][b, n, : len(response)], expected)
    assert batch["rewards"].dtype == batch["ref_logps"].dtype == np.float32


def test_padding_rows_have_the_shapes_of_real_ones_and_nothing_to_learn(examples, tokens):
    batch = collated(examples, tokens, [1, PADDING, PADDING])
    assert batch["real"].tolist() == [True, False, False]
    assert batch["mask"][0].any() and not batch["mask"][1:].any()
    whole = collated(examples, tokens, [1, 0, 2])
    for name in batch["prefix"]:
        assert batch["prefix"][name].shape == whole["prefix"][name].shape


def test_prompts_alone_have_no_responses(tokens):
    examples = [make_example(study, row, [], tokens) for row, study in enumerate(STUDIES)]
    assert set(collated(examples, tokens, [0, 1])) == {"prefix", "real"}
    assert lengths_of(examples).tolist() == [[len(e.prompt) - 1, 0] for e in examples]


def test_lengths_are_those_of_the_prefix_and_the_longest_response(examples, tokens):
    for example, (prefix, response) in zip(examples, lengths_of(examples), strict=True):
        assert prefix == len(example.prompt) - 1
        assert response == len(tokens.report(REPORTS[1]))
    assert lengths_of([]).shape == (0, 2)


def test_further_images_than_the_policy_takes_are_left_out(tokens):
    example = make_example(make_study(0, images=4), 0, REPORTS, tokens)
    assert example.images == FAMILY.max_images
    assert example.prompt.count(tokens.placeholder) == FAMILY.max_images * FAMILY.vision.tokens


def test_shapes_do_not_depend_on_whether_a_study_has_images(tokens):
    example = make_example(make_study(1, images=0), 0, REPORTS, tokens)
    assert pictures_of([example], [], tokens).slots == 1


def short_of(tokens, positions):
    """The same tokens for a policy with fewer positions."""
    decoder = dataclasses.replace(FAMILY.decoder, context=positions)
    return Tokens(tokens.tokenizer, dataclasses.replace(FAMILY, decoder=decoder))


def test_a_report_longer_than_the_context_is_refused_with_the_numbers(tokens):
    study = make_study(0)
    prompt, report = len(tokens.prompt(1, "cough")), len(tokens.report(REPORTS[1]))
    assert make_example(study, 0, REPORTS, short_of(tokens, prompt + report))
    message = (
        f"a prompt of {prompt} tokens and a report of {report} exceed the context of "
        f"{prompt + report - 1} positions of chexagent2_nano"
    )
    with pytest.raises(UnusableExample, match=message):
        make_example(study, 0, REPORTS, short_of(tokens, prompt + report - 1))


def test_two_images_and_a_long_report_go_past_the_positions_that_chexagent2_declares(tokens):
    full = dataclasses.replace(tokens, family=preset("chexagent2_3b", Family))
    prompt = [0] * (2 * 1030 + 20 + 600)  # as many as its layout takes, and a long indication
    example = Example(id="s", row=0, images=2, prompt=prompt, responses=[])
    assert len(prompt) + 512 > 3072
    check_context(example, full, room=512)


def test_a_prompt_that_leaves_no_room_for_a_report_is_refused(tokens):
    example = make_example(make_study(0), 0, [], tokens)
    prompt = len(example.prompt)
    check_context(example, short_of(tokens, prompt + 20), room=20)
    with pytest.raises(UnusableExample, match="a report of 20 exceed"):
        check_context(example, short_of(tokens, prompt + 19), room=20)


def test_a_study_travels_through_a_row(tokens):
    study = dataclasses.replace(STUDIES[0], labels={"Edema": 1}, truth={"side": "left"})
    assert Study.from_row(study.to_row()) == study


def test_text_is_collated_as_studies_are_but_for_images():
    ragged = [([7, 8, 9], [[1, 2], [3]]), ([5, 6], [[4, 4, 4], [2]])]
    examples = [
        Example(
            id=str(k),
            row=k,
            images=0,
            prompt=prompt,
            responses=responses,
            columns={"weights": [[0.5] * len(r) for r in responses]},
        )
        for k, (prompt, responses) in enumerate(ragged)
    ]
    planned = PlannedBatch(Bucket(4, 4), np.array([1, 0, PADDING]))
    counts = np.array([[2, 1], [3, 1]])
    packer = Packer.of([planned], counts, Groups(3), {"rows": slice(None)}, multiple=1)
    batch = Collator(examples, packer=packer)(planned)
    assert batch["prefix"]["tokens"].tolist()[:2] == [[5, 0, 0, 0], [7, 8, 0, 0]]
    assert batch["prefix"]["valid"].sum(1).tolist() == [1, 2, 2]
    assert batch["inputs"][0].tolist() == [[6, 4, 4, 0], [6, 0, 0, 0]]
    assert batch["targets"][1].tolist() == [[1, 2, 0, 0], [3, 0, 0, 0]]
    assert batch["mask"].sum((1, 2)).tolist() == [4, 3, 0]  # a padding row teaches nothing
    assert batch["weights"][0].tolist() == [[0.5, 0.5, 0.5, 0], [0.5, 0, 0, 0]]
    assert batch["rows"].tolist() == [[0, 1, 2, 4, 8, 9, 12]]
