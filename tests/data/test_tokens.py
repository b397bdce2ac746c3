"""The tokenizer and the prompt around a study."""

import dataclasses

import pytest

from chexjax.data.tokens import Tokens, prompt_text, train_bpe
from chexjax.families import preset

FAMILY = preset("chexagent2_nano")
TEXTS = ["The lungs are clear.", "No pneumothorax.", "The heart is enlarged, naïvely speaking."]


@pytest.fixture(scope="module")
def tokens():
    return Tokens(train_bpe(TEXTS, FAMILY.template, FAMILY.decoder.vocabulary), FAMILY)


def test_there_are_as_many_ids_as_embedding_rows(tokens):
    assert len(tokens.tokenizer) == FAMILY.decoder.vocabulary


def test_the_order_of_the_texts_does_not_matter(tokens):
    again = train_bpe(TEXTS[::-1], FAMILY.template, FAMILY.decoder.vocabulary)
    assert again.get_vocab() == tokens.tokenizer.get_vocab()


@pytest.mark.parametrize("text", [*TEXTS, "Unseen: 3 × 4 mm → größer?", ""])
def test_any_text_comes_back_from_its_ids(tokens, text):
    assert tokens.text(tokens.report(text)) == text


def test_a_report_ends_with_the_end_token_and_has_it_nowhere_else(tokens):
    ids = tokens.report("The lungs are clear.")
    assert ids[-1] == tokens.end
    assert tokens.end not in ids[:-1]


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_prompt_has_one_placeholder_for_each_visual_token(tokens, images):
    prompt = tokens.prompt(images, "Cough.")
    assert prompt.count(tokens.placeholder) == images * FAMILY.vision.tokens
    for tag in ("<|img|>", "<|/img|>"):
        assert prompt.count(tokens.tokenizer.convert_tokens_to_ids(tag)) == images


def test_a_missing_indication_reads_none():
    assert prompt_text(FAMILY.template, 0, 0, "  ") == prompt_text(FAMILY.template, 0, 0, "None")


def test_a_saved_tokenizer_loads_alike(tokens, tmp_path):
    tokens.tokenizer.save_pretrained(tmp_path)
    loaded = Tokens.load(tmp_path, FAMILY)
    assert loaded.prompt(1, "Fever.") == tokens.prompt(1, "Fever.")
    assert loaded.report(TEXTS[2]) == tokens.report(TEXTS[2])


def test_a_tokenizer_with_more_ids_than_embedding_rows_is_refused(tokens, tmp_path):
    tokens.tokenizer.save_pretrained(tmp_path)
    small = dataclasses.replace(FAMILY, decoder=dataclasses.replace(FAMILY.decoder, vocabulary=300))
    with pytest.raises(ValueError, match="300 embedding rows"):
        Tokens.load(tmp_path, small)
