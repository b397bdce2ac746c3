"""Texts for encoders: their tokenizers, and batches of few shapes."""

import numpy as np
import pytest

from chexjax.judges.encoding import padded, tokenizer_of
from tests.judges.encoders import word_encoder


def test_each_text_is_in_one_batch_of_a_width_that_has_room_for_it():
    ids = [list(range(1, count + 1)) for count in (3, 40, 32, 33, 1, 50)]
    found = {}
    for items, tokens, lengths in padded(ids, limit=50):
        assert tokens.shape[1] == (32 if items[0] in (0, 2, 4) else 50)
        assert len(items) <= len(tokens) == len(lengths)
        for item, row, length in zip(items, tokens, lengths, strict=False):
            assert item not in found
            found[item] = row[:length].tolist()
            assert not row[length:].any()
        assert (lengths[len(items) :] == 1).all() and not tokens[len(items) :].any()
    assert found == dict(enumerate(ids))


def test_programs_have_as_many_rows_whatever_the_number_of_texts():
    shapes = {tokens.shape for count in (1, 70, 200) for _, tokens, _ in padded([[7]] * count, 512)}
    assert len(shapes) == 1
    assert [len(items) for items, _, _ in padded([[7]] * 200, 512)] == [64, 64, 64, 8]


def test_a_folder_s_config_says_whose_tokenizer_it_is_and_without_one_it_is_bert_s(tmp_path):
    words = tokenizer_of(word_encoder(tmp_path / "words"))
    assert words.convert_ids_to_tokens(words("heart Clear")["input_ids"]) == [
        "[CLS]",
        "heart",
        "[UNK]",
        "[SEP]",
    ]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nclear\n##er\n")
    pieces = tokenizer_of(tmp_path)
    assert np.array_equal(pieces("CLEARER")["input_ids"], [2, 5, 6, 3])


def test_a_folder_without_a_tokenizer_or_with_a_broken_one_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no vocab.txt or tokenizer.json; fetch the tokenizer"):
        tokenizer_of(tmp_path)
    folder = word_encoder(tmp_path / "words")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"the tokenizer in .*words cannot be read"):
        tokenizer_of(folder)
